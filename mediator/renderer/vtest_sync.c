/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation objects of a vtest client: values that its batches of commands raise when the GPU
 * is done with them, on the timelines of its context, and descriptors for who waits for them.
 */
#include "mediator/renderer/vtest_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

/* Mesa has a handful of each. Every waiter is a descriptor, every batch a fence of the backend. */
#define SYNCS_MAX 65536
#define WAITERS_MAX 1024
#define WAITER_POINTS_MAX 4096
#define BATCHES_MAX 16384

struct vtest_sync {
    unsigned refs; /* the table's, and each point's */
    uint64_t value;
};

struct point {
    struct vtest_sync *sync; /* owned reference; NULL = reached */
    uint64_t value;
};

/* A SYNC_WAIT that is not over. */
struct vtest_sync_waiter {
    struct vtest_sync_waiter *next;
    int fd; /* owned; eventfd, of which the client has a copy */
    bool any;
    uint64_t end_ms; /* the client looks at it no more; UINT64_MAX = never */
    uint32_t count, left;
    struct point points[];
};

/* A batch whose fence the device has. */
struct batch {
    struct gpu_cmd cmd; /* first: the device gives back that */
    uint32_t count;
    struct point points[];
};

static uint64_t value_of(const struct vtest_sync_value *wire)
{
    return wire->lo | (uint64_t)wire->hi << 32;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- objects --------------------------------------------------------------------------------- */

static void sync_unref(struct vtest_sync *sync)
{
    if (sync && --sync->refs == 0)
        free(sync);
}

static void points_finish(struct point *points, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sync_unref(TAKE_PTR(points[i].sync));
}

/* Reads a point off the wire: false if there is no such object. Takes a reference. */
static bool point_read(const struct vtest_session *s, const void *wire, struct point *ret)
{
    struct vtest_sync_point p;
    struct vtest_sync *sync;

    memcpy(&p, wire, sizeof(p));
    sync = id_table_get(&s->syncs, p.id);
    if (!sync)
        return false;
    sync->refs++;
    *ret = (struct point){sync, value_of(&p.value)};
    return true;
}

int vtest_sync_create(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_sync_value initial;
    struct vtest_sync *sync;
    uint32_t *body;

    memcpy(&initial, msg->body, sizeof(initial));
    if (s->syncs.count >= SYNCS_MAX)
        return vtest_refuse(msg, "there are %u already", SYNCS_MAX);
    sync = malloc(sizeof(*sync));
    if (!sync)
        return -ENOMEM;
    *sync = (struct vtest_sync){.refs = 1, .value = value_of(&initial)};
    do
        s->last_sync_id++;
    while (s->last_sync_id == 0 || id_table_get(&s->syncs, s->last_sync_id));
    if (id_table_put(&s->syncs, s->last_sync_id, sync) < 0) {
        free(sync);
        return -ENOMEM;
    }
    if (vtest_answer(s, 1, msg->command, sizeof(*body), &body) < 0)
        return -ENOMEM;
    *body = s->last_sync_id;
    return 0;
}

int vtest_sync_unref(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_sync *sync;
    uint32_t id;

    memcpy(&id, msg->body, sizeof(id));
    sync = id_table_remove(&s->syncs, id);
    if (!sync)
        return vtest_refuse(msg, "no sync object %u", id);
    sync_unref(sync);
    return 0;
}

int vtest_sync_read(struct vtest_session *s, struct vtest_message *msg)
{
    const struct vtest_sync *sync;
    uint32_t id, *body;

    memcpy(&id, msg->body, sizeof(id));
    sync = id_table_get(&s->syncs, id);
    if (!sync)
        return vtest_refuse(msg, "no sync object %u", id);
    if (vtest_answer(s, 2, msg->command, 2 * sizeof(*body), &body) < 0)
        return -ENOMEM;
    body[0] = (uint32_t)sync->value;
    body[1] = (uint32_t)(sync->value >> 32);
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void waiter_free(struct vtest_session *s, struct vtest_sync_waiter **link)
{
    struct vtest_sync_waiter *w = *link;

    *link = w->next;
    s->n_waiters--;
    points_finish(w->points, w->count);
    close_fd_p(&w->fd);
    free(w);
}

/* Drops points of w that are reached; true if that ends the waiting. */
static bool waiter_look(struct vtest_sync_waiter *w)
{
    bool some = false;

    for (uint32_t i = 0; i < w->count; i++) {
        struct point *p = &w->points[i];
        if (!p->sync || p->sync->value < p->value)
            continue;
        sync_unref(TAKE_PTR(p->sync));
        w->left--;
        some = true;
    }
    return w->left == 0 || (some && w->any);
}

static void set_value(struct vtest_session *s, struct vtest_sync *sync, uint64_t value)
{
    bool raised = value > sync->value;
    struct vtest_sync_waiter **link = &s->waiters;

    sync->value = value;
    while (raised && *link) {
        if (waiter_look(*link)) {
            eventfd_write((*link)->fd, 1);
            waiter_free(s, link);
        } else {
            link = &(*link)->next;
        }
    }
}

int vtest_sync_write(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_sync_point p;
    struct vtest_sync *sync;

    memcpy(&p, msg->body, sizeof(p));
    sync = id_table_get(&s->syncs, p.id);
    if (!sync)
        return vtest_refuse(msg, "no sync object %u", p.id);
    set_value(s, sync, value_of(&p.value));
    return 0;
}

/* Those whose clients have given up. */
static void drop_old_waiters(struct vtest_session *s)
{
    struct vtest_sync_waiter **link = &s->waiters;
    uint64_t now = now_ms();

    while (*link) {
        if ((*link)->end_ms < now)
            waiter_free(s, link);
        else
            link = &(*link)->next;
    }
}

/* The list has it then, if there is something to wait for. *ret_fd is the client's copy. */
static int waiter_add(struct vtest_session *s, struct vtest_sync_waiter *w, bool waits, int *ret_fd)
{
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *ret_fd = w->fd < 0 ? -1 : fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
    w->next = s->waiters;
    s->waiters = w;
    s->n_waiters++;
    if (*ret_fd >= 0 && waiter_look(w))
        eventfd_write(w->fd, 1);
    else if (*ret_fd >= 0 && waits)
        return 0;
    waiter_free(s, &s->waiters);
    return *ret_fd < 0 ? -ENOMEM : 0;
}

int vtest_sync_wait(struct vtest_session *s, struct vtest_message *msg)
{
    const uint8_t *wire = (uint8_t *)msg->body + sizeof(struct vtest_sync_wait);
    size_t bytes = msg->body_bytes - sizeof(struct vtest_sync_wait);
    uint32_t count = (uint32_t)(bytes / sizeof(struct vtest_sync_point));
    struct vtest_sync_wait req;
    struct vtest_sync_waiter *w;
    void *body;
    int fd, r;

    memcpy(&req, msg->body, sizeof(req));
    if (bytes % sizeof(struct vtest_sync_point) != 0 || count > WAITER_POINTS_MAX)
        return vtest_refuse(msg, "%zu bytes of points", bytes);
    drop_old_waiters(s);
    if (s->n_waiters >= WAITERS_MAX)
        return vtest_refuse(msg, "there are %u already", WAITERS_MAX);
    w = calloc(1, sizeof(*w) + count * sizeof(w->points[0]));
    if (!w)
        return -ENOMEM;
    for (; w->count < count; w->count++) {
        if (!point_read(s, wire + w->count * sizeof(struct vtest_sync_point),
                        &w->points[w->count])) {
            points_finish(w->points, w->count);
            free(w);
            return vtest_refuse(msg, "no such sync object");
        }
    }
    w->left = count;
    w->any = req.flags & VTEST_SYNC_WAIT_ANY;
    w->end_ms =
        req.timeout_ms >= VTEST_SYNC_WAIT_FOREVER_MS ? UINT64_MAX : now_ms() + req.timeout_ms;
    r = waiter_add(s, w, req.timeout_ms > 0, &fd);
    if (r < 0 || vtest_answer(s, 0, msg->command, 0, &body) < 0) {
        close_fd_p(&fd);
        return -ENOMEM;
    }
    vtest_output_fd(&s->output, fd);
    return 0;
}

/* ---- batches --------------------------------------------------------------------------------- */

static void reach(struct vtest_session *s, struct point *points, uint32_t count)
{
    for (uint32_t i = 0; i < count && !s->ended; i++)
        set_value(s, points[i].sync, points[i].value);
    points_finish(points, count);
}

void vtest_batch_done(struct vtest_session *s, struct gpu_cmd *cmd)
{
    struct batch *b = (struct batch *)cmd;

    s->n_batches--;
    reach(s, b->points, b->count);
    free(b);
}

/* Has the points reached when all is done that was submitted on the timeline. */
static int fence_points(struct vtest_session *s, struct vtest_message *msg,
                        const struct vtest_batch *req)
{
    const uint8_t *wire = (uint8_t *)msg->body + req->points_offset * 4ull;
    struct batch *b = calloc(1, sizeof(*b) + req->points_count * sizeof(b->points[0]));
    int r;

    if (!b)
        return -ENOMEM;
    for (; b->count < req->points_count; b->count++) {
        if (!point_read(s, wire + b->count * sizeof(struct vtest_sync_point),
                        &b->points[b->count])) {
            points_finish(b->points, b->count);
            free(b);
            return vtest_refuse(msg, "no such sync object");
        }
    }
    if (!(req->flags & VTEST_BATCH_RING_IDX)) {
        reach(s, b->points, b->count);
        free(b);
        return 0;
    }
    b->cmd.hdr = (struct virtio_gpu_ctrl_hdr){
        .flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX,
        .ctx_id = VTEST_CTX_ID,
        .ring_idx = (uint8_t)req->ring_idx,
    };
    s->n_batches++;
    r = gpu_fence_start(s->device, &b->cmd); /* b may be gone after it */
    if (r < 0) {
        s->n_batches--;
        points_finish(b->points, b->count);
        free(b);
        return vtest_refuse(msg, "the GPU takes no fence: %s", strerror(-r));
    }
    return 0;
}

static bool words_inside(uint32_t offset, uint64_t words, size_t bytes)
{
    return range_inside(offset, words, bytes / 4);
}

static int run_batch(struct vtest_session *s, struct vtest_message *msg,
                     const struct vtest_batch *req)
{
    uint8_t *commands = (uint8_t *)msg->body + req->commands_offset * 4ull;
    int r = 0;

    if (!words_inside(req->commands_offset, req->commands_size, msg->body_bytes) ||
        !words_inside(req->points_offset, req->points_count * 3ull, msg->body_bytes))
        return vtest_refuse(msg, "a batch reaches beyond the end");
    if (req->ring_idx >= VIRTIO_GPU_RINGS_MAX)
        return vtest_refuse(msg, "no timeline %u", req->ring_idx);
    if ((req->flags & ~VTEST_BATCH_RING_IDX) || req->in_syncobjs || req->out_syncobjs)
        return vtest_refuse(msg, "DRM sync objects are not offered");
    if (s->n_batches >= BATCHES_MAX)
        return vtest_refuse(msg, "%u batches wait already", BATCHES_MAX);
    if (req->commands_size > 0)
        r = vtest_submit(s, msg, commands, req->commands_size * 4ull);
    return r < 0 || req->points_count == 0 ? r : fence_points(s, msg, req);
}

int vtest_submit_cmd2(struct vtest_session *s, struct vtest_message *msg)
{
    size_t stride =
        s->version >= VTEST_VERSION_SYNCOBJS ? sizeof(struct vtest_batch) : VTEST_BATCH_BYTES_V3;
    uint32_t count;

    memcpy(&count, msg->body, sizeof(count));
    if (count > (msg->body_bytes - sizeof(count)) / stride)
        return vtest_refuse(msg, "%u batches in %zu bytes", count, msg->body_bytes);
    for (; s->batch < count; s->batch++) {
        struct vtest_batch req = {0};
        memcpy(&req, (uint8_t *)msg->body + sizeof(count) + s->batch * stride, stride);
        int r = run_batch(s, msg, &req);
        if (r < 0)
            return r; /* -EAGAIN: goes on with this one */
    }
    s->batch = 0;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

void vtest_sync_finish(struct vtest_session *s)
{
    uint32_t pos = 0;

    while (s->waiters)
        waiter_free(s, &s->waiters);
    for (struct vtest_sync *sync; (sync = id_table_next(&s->syncs, &pos));)
        sync_unref(sync);
    id_table_finish(&s->syncs);
}
