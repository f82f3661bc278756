/* SPDX-License-Identifier: MIT */
/*
 * The fences of the virgl backend: which of the device model's wait for which of virglrenderer's.
 * Used by backend_virgl.c and virgl_context.c.
 *
 * All go to virglrenderer as fences of its context 0, whatever timeline they are for. It retires
 * them one by one, in order, on its thread, so nothing is lost by that; and the fences of a guest's
 * context would be dropped with the context (or retired on a freed one, when its thread waits for
 * the fence just then), while the guest's command waits for ever.
 */
#ifndef ALIQUOT_RENDERER_VIRGL_FENCE_H
#define ALIQUOT_RENDERER_VIRGL_FENCE_H

#include "mediator/renderer/backend.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct virgl_fence;

struct virgl_fences {
    const struct backend_events *events; /* borrowed */
    void *opaque;
    uint32_t created;     /* number of the newest, wraps; the main thread's */
    pthread_mutex_t lock; /* also held during fence_done: after a forget there is none */
    pthread_cond_t progress;
    uint32_t retired;                  /* under lock: all up to this one are */
    struct virgl_fence *first, **last; /* under lock: waiting, in order */
};

void virgl_fences_init(struct virgl_fences *f, const struct backend_events *events, void *opaque);
void virgl_fences_finish(struct virgl_fences *f);

/* fence_done(ctx_id, ring_idx, fence_id) when what the current GL context was given so far is done,
 * and all earlier fences are. */
int virgl_fences_create(struct virgl_fences *f, uint32_t ctx_id, uint32_t ring_idx,
                        uint64_t fence_id);

/* The same without new work: at once if all earlier fences are retired. */
int virgl_fences_create_idle(struct virgl_fences *f, uint32_t ctx_id, uint32_t ring_idx,
                             uint64_t fence_id);

/* A fence that nobody is told of: those created later wait for this work too. */
int virgl_fences_create_marker(struct virgl_fences *f);

/* From virglrenderer, any thread. */
void virgl_fences_retire(struct virgl_fences *f, uint32_t number);

/* No fence_done for fences created before this, from now on. */
void virgl_fences_forget(struct virgl_fences *f);

/* Without a fence of virglrenderer: starts what the current GL context was given, and waits for it
 * for no longer than timeout_us. True: it is complete. */
bool virgl_fences_wait_current(unsigned timeout_us);

bool virgl_fences_idle(struct virgl_fences *f);
/* Until idle or timeout. */
void virgl_fences_wait(struct virgl_fences *f, unsigned timeout_ms);

#endif
