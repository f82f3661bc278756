/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/ioctl.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/state.h"
#include "guest-driver/shim/sync_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <string.h>

/* 0.1 is the version since which drivers have fences as descriptors. */
#define VERSION_MAJOR 0
#define VERSION_MINOR 1
#define VERSION_PATCH 0

static int copy_text(char *buf, __kernel_size_t *length, const char *text)
{
    size_t bytes = strlen(text);
    size_t room = *length;

    *length = bytes;
    if (room == 0)
        return 0;
    if (!buf)
        return -EFAULT;
    memcpy(buf, text, room < bytes ? room : bytes);
    return 0;
}

int ioctl_version(struct drm_file *file, void *arg)
{
    struct drm_version *version = arg;

    version->version_major = VERSION_MAJOR;
    version->version_minor = VERSION_MINOR;
    version->version_patchlevel = VERSION_PATCH;
    int result = copy_text(version->name, &version->name_len, "virtio_gpu");
    if (result == 0)
        result = copy_text(version->date, &version->date_len, "0");
    if (result == 0)
        result = copy_text(version->desc, &version->desc_len, "virtio GPU");
    return result;
}

int ioctl_get_cap(struct drm_file *file, void *arg)
{
    struct drm_get_cap *cap = arg;

    switch (cap->capability) {
    case DRM_CAP_TIMESTAMP_MONOTONIC:
    case DRM_CAP_SYNCOBJ:
    case DRM_CAP_SYNCOBJ_TIMELINE:
        cap->value = 1;
        return 0;
    case DRM_CAP_PRIME:
        cap->value = DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT;
        return 0;
    default: /* of mode setting, which we haven't */
        cap->value = 0;
        return -EOPNOTSUPP;
    }
}

int ioctl_gem_close(struct drm_file *file, void *arg)
{
    return drm_file_close_bo(file, ((struct drm_gem_close *)arg)->handle);
}

/* ---- PRIME ---------------------------------------------------------------------------------- */

int ioctl_prime_handle_to_fd(struct drm_file *file, void *arg)
{
    struct drm_prime_handle *prime = arg;

    if (prime->flags & ~(uint32_t)(DRM_CLOEXEC | DRM_RDWR))
        return -EINVAL;
    struct bo *bo = drm_file_get_bo(file, prime->handle);
    if (!bo)
        return -ENOENT;
    int fd = prime_export(bo, prime->flags & DRM_CLOEXEC);
    bo_unref(bo);
    if (fd < 0)
        return fd;
    prime->fd = fd;
    return 0;
}

int ioctl_prime_fd_to_handle(struct drm_file *file, void *arg)
{
    struct drm_prime_handle *args = arg;
    struct fd_object *base = fd_table_find(args->fd, FD_PRIME);
    int result = 0;

    if (!base)
        return real()->fcntl(args->fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
    struct bo *bo = prime_of(base)->bo;
    if (bo->device != file->device) {
        fd_object_unref(base);
        return -EINVAL;
    }
    /* A buffer has one handle per opened node. */
    state_lock();
    uint32_t handle = handles_find(&file->bos, bo);
    if (!handle)
        bo_ref(bo);
    state_unlock();
    if (!handle) {
        result = drm_file_add_bo(file, bo, &handle);
        if (result < 0)
            bo_unref(bo);
    }
    if (result == 0)
        args->handle = handle;
    fd_object_unref(base);
    return result;
}

static int export_sync_file(struct bo *bo, struct dma_buf_export_sync_file *args)
{
    struct sync_file *file;

    if (args->flags & ~(uint32_t)DMA_BUF_SYNC_RW || !(args->flags & DMA_BUF_SYNC_RW))
        return -EINVAL;
    int fd = sync_file_create(bo->device, &file);
    if (fd < 0)
        return fd;
    state_lock();
    fence_set_add_all(&file->set, &bo->fences);
    state_unlock();
    fd_object_unref(&file->base);
    args->fd = fd;
    return 0;
}

static int import_sync_file(struct bo *bo, const struct dma_buf_import_sync_file *args)
{
    struct fence_set set = {0};

    if (args->flags & ~(uint32_t)DMA_BUF_SYNC_RW || !(args->flags & DMA_BUF_SYNC_RW))
        return -EINVAL;
    if (!sync_file_fences(args->fd, &set))
        return -EINVAL;
    state_lock();
    fence_set_add_all(&bo->fences, &set);
    state_unlock();
    fence_set_clear(&set);
    return 0;
}

int prime_ioctl(struct prime *prime, unsigned long request, void *arg)
{
    struct bo *bo = prime->bo;

    if (device_is_foreign(bo->device))
        return -EOWNERDEAD;
    switch (request) {
    case DMA_BUF_IOCTL_SYNC:
    case DMA_BUF_IOCTL_EXPORT_SYNC_FILE:
    case DMA_BUF_IOCTL_IMPORT_SYNC_FILE:
        break;
    default:
        return -ENOTTY;
    }
    if (!arg)
        return -EFAULT;
    if (request == DMA_BUF_IOCTL_EXPORT_SYNC_FILE)
        return export_sync_file(bo, arg);
    if (request == DMA_BUF_IOCTL_IMPORT_SYNC_FILE)
        return import_sync_file(bo, arg);
    uint64_t flags = ((const struct dma_buf_sync *)arg)->flags;
    return flags & ~(uint64_t)DMA_BUF_SYNC_VALID_FLAGS_MASK ? -EINVAL : 0;
}
