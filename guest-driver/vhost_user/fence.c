/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct vhost_fence *vhost_fence(struct aliquot_fence *base)
{
    return (struct vhost_fence *)base;
}

void vhost_fence_init(struct aliquot_fence *base)
{
    vhost_fence(base)->event_fd = -1;
}

void vhost_fence_finish(struct aliquot_fence *base)
{
    struct vhost_fence *fence = vhost_fence(base);

    if (fence->event_fd >= 0)
        close(fence->event_fd);
}

void vhost_fence_complete(struct aliquot_fence *base, int error)
{
    struct vhost_fence *fence = vhost_fence(base);

    fence->done = true;
    fence->error = error;
    if (fence->event_fd < 0)
        return;
    eventfd_write(fence->event_fd, 1);
    close(fence->event_fd);
    fence->event_fd = -1;
    vhost_vgpu(base->vgpu)->exported--;
}

static bool is_done(const struct vhost_vgpu *vgpu, const void *arg)
{
    return ((const struct vhost_fence *)arg)->done;
}

int vhost_fence_wait(struct aliquot_fence *base, int64_t timeout_ns)
{
    struct vhost_fence *fence = vhost_fence(base);
    int result = 0;

    if (!fence->done)
        result = ring_wait(vhost_vgpu(base->vgpu), is_done, fence,
                           vgpu_deadline_of_ns(base->vgpu, timeout_ns));
    return fence->done ? fence->error : result;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static bool none_exported(const struct vhost_vgpu *vgpu, const void *arg)
{
    return vgpu->exported == 0;
}

/* Takes notifications while somebody may be sleeping on a descriptor instead of in the library. */
static void *reaper_main(void *arg)
{
    struct vhost_vgpu *vgpu = arg;

    pthread_mutex_lock(&vgpu->base.lock);
    ring_wait(vgpu, none_exported, NULL, INT64_MAX);
    vgpu->reaper_running = false;
    vgpu_unlock(&vgpu->base);
    return NULL;
}

static int reaper_start(struct vhost_vgpu *vgpu)
{
    sigset_t all, before;

    if (vgpu->reaper_running)
        return 0;
    /* A former one has dropped the lock for good, so joining it doesn't wait. */
    if (vgpu->reaper_joinable)
        pthread_join(vgpu->reaper, NULL);
    vgpu->reaper_joinable = false;

    /* The program's signals are none of its business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&vgpu->reaper, NULL, reaper_main, vgpu);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -error;
    vgpu->reaper_running = vgpu->reaper_joinable = true;
    return 0;
}

void vhost_reaper_join(struct aliquot_vgpu *base)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(base);

    if (vgpu->reaper_joinable)
        pthread_join(vgpu->reaper, NULL);
    vgpu->reaper_joinable = false;
}

/* Gives the fence, which is not done, a descriptor of its own. */
static int export_fence(struct vhost_fence *fence)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(fence->base.vgpu);
    int result = reaper_start(vgpu);

    if (result < 0)
        return result;
    fence->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fence->event_fd < 0)
        return -errno;
    vgpu->exported++;
    return 0;
}

int vhost_fence_fd(struct aliquot_fence *base)
{
    struct vhost_fence *fence = vhost_fence(base);
    int fd, result = 0;

    if (!fence->done && fence->event_fd < 0)
        result = export_fence(fence);
    if (result < 0)
        return result;
    if (fence->done)
        fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    else
        fd = fcntl(fence->event_fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}
