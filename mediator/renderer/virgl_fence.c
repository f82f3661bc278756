/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/virgl_fence.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <virgl/virglrenderer.h>

struct virgl_fence {
    struct virgl_fence *next; /* owned by struct virgl_fences */
    uint32_t number;
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
};

void virgl_fences_init(struct virgl_fences *f, const struct backend_events *events, void *opaque)
{
    pthread_condattr_t attributes;

    *f = (struct virgl_fences){.events = events, .opaque = opaque};
    f->last = &f->first;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&f->progress, &attributes);
    pthread_condattr_destroy(&attributes);
}

void virgl_fences_finish(struct virgl_fences *f)
{
    virgl_fences_forget(f);
    pthread_cond_destroy(&f->progress);
    pthread_mutex_destroy(&f->lock);
}

/* Numbers wrap; never are 2^31 in flight. */
static bool reached(const struct virgl_fences *f, uint32_t number)
{
    return (int32_t)(number - f->retired) <= 0;
}

/* Tells of fence_id once the fence with that number is retired. */
static int wait_for(struct virgl_fences *f, uint32_t number, uint32_t ctx_id, uint32_t ring_idx,
                    uint64_t fence_id)
{
    struct virgl_fence *fence = NULL;

    pthread_mutex_lock(&f->lock);
    if (reached(f, number)) {
        f->events->fence_done(f->opaque, ctx_id, ring_idx, fence_id);
        pthread_mutex_unlock(&f->lock);
        return 0;
    }
    fence = malloc(sizeof(*fence));
    if (fence) {
        *fence = (struct virgl_fence){
            .number = number, .ctx_id = ctx_id, .ring_idx = ring_idx, .fence_id = fence_id};
        *f->last = fence;
        f->last = &fence->next;
    }
    pthread_mutex_unlock(&f->lock);
    return fence ? 0 : -ENOMEM;
}

int virgl_fences_create_marker(struct virgl_fences *f)
{
    /* Context 0 knows its fences by a 32-bit number; the sign is the API's. */
    if (virgl_renderer_create_fence((int)(f->created + 1), 0) != 0)
        return -EIO;
    f->created++;
    return 0;
}

int virgl_fences_create(struct virgl_fences *f, uint32_t ctx_id, uint32_t ring_idx,
                        uint64_t fence_id)
{
    int r = virgl_fences_create_marker(f);

    return r < 0 ? r : wait_for(f, f->created, ctx_id, ring_idx, fence_id);
}

int virgl_fences_create_idle(struct virgl_fences *f, uint32_t ctx_id, uint32_t ring_idx,
                             uint64_t fence_id)
{
    return wait_for(f, f->created, ctx_id, ring_idx, fence_id);
}

bool virgl_fences_wait_current(unsigned timeout_us)
{
    GLsync sync = glFenceSync(GL_SYNC_GPU_COMMANDS_COMPLETE, 0);
    GLenum r = glClientWaitSync(sync, GL_SYNC_FLUSH_COMMANDS_BIT, timeout_us * UINT64_C(1000));

    glDeleteSync(sync);
    return r == GL_ALREADY_SIGNALED || r == GL_CONDITION_SATISFIED;
}

void virgl_fences_retire(struct virgl_fences *f, uint32_t number)
{
    pthread_mutex_lock(&f->lock);
    if (!reached(f, number))
        f->retired = number;
    while (f->first && reached(f, f->first->number)) {
        struct virgl_fence *fence = f->first;
        f->first = fence->next;
        if (!f->first)
            f->last = &f->first;
        f->events->fence_done(f->opaque, fence->ctx_id, fence->ring_idx, fence->fence_id);
        free(fence);
    }
    pthread_cond_broadcast(&f->progress);
    pthread_mutex_unlock(&f->lock);
}

void virgl_fences_forget(struct virgl_fences *f)
{
    struct virgl_fence *fence;

    pthread_mutex_lock(&f->lock);
    fence = f->first;
    f->first = NULL;
    f->last = &f->first;
    pthread_mutex_unlock(&f->lock);
    while (fence) {
        struct virgl_fence *next = fence->next;
        free(fence);
        fence = next;
    }
}

bool virgl_fences_idle(struct virgl_fences *f)
{
    bool idle;

    pthread_mutex_lock(&f->lock);
    idle = reached(f, f->created);
    pthread_mutex_unlock(&f->lock);
    return idle;
}

void virgl_fences_wait(struct virgl_fences *f, unsigned timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&f->lock);
    while (!reached(f, f->created) && pthread_cond_timedwait(&f->progress, &f->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&f->lock);
}
