/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the GPU: RESOURCE_BUSY_WAIT, which asks about all work of the connection, whatever
 * resource it names, and the one fence that a session has with the device at a time.
 */
#include "mediator/renderer/vtest_internal.h"

#include <string.h>

/* A client that waits is kept waiting by us, not by a fence, for so long: most frames are done by
 * then, and nothing else could be handled anyway. The event loop stands still meanwhile. */
#define SHORT_WAIT_US 1000

static void answer_busy_wait(struct vtest_session *s, uint32_t busy)
{
    uint32_t *body;

    if (vtest_answer(s, 1, VTEST_RESOURCE_BUSY_WAIT, sizeof(*body), &body) < 0)
        vtest_end(s, "out of memory");
    else
        *body = busy;
}

void vtest_fence_done(void *opaque, struct gpu_cmd *cmd)
{
    struct vtest_session *s = opaque;

    /* The device takes it for a command, and has counted it. */
    gpu_stat_add(&s->config.stats->commands, UINT64_MAX);
    if (cmd != &s->fence) {
        vtest_batch_done(s, cmd);
        return;
    }
    s->fence_pending = false;
    if (!s->ended)
        latency_queue_count(&s->streams, s->fenced_streams, s->config.stats, s->config.ring);
}

void vtest_count_streams(struct vtest_session *s)
{
    if (!s->device->dirty && !s->device->pending)
        latency_queue_count(&s->streams, s->streams.count, s->config.stats, s->config.ring);
}

/* The short way, which blocks for no longer than timeout_us: true if all is done. */
static bool finish_work(struct vtest_session *s, unsigned timeout_us)
{
    struct backend *backend = s->config.backend;

    if (!s->dirty && !s->fence_pending)
        return true;
    if (s->fence_pending || !backend->ops->finish || backend->ops->finish(backend, timeout_us) != 1)
        return false;
    s->dirty = s->device->dirty = false;
    vtest_count_streams(s);
    return true;
}

/* Has a fence cover what was submitted, unless one is on its way: what came after that one is
 * covered when somebody asks. */
static void fence_work(struct vtest_session *s)
{
    if (!s->dirty || s->fence_pending || s->ended)
        return;
    s->dirty = false;
    s->fence_pending = true;
    s->fenced_streams = s->streams.count;
    s->fence = (struct gpu_cmd){.hdr.flags = VIRTIO_GPU_FLAG_FENCE};
    int r = gpu_fence_start(s->device, &s->fence);
    if (r < 0) {
        s->fence_pending = false;
        vtest_end(s, "the GPU takes no fence: %s", strerror(-r));
    }
}

/* True if all that was submitted is done, or soon is. If not, a fence is on its way. */
static bool work_done(struct vtest_session *s, bool wait)
{
    if (finish_work(s, wait ? SHORT_WAIT_US : 0))
        return true;
    fence_work(s);
    return !s->fence_pending && !s->dirty;
}

/* There is nothing to handle just now: has the GPU begin with what was submitted. When somebody
 * asks for it, it may be done. */
void vtest_start_work(struct vtest_session *s)
{
    if (!s->dirty || s->started)
        return;
    s->started = true;
    finish_work(s, 0);
}

int vtest_resource_busy_wait(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_busy_wait req;
    bool wait, done;

    memcpy(&req, msg->body, sizeof(req));
    wait = req.flags & VTEST_BUSY_WAIT_FLAG_WAIT;
    if (req.handle != 0 && !gpu_resource_get(s->device, req.handle))
        return vtest_refuse(msg, "no resource %u", req.handle);
    done = work_done(s, wait);
    if (!done && wait)
        s->waiting = true;
    else
        answer_busy_wait(s, !done);
    return 0;
}

bool vtest_wait_is_over(struct vtest_session *s)
{
    if (!s->waiting || !work_done(s, false))
        return false;
    s->waiting = false;
    answer_busy_wait(s, 0);
    return true;
}
