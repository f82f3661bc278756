/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/virtgpu.h"
#include "protocol/gpu_format.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What RESOURCE_CREATE_2D makes of its picture on a device with 3D. */
#define BIND_RENDER_TARGET (1u << 1)

/* ---- handles -------------------------------------------------------------------------------- */

const struct attachment *resource_attachment(const struct virtgpu_resource *resource,
                                             const struct node *node)
{
    const struct attachment *a = &resource->home;

    if (a->node == node)
        return a;
    for (a = resource->others; a && a->node != node; a = a->next)
        ;
    return a;
}

struct attachment *resource_take_attachment(struct virtgpu_resource *resource,
                                            const struct node *node)
{
    for (struct attachment **link = &resource->others; *link; link = &(*link)->next) {
        struct attachment *a = *link;
        if (a->node == node) {
            *link = a->next;
            return a;
        }
    }
    return NULL;
}

void attachment_close(const struct libdrm *drm, struct attachment *attachment)
{
    drm->close_handle(attachment->node->fd, attachment->handle);
    node_unref(attachment->node);
    free(attachment);
}

int virtgpu_begin_attaching(struct virtgpu_vgpu *vgpu)
{
    vgpu_unlock(&vgpu->base);
    pthread_mutex_lock(&vgpu->attaching);
    pthread_mutex_lock(&vgpu->base.lock);
    if (vgpu->base.lost)
        pthread_mutex_unlock(&vgpu->attaching);
    return vgpu->base.lost;
}

/* ---- memory --------------------------------------------------------------------------------- */

static int object_offset(struct virtgpu_resource *resource, uint64_t *ret)
{
    struct drm_virtgpu_map args = {.handle = resource->home.handle};

    int result = virtgpu_ioctl(virtgpu_vgpu(resource->base.vgpu), resource->home.node,
                               DRM_IOCTL_VIRTGPU_MAP, &args, "MAP");
    if (result == 0)
        *ret = args.offset;
    return result;
}

/* Maps the backing, which the kernel has made. */
static int map_backing(struct virtgpu_resource *resource, uint64_t bytes)
{
    uint64_t offset = 0;

    int result = object_offset(resource, &offset);
    if (result < 0)
        return result;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, resource->home.node->fd,
                        (off_t)offset);
    if (memory == MAP_FAILED)
        return virtgpu_failed(virtgpu_vgpu(resource->base.vgpu), "mapping the backing", -errno);
    resource->base.memory = memory;
    resource->base.memory_bytes = bytes;
    return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

/* The home's node gets a user; bytes of the vGPU's memory are taken. */
static int resource_make(struct virtgpu_vgpu *vgpu, struct node *home, uint64_t bytes,
                         struct virtgpu_resource **ret)
{
    bytes = page_align(bytes);
    if (bytes > vgpu->base.memory_bytes - vgpu->used_bytes)
        return -ENOMEM;
    struct virtgpu_resource *resource = virtgpu_resource(resource_new(&vgpu->base));
    if (!resource)
        return -ENOMEM;
    resource->charged_bytes = bytes;
    vgpu->used_bytes += bytes;
    resource->home.node = home;
    atomic_fetch_add(&home->users, 1);
    *ret = resource;
    return 0;
}

void virtgpu_resource_release(struct aliquot_resource *base)
{
    struct virtgpu_resource *resource = virtgpu_resource(base);

    blob_unmap(base);
    if (base->memory)
        munmap(base->memory, base->memory_bytes);
    while (resource->others) {
        struct attachment *a = resource->others;
        resource->others = a->next;
        node_unref(a->node);
        free(a);
    }
    node_unref(resource->home.node);
    free(resource);
}

void virtgpu_resource_destroy(struct aliquot_resource *base)
{
    struct virtgpu_resource *resource = virtgpu_resource(base);
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    uint64_t bytes = resource->charged_bytes;

    /* Nobody finds it any more: neither a user nor a context that is destroyed. */
    vgpu_unlock(&vgpu->base);
    while (resource->others) {
        struct attachment *a = resource->others;
        resource->others = a->next;
        attachment_close(&vgpu->drm, a);
    }
    if (resource->home.handle)
        vgpu->drm.close_handle(resource->home.node->fd, resource->home.handle);
    virtgpu_resource_release(base);
    pthread_mutex_lock(&vgpu->base.lock);
    vgpu->used_bytes -= bytes;
}

