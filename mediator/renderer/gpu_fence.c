/* SPDX-License-Identifier: MIT */
/*
 * Commands that wait for the GPU, and the queue in which the backend reports fences from any
 * thread.
 *
 * All waiting commands are in one list in the order of their submission. There is one counter of
 * fences for all timelines: what the backend gets for the device's timeline is its lower 31 bits,
 * from which the full number is found again, since never are 2^31 commands in flight.
 */
#include "mediator/renderer/gpu_internal.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#define DEVICE_FENCE_MASK 0x7fffffffu

struct fence_event {
    uint32_t ctx_id, ring_idx; /* ctx_id 0: the timeline of the device */
    uint64_t fence_id;
};

struct event_array {
    struct fence_event *events; /* owned */
    size_t count, capacity;
};

/* gpu_device_settle(): how long it waits for the GPU, since most frames are done by then, and how
 * often it looks for more to do meanwhile. */
#define SETTLE_US 1000
#define SETTLE_STEP_US 50
/* After it was in vain: how often it doesn't wait at all. A driver that goes on without waiting,
 * and work that takes long, are likely to do so again. */
#define SETTLE_SKIP 8

/* Fences that are done before fence() returns need neither lock nor eventfd. */
#define DIRECT_EVENTS 8

struct gpu_fence_queue {
    int event_fd;
    pthread_mutex_t lock;
    struct event_array posted;  /* under lock */
    struct event_array working; /* the main thread's; swapped with posted */
    struct fence_event direct[DIRECT_EVENTS];
    size_t n_direct;
};

/* Set while this thread is inside backend fence(). */
static _Thread_local struct gpu_fence_queue *direct_queue;

static void post(struct event_array *a, const struct fence_event *event)
{
    struct fence_event *last = a->count ? &a->events[a->count - 1] : NULL;

    /* A later fence of the same timeline says all that an earlier one does. */
    if (last && last->ctx_id == event->ctx_id && last->ring_idx == event->ring_idx) {
        last->fence_id = event->fence_id;
        return;
    }
    if (!a->events || a->count == a->capacity) {
        size_t capacity = a->capacity ? a->capacity * 2 : 64;
        struct fence_event *events = reallocarray(a->events, capacity, sizeof(*events));
        if (!events) {
            /* A lost fence would hang the guest for good; a renderer that dies is replaced. */
            log_error("out of memory for a fence");
            _exit(EXIT_FAILURE);
        }
        a->events = events;
        a->capacity = capacity;
    }
    a->events[a->count++] = *event;
}

static void fence_done(void *opaque, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id)
{
    struct gpu_fence_queue *q = opaque;
    const struct fence_event event = {ctx_id, ring_idx, fence_id};
    bool first;

    if (direct_queue == q && q->n_direct < DIRECT_EVENTS) {
        q->direct[q->n_direct++] = event;
        return;
    }
    pthread_mutex_lock(&q->lock);
    first = q->posted.count == 0;
    post(&q->posted, &event);
    pthread_mutex_unlock(&q->lock);
    if (first)
        eventfd_write(q->event_fd, 1);
}

const struct backend_events gpu_fence_queue_events = {.fence_done = fence_done};

int gpu_fence_queue_create(struct gpu_fence_queue **ret)
{
    struct gpu_fence_queue *q = calloc(1, sizeof(*q));

    if (!q)
        return -ENOMEM;
    q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->event_fd < 0) {
        int r = -errno;
        free(q);
        return r;
    }
    pthread_mutex_init(&q->lock, NULL);
    *ret = q;
    return 0;
}

void gpu_fence_queue_destroy(struct gpu_fence_queue *q)
{
    if (!q)
        return;
    close(q->event_fd);
    pthread_mutex_destroy(&q->lock);
    free(q->posted.events);
    free(q->working.events);
    free(q);
}

/* ---- the device's side ----------------------------------------------------------------------- */

void gpu_device_set_fence_queue(struct gpu_device *dev, struct gpu_fence_queue *q)
{
    dev->fence_queue = q;
}

int gpu_device_event_fd(const struct gpu_device *dev)
{
    return dev->fence_queue->event_fd;
}

