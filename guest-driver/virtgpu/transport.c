/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/virtgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- errors --------------------------------------------------------------------------------- */

int virtgpu_failed(struct virtgpu_vgpu *vgpu, const char *what, int error)
{
    if (vgpu->base.lost) /* while the kernel was asked: that is why */
        return vgpu->base.lost;
    if (error == -ENODEV) {
        vgpu_lose(&vgpu->base, -ECONNRESET, "the virtio-gpu device is gone");
        return -ECONNRESET;
    }
    vgpu_error(&vgpu->base, "%s: %s", what, strerror(-error));
    return error;
}

int virtgpu_ioctl(struct virtgpu_vgpu *vgpu, const struct node *node, unsigned long request,
                  void *arg, const char *what)
{
    vgpu_unlock(&vgpu->base);
    int result = vgpu->drm.ioctl(node->fd, request, arg) < 0 ? -errno : 0;
    pthread_mutex_lock(&vgpu->base.lock);
    return result < 0 ? virtgpu_failed(vgpu, what, result) : 0;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool is_signalled(int sync_fd)
{
    struct pollfd pfd = {.fd = sync_fd, .events = POLLIN};

    return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN);
}

int virtgpu_wait(struct virtgpu_vgpu *vgpu, int sync_fd, int64_t deadline_ns)
{
    struct pollfd pfds[] = {{.fd = sync_fd, .events = POLLIN},
                            {.fd = vgpu->wake_fd, .events = POLLIN}};
    int n;

    vgpu_wait_begin(&vgpu->base);
    vgpu_unlock(&vgpu->base);
    do {
        int64_t left_ns = deadline_ns - monotonic_ns();
        struct timespec ts = {.tv_sec = left_ns > 0 ? left_ns / 1000000000 : 0,
                              .tv_nsec = left_ns > 0 ? left_ns % 1000000000 : 0};
        n = ppoll(pfds, 2, &ts, NULL);
    } while (n < 0 && errno == EINTR);
    int error = n < 0 ? -errno : 0;
    pthread_mutex_lock(&vgpu->base.lock);
    vgpu_wait_end(&vgpu->base);
    if (n > 0 && (pfds[0].revents & POLLIN))
        return 0;
    if (vgpu->base.lost)
        return vgpu->base.lost;
    return error < 0 ? error : -ETIMEDOUT;
}

static void virtgpu_fence_init(struct aliquot_fence *fence)
{
    ((struct virtgpu_fence *)fence)->sync_fd = -1;
}

static int virtgpu_fence_wait(struct aliquot_fence *fence, int64_t timeout_ns)
{
    return virtgpu_wait(virtgpu_vgpu(fence->vgpu), ((struct virtgpu_fence *)fence)->sync_fd,
                        vgpu_deadline_of_ns(fence->vgpu, timeout_ns));
}

static int virtgpu_fence_fd(struct aliquot_fence *fence)
{
    int sync_fd = ((struct virtgpu_fence *)fence)->sync_fd;
    int fd;

    if (fence->vgpu->lost && !is_signalled(sync_fd))
        fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    else
        fd = fcntl(sync_fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static void virtgpu_fence_finish(struct aliquot_fence *fence)
{
    int sync_fd = ((struct virtgpu_fence *)fence)->sync_fd;

    if (sync_fd >= 0)
        close(sync_fd);
}

/* ---- life ----------------------------------------------------------------------------------- */

static int virtgpu_open(struct aliquot_vgpu *base, const struct aliquot_open_args *args)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);

    vgpu->wake_fd = -1;
    pthread_mutex_init(&vgpu->attaching, NULL);
    int result = libdrm_load(&vgpu->drm);
    if (result < 0) {
        vgpu_error(base, "%s: libdrm.so.2 cannot be loaded: install libdrm (Debian: libdrm2)",
                   args->path);
        return result;
    }
    vgpu->path = strdup(args->path);
    if (!vgpu->path)
        return -ENOMEM;
    vgpu->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vgpu->wake_fd < 0)
        return -errno;
    result = node_open(vgpu, &vgpu->main);
    return result < 0 ? result : node_probe(vgpu);
}

static void virtgpu_lose(struct aliquot_vgpu *base, int error)
{
    eventfd_write(virtgpu_vgpu(base)->wake_fd, 1);
}

static void virtgpu_no_more(struct aliquot_vgpu *vgpu)
{
}

static void virtgpu_release(struct aliquot_vgpu *base)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);

    node_unref(vgpu->main);
    vgpu->main = NULL;
    free(vgpu->path);
    vgpu->path = NULL;
    libdrm_unload(&vgpu->drm);
}

static void virtgpu_finish(struct aliquot_vgpu *base)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);

    if (vgpu->wake_fd >= 0)
        close(vgpu->wake_fd);
    if (!vgpu_is_foreign(base))
        pthread_mutex_destroy(&vgpu->attaching);
}

static int virtgpu_find(char **ret_path, char *reason)
{
    struct libdrm drm = {0};

    if (libdrm_load(&drm) < 0) {
        snprintf(reason, ERROR_TEXT_BYTES, "no libdrm.so.2 to look for a render node with");
        return -ENOENT;
    }
    int result = node_find(&drm, VIRTGPU_DIRECTORY, ret_path, reason);
    libdrm_unload(&drm);
    return result;
}

static void virtgpu_get_info(struct aliquot_vgpu *base, struct aliquot_info *info)
{
    const struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);

    info->memory_bytes = base->memory_bytes;
    info->memory_free_bytes = base->memory_bytes - vgpu->used_bytes;
    if (vgpu->host_visible)
        info->host_visible_bytes = info->host_visible_free_bytes = ALIQUOT_BYTES_UNKNOWN;
}

static int virtgpu_sync(struct aliquot_vgpu *base)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);

    return virtgpu_settle(vgpu, vgpu->main);
}

const struct transport transport_virtgpu = {
    .vgpu_bytes = sizeof(struct virtgpu_vgpu),
    .context_bytes = sizeof(struct virtgpu_context),
    .resource_bytes = sizeof(struct virtgpu_resource),
    .fence_bytes = sizeof(struct virtgpu_fence),
    .find = virtgpu_find,
    .open = virtgpu_open,
    .lose = virtgpu_lose,
    .settle = virtgpu_no_more,
    .release = virtgpu_release,
    .finish = virtgpu_finish,
    .poll = virtgpu_no_more,
    .get_info = virtgpu_get_info,
    .capset_info = virtgpu_capset_info,
    .capset = virtgpu_capset,
    .sync = virtgpu_sync,
    .context_create = virtgpu_context_create,
    .context_destroy = virtgpu_context_destroy,
    .context_release = virtgpu_context_release,
    .attach = virtgpu_attach,
    .detach = virtgpu_detach,
    .submit = virtgpu_submit,
    .resource_create = virtgpu_resource_create,
    .blob_create = virtgpu_blob_create,
    .resource_wait = virtgpu_resource_wait,
    .resource_destroy = virtgpu_resource_destroy,
    .resource_release = virtgpu_resource_release,
    .transfer = virtgpu_transfer,
    .blob_mmap = virtgpu_blob_mmap,
    .fence_init = virtgpu_fence_init,
    .fence_wait = virtgpu_fence_wait,
    .fence_fd = virtgpu_fence_fd,
    .fence_finish = virtgpu_fence_finish,
};