int virtgpu_resource_create(struct aliquot_vgpu *base, bool is_2d,
                            const struct aliquot_resource_args *args, struct aliquot_resource **ret)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);
    struct virtgpu_resource *resource;
    struct drm_virtgpu_resource_create create = {
        .target = is_2d ? GPU_TARGET_2D : args->target,
        .format = args->format,
        .bind = is_2d ? BIND_RENDER_TARGET : args->bind,
        .width = args->width,
        .height = args->height,
        .depth = is_2d ? 1 : args->depth,
        .array_size = is_2d ? 1 : args->array_size,
        .last_level = args->last_level,
        .nr_samples = args->nr_samples,
        .flags = is_2d ? VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP : args->flags,
        .size = (uint32_t)args->backing_bytes,
    };

    int result = resource_make(vgpu, vgpu->main, args->backing_bytes, &resource);
    if (result < 0)
        return result;
    result = virtgpu_ioctl(vgpu, vgpu->main, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, &create,
                           "RESOURCE_CREATE");
    if (result == 0) {
        resource->home.handle = create.bo_handle;
        resource->base.id = create.res_handle;
        resource->base.is_2d = is_2d;
        resource->format = args->format;
        resource->width = args->width;
        resource->height = args->height;
        if (args->backing_bytes)
            result = map_backing(resource, page_align(args->backing_bytes));
    }
    if (result < 0) {
        virtgpu_resource_destroy(&resource->base);
        return result;
    }
    *ret = &resource->base;
    return 0;
}

int virtgpu_resource_wait(struct aliquot_resource *base)
{
    return virtgpu_settle(virtgpu_vgpu(base->vgpu), virtgpu_resource(base)->home.node);
}

/* ---- blobs ---------------------------------------------------------------------------------- */

int virtgpu_blob_create(struct aliquot_vgpu *base, struct aliquot_context *context,
                        const struct aliquot_blob_args *args, struct aliquot_resource **ret)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);
    struct virtgpu_resource *resource;
    bool in_guest = args->mem != ALIQUOT_BLOB_HOST3D;
    struct node *home = context ? virtgpu_context(context)->node : vgpu->main;
    struct drm_virtgpu_resource_create_blob create = {
        .blob_mem = args->mem,
        .blob_flags = args->flags,
        .size = args->bytes,
        .blob_id = args->blob_id,
    };

    if (!in_guest && (args->flags & ALIQUOT_BLOB_MAPPABLE) && !vgpu->host_visible) {
        vgpu_error(base, "the device has no host-visible memory, in which blobs could be mapped");
        return -EOPNOTSUPP;
    }
    int result = resource_make(vgpu, home, in_guest ? args->bytes : 0, &resource);
    if (result < 0)
        return result;
    result = virtgpu_ioctl(vgpu, home, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, &create,
                           "RESOURCE_CREATE_BLOB");
    if (result == -ENOSPC) /* in the host-visible region */
        result = -ENOMEM;
    if (result == 0) {
        resource->home.handle = create.bo_handle;
        resource->base.id = create.res_handle;
        if (in_guest)
            result = map_backing(resource, args->bytes);
    }
    if (result < 0) {
        virtgpu_resource_destroy(&resource->base);
        return result;
    }
    *ret = &resource->base;
    return 0;
}

/* Maps a part of a blob, which lies at node_offset. The kernel maps objects as a whole only: the
 * rest is mapped with it and given back. Without the lock. */
static void *map_part(const struct virtgpu_resource *resource, uint64_t node_offset, size_t length,
                      int prot, int flags, uint64_t offset, void *wish)
{
    const int fixed = MAP_FIXED | MAP_FIXED_NOREPLACE;
    uint64_t bytes = resource->base.blob_bytes, end = offset + page_align(length);
    int fd = resource->home.node->fd;

    if (offset == 0 && end == bytes)
        return mmap(wish, length, prot, flags, fd, (off_t)node_offset);
    uint8_t *start = mmap(NULL, bytes, prot, flags & ~fixed, fd, (off_t)node_offset);
    if (start == MAP_FAILED)
        return MAP_FAILED;
    void *part = start + offset;
    if (offset > 0)
        munmap(start, offset);
    if (end < bytes)
        munmap(start + end, bytes - end);
    if (!(flags & fixed))
        return part;
    void *place = wish;
    if (flags & MAP_FIXED_NOREPLACE) /* fails if there is something */
        place = mmap(wish, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    bool held = flags & MAP_FIXED_NOREPLACE && place != MAP_FAILED;
    if (place != MAP_FAILED)
        place = mremap(part, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, wish);
    if (place == MAP_FAILED) {
        int error = errno;
        if (held)
            munmap(wish, length);
        munmap(part, length);
        errno = error;
    }
    return place;
}

int virtgpu_blob_mmap(struct aliquot_resource *base, size_t length, int prot, int flags,
                      uint64_t offset, void **address)
{
    struct virtgpu_resource *resource = virtgpu_resource(base);
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    uint64_t node_offset = 0;

    if (!vgpu->host_visible)
        return -EOPNOTSUPP;
    int result = object_offset(resource, &node_offset);
    if (result < 0)
        return result;
    /* The kernel waits for the device, which maps it. */
    vgpu_unlock(base->vgpu);
    void *memory = map_part(resource, node_offset, length, prot, flags, offset, *address);
    int error = memory == MAP_FAILED ? -errno : 0;
    pthread_mutex_lock(&base->vgpu->lock);
    if (error < 0)
        return virtgpu_failed(vgpu, "mapping a blob", error);
    *address = memory;
    return 0;
}