uint32_t gpu_device_in_flight(const struct gpu_device *dev)
{
    return dev->in_flight;
}

static bool on_context_timeline(const struct gpu_cmd *cmd)
{
    return cmd->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX;
}

static bool on_timeline(const struct gpu_cmd *cmd, const struct fence_event *event)
{
    if (!on_context_timeline(cmd))
        return event->ctx_id == 0;
    return cmd->hdr.ctx_id == event->ctx_id && cmd->hdr.ring_idx == event->ring_idx;
}

/* Takes *link out of the list of pending commands. */
static struct gpu_cmd *unlink_pending(struct gpu_device *dev, struct gpu_cmd **link)
{
    struct gpu_cmd *cmd = *link;

    *link = cmd->next;
    if (dev->pending_tail == &cmd->next)
        dev->pending_tail = link;
    if (dev->unasked == cmd)
        dev->unasked = cmd->next;
    cmd->next = NULL;
    dev->in_flight--;
    dev->on_vulkan -= cmd->on_vulkan;
    return cmd;
}

static void fence_reached(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    gpu_stat_add(&dev->stats->fences, 1);
    if (cmd->taken_ns != 0 && cmd->succeeded)
        latency_count(dev->stats, dev->ring, cmd->taken_ns);
    gpu_complete(dev, cmd);
}

/* The timeline of the event has come as far as its fence. */
static void retire(struct gpu_device *dev, const struct fence_event *event)
{
    struct gpu_cmd **link = &dev->pending;
    uint64_t upto = event->fence_id;

    if (event->ctx_id == 0) {
        uint64_t behind = (dev->fence_seq - event->fence_id) & DEVICE_FENCE_MASK;
        if (behind > dev->fence_seq)
            return; /* was never given out */
        upto = dev->fence_seq - behind;
    }
    while (*link && (*link)->fence_seq <= upto) {
        if (!on_timeline(*link, event)) {
            link = &(*link)->next;
            continue;
        }
        fence_reached(dev, unlink_pending(dev, link));
    }
}

/* What the backend reported inside fence(). */
static void retire_direct(struct gpu_device *dev)
{
    struct gpu_fence_queue *q = dev->fence_queue;

    for (size_t i = 0; q && i < q->n_direct; i++)
        retire(dev, &q->direct[i]);
    if (q)
        q->n_direct = 0;
}

/* Asks the backend for the fence of a pending command. */
static int ask(struct gpu_device *dev, const struct gpu_cmd *cmd)
{
    struct backend *backend = dev->backend;
    int r;

    direct_queue = dev->fence_queue;
    if (on_context_timeline(cmd))
        r = backend->ops->fence(backend, true, cmd->hdr.ctx_id, cmd->hdr.ring_idx, cmd->fence_seq);
    else
        r = backend->ops->fence(backend, false, 0, 0, cmd->fence_seq & DEVICE_FENCE_MASK);
    direct_queue = NULL;
    if (r == 0 && !cmd->on_vulkan)
        dev->dirty = false; /* a fence is of all that was submitted */
    return r;
}

static void unlink_cmd(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    struct gpu_cmd **link = &dev->pending;

    while (*link != cmd)
        link = &(*link)->next;
    unlink_pending(dev, link);
}

int gpu_fence_start(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    /* CTX_DESTROY may carry a fence of the context that it has just destroyed, and what was refused
     * any ring. */
    bool per_context = gpu_fence_is_per_context(dev, cmd) &&
                       cmd->hdr.ring_idx < VIRTIO_GPU_RINGS_MAX &&
                       gpu_context_get(dev, cmd->hdr.ctx_id);
    uint64_t seq;
    int r;

    cmd->on_vulkan = per_context && gpu_context_is_vulkan(dev, cmd->hdr.ctx_id);
    /* Those are asked for at once, so what waits to be asked for comes before. */
    if (cmd->on_vulkan && dev->unasked)
        gpu_fence_ask(dev);
    if (!per_context)
        cmd->hdr.flags &= ~(uint32_t)VIRTIO_GPU_FLAG_INFO_RING_IDX;
    /* Some backends take fence 0 for none. */
    seq = ++dev->fence_seq;
    if ((seq & DEVICE_FENCE_MASK) == 0)
        seq = ++dev->fence_seq;

    cmd->fence_seq = seq;
    cmd->next = NULL;
    *dev->pending_tail = cmd;
    dev->pending_tail = &cmd->next;
    dev->in_flight++;
    dev->on_vulkan += cmd->on_vulkan;

    if (dev->defer_fences && !cmd->on_vulkan) {
        if (!dev->unasked)
            dev->unasked = cmd;
        return 0;
    }
    r = ask(dev, cmd);
    if (r < 0)
        unlink_cmd(dev, cmd);
    retire_direct(dev);
    return r;
}

