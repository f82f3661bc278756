/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct aliquot_fence {
    atomic_uint refs;
    struct aliquot_vgpu *vgpu; /* owned reference */
    /* Under the vGPU's lock: */
    bool done;
    int error;
    int event_fd; /* owned while the fence is not done; what is handed out are its duplicates */
};

struct aliquot_fence *fence_create(struct aliquot_vgpu *vgpu)
{
    struct aliquot_fence *fence = calloc(1, sizeof(*fence));

    if (!fence)
        return NULL;
    atomic_init(&fence->refs, 1);
    atomic_fetch_add(&vgpu->refs, 1);
    fence->vgpu = vgpu;
    fence->event_fd = -1;
    return fence;
}

struct aliquot_fence *aliquot_fence_ref(struct aliquot_fence *fence)
{
    atomic_fetch_add(&fence->refs, 1);
    return fence;
}

void aliquot_fence_unref(struct aliquot_fence *fence)
{
    if (!fence || atomic_fetch_sub(&fence->refs, 1) != 1)
        return;
    if (fence->event_fd >= 0)
        close(fence->event_fd);
    vgpu_unref(fence->vgpu);
    free(fence);
}

void fence_complete(struct aliquot_fence *fence, int error)
{
    fence->done = true;
    fence->error = error;
    if (fence->event_fd < 0)
        return;
    eventfd_write(fence->event_fd, 1);
    close(fence->event_fd);
    fence->event_fd = -1;
    fence->vgpu->exported--;
}

static bool is_done(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return ((const struct aliquot_fence *)arg)->done;
}

int aliquot_fence_wait(struct aliquot_fence *fence, int64_t timeout_ns)
{
    struct aliquot_vgpu *vgpu = fence->vgpu;
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    if (!fence->done) {
        int64_t now_ns = monotonic_ns();
        int64_t deadline_ns = INT64_MAX - 1;
        if (timeout_ns < 0)
            deadline_ns = vgpu_deadline_ns(vgpu);
        else if (timeout_ns < deadline_ns - now_ns)
            deadline_ns = now_ns + timeout_ns;
        result = ring_wait(vgpu, is_done, fence, deadline_ns);
    }
    if (fence->done)
        result = fence->error;
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_fence_finish(struct aliquot_fence *fence)
{
    int result = aliquot_fence_wait(fence, ALIQUOT_TIMEOUT_DEFAULT_NS);

    aliquot_fence_unref(fence);
    return result;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static bool none_exported(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return vgpu->exported == 0;
}

/* Takes notifications while somebody may be sleeping on a descriptor instead of in the library. */
static void *reaper_main(void *arg)
{
    struct aliquot_vgpu *vgpu = arg;

    pthread_mutex_lock(&vgpu->lock);
    ring_wait(vgpu, none_exported, NULL, INT64_MAX);
    vgpu->reaper_running = false;
    vgpu_unlock(vgpu);
    return NULL;
}

/* Under the lock. */
static int reaper_start(struct aliquot_vgpu *vgpu)
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

void fence_reaper_join(struct aliquot_vgpu *vgpu)
{
    if (vgpu->reaper_joinable)
        pthread_join(vgpu->reaper, NULL);
    vgpu->reaper_joinable = false;
}

/* Under the lock: gives the fence, which is not done, a descriptor of its own. */
static int export_fence(struct aliquot_fence *fence)
{
    int result = reaper_start(fence->vgpu);
    if (result < 0)
        return result;
    fence->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fence->event_fd < 0)
        return -errno;
    fence->vgpu->exported++;
    return 0;
}

int aliquot_fence_fd(struct aliquot_fence *fence)
{
    struct aliquot_vgpu *vgpu = fence->vgpu;
    int fd = -1;
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    if (!fence->done && fence->event_fd < 0)
        result = export_fence(fence);
    if (result == 0) {
        if (fence->done)
            fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        else
            fd = fcntl(fence->event_fd, F_DUPFD_CLOEXEC, 0);
        result = fd < 0 ? -errno : fd;
    }
    vgpu_unlock(vgpu);
    return result;
}