void gpu_fence_ask(struct gpu_device *dev)
{
    struct gpu_cmd *cmd;

    while ((cmd = dev->unasked)) {
        dev->unasked = cmd->next;
        if (ask(dev, cmd) < 0) {
            unlink_cmd(dev, cmd);
            gpu_finish_unfenced(dev, cmd);
        }
    }
    retire_direct(dev);
}

void gpu_device_defer_fences(struct gpu_device *dev)
{
    dev->defer_fences = dev->backend->ops->finish != NULL;
}

/* Waits for all work; false if it is not done soon, or more is there to do. */
static bool finish(struct gpu_device *dev, bool (*more)(void *opaque), void *opaque)
{
    struct backend *backend = dev->backend;

    if (dev->settle_skip > 0) {
        dev->settle_skip--;
        return false;
    }
    if (!backend->ops->finish)
        return false;
    for (unsigned waited_us = 0; waited_us < SETTLE_US; waited_us += SETTLE_STEP_US) {
        int r = backend->ops->finish(backend, SETTLE_STEP_US);
        if (r == 1)
            return true;
        if (r < 0)
            return false;
        if (more(opaque))
            break;
    }
    dev->settle_skip = SETTLE_SKIP;
    return false;
}

void gpu_device_settle(struct gpu_device *dev, bool (*more)(void *opaque), void *opaque)
{
    bool waits = dev->unasked || (dev->dirty && dev->gate && gate_is_inside(dev->gate));

    dev->defer_fences = false;
    if (waits && more && finish(dev, more, opaque)) {
        dev->dirty = false;
        /* What was asked for earlier is done too, whether we have heard of it or not. */
        for (struct gpu_cmd **link = &dev->pending; *link;) {
            if ((*link)->on_vulkan) {
                link = &(*link)->next;
                continue;
            }
            fence_reached(dev, unlink_pending(dev, link));
        }
    } else if (dev->unasked) {
        gpu_fence_ask(dev);
    }
    /* Behind a command that is blocked nothing comes that could have a fence. */
    if (more || dev->blocked)
        gpu_gate_cover(dev);
    else
        gpu_gate_check(dev);
}

void gpu_device_dispatch(struct gpu_device *dev)
{
    struct gpu_fence_queue *q = dev->fence_queue;
    struct event_array taken;
    eventfd_t count;

    /* Before the queue is emptied: what is posted afterwards raises it again. */
    (void)eventfd_read(q->event_fd, &count);
    pthread_mutex_lock(&q->lock);
    taken = q->posted;
    q->posted = q->working;
    q->posted.count = 0;
    q->working = taken;
    pthread_mutex_unlock(&q->lock);

    for (size_t i = 0; i < taken.count; i++)
        retire(dev, &taken.events[i]);
    q->working.count = 0;
    /* What came after the fence that is done now may have none of its own yet. */
    gpu_gate_cover(dev);
}

void gpu_fence_context_gone(struct gpu_device *dev, uint32_t ctx_id)
{
    struct gpu_cmd **link = &dev->pending;

    while (*link) {
        if (on_context_timeline(*link) && (*link)->hdr.ctx_id == ctx_id)
            gpu_complete(dev, unlink_pending(dev, link));
        else
            link = &(*link)->next;
    }
}

void gpu_fence_reset(struct gpu_device *dev)
{
    struct gpu_fence_queue *q = dev->fence_queue;

    while (dev->pending)
        gpu_complete(dev, unlink_pending(dev, &dev->pending));
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->posted.count = 0;
    pthread_mutex_unlock(&q->lock);
}
