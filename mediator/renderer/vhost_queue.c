/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vhost_internal.h"

#include "mediator/base/util.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

/* Requests of one go: messages, fences and the other queue get their turn in between. */
#define RUN_BUDGET 64

/* How long a stop waits for the GPU. The front-end's main loop stands still meanwhile. */
#define STOP_TIMEOUT_MS 5000

/* ---- requests ------------------------------------------------------------------------------- */

static struct vhost_request *request_get(struct vhost_backend *be)
{
    struct vhost_request *req = be->spare;
    if (req == NULL)
        return malloc(sizeof(*req));
    be->spare = req->next_spare;
    be->n_spare--;
    return req;
}

static void request_put(struct vhost_backend *be, struct vhost_request *req)
{
    if (be->n_spare == VHOST_SPARE_REQUESTS) {
        free(req);
        return;
    }
    req->next_spare = be->spare;
    be->spare = req;
    be->n_spare++;
}

static void signal_eventfd(int fd)
{
    uint64_t one = 1;
    /* EAGAIN: the counter is full, so whoever waits knows. Nothing else can be done about errors.
     */
    if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_debug("an eventfd of the front-end can't be written: %m");
}

static void flush(struct vhost_queue *vq)
{
    if (!vq->notify)
        return;
    vq->notify = false;
    if (!vring_dev_should_notify(&vq->ring))
        return;
    if (vq->call_fd >= 0)
        signal_eventfd(vq->call_fd);
    else
        vq->call_missed = true;
}

/* Back from the device. */
static void request_done(struct vhost_backend *be, struct vhost_request *req)
{
    vring_chain_finish(&req->cmd.chain);
    request_put(be, req);
    if (--be->in_device == 0 && be->pins.count > 0)
        guest_pins_drop(&be->pins);
}

void vhost_flush(void *opaque)
{
    struct vhost_backend *be = opaque;

    for (int i = 0; i < VIRTIO_GPU_QUEUES; i++)
        flush(&be->queues[i]);
}

void vhost_batch_begin(struct vhost_backend *be)
{
    be->batch++;
}

void vhost_batch_end(struct vhost_backend *be)
{
    if (--be->batch == 0)
        vhost_flush(be);
}

void vhost_complete(void *opaque, struct gpu_cmd *cmd)
{
    struct vhost_backend *be = opaque;
    struct vhost_request *req = (struct vhost_request *)cmd;
    struct vhost_queue *vq = &be->queues[cmd->queue];

    /* At the end of the connection requests outlive their rings. Not at a stop, which leaves none
     * behind: no request is ever answered on a ring it did not come from. */
    if (vq->started) {
        vring_dev_push(&vq->ring, cmd->chain.head, cmd->response_len);
        vq->in_flight--;
        vq->notify = true;
        if (be->batch == 0)
            flush(vq);
    }
    request_done(be, req);
}

void vhost_queue_set_call(struct vhost_queue *vq, int fd)
{
    if (vq->call_fd >= 0)
        close(vq->call_fd);
    vq->call_fd = fd;
    if (fd >= 0 && vq->call_missed) {
        vq->call_missed = false;
        signal_eventfd(fd);
    }
}

/* ---- running -------------------------------------------------------------------------------- */

void vhost_queue_run_later(struct vhost_queue *vq)
{
    int r = sd_event_source_set_enabled(vq->again_source, SD_EVENT_ONESHOT);
    if (r < 0)
        vhost_end(vq->be, "event loop: %s", strerror(-r));
}

static bool can_run(const struct vhost_queue *vq)
{
    return vq->started && vq->enabled && vq->mapped && !vq->blocked && !vq->be->ended;
}

static void ring_broken(struct vhost_queue *vq, const char *reason)
{
    if (vq->err_fd >= 0)
        signal_eventfd(vq->err_fd);
    vhost_reject(vq->be, "virtqueue %d: %s", (int)vq->index, reason);
}

/* Pops one request and hands it to the device: 1, 0 if there is none, or negative: it ended. */
static int run_one(struct vhost_queue *vq)
{
    struct vhost_backend *be = vq->be;
    const char *reason = "broken";

    struct vhost_request *req = request_get(be);
    if (req == NULL) {
        vhost_end(be, "out of memory");
        return -ENOMEM;
    }
    req->cmd = (struct gpu_cmd){.queue = vq->index};

    int r = vring_dev_pop(&vq->ring, guest_mem_translate, &be->memory, &req->cmd.chain, &reason);
    if (r <= 0) {
        request_put(be, req);
        if (r < 0)
            ring_broken(vq, reason);
        return r;
    }
    vq->in_flight++;
    be->in_device++;
    be->device_used = true;
    if (!gpu_device_handle(be->device, &req->cmd))
        vq->blocked = true;
    return 1;
}

static bool has_work(void *opaque)
{
    const struct vhost_queue *vq = opaque;

    return vring_dev_has_work(&vq->ring);
}

/* The driver need not kick meanwhile. */
static void watch(struct vhost_queue *vq)
{
    vring_dev_enable_kick(&vq->ring, false);
    bool more = request_watch(&vq->be->watch, has_work, vq);
    vring_dev_enable_kick(&vq->ring, true);
    if (more || has_work(vq))
        vhost_queue_run_later(vq);
}

void vhost_queue_run(struct vhost_queue *vq)
{
    struct vhost_backend *be = vq->be;
    bool idle = false;

    if (!can_run(vq))
        return;
    vhost_batch_begin(be);
    gpu_device_defer_fences(be->device);
    for (unsigned i = 0; i < RUN_BUDGET && can_run(vq); i++) {
        int r = run_one(vq);
        if (r < 0)
            break;
        if (r > 0)
            continue;
        vring_dev_enable_kick(&vq->ring, true);
        idle = !vring_dev_has_work(&vq->ring);
        if (idle)
            break;
    }
    gpu_device_settle(be->device, idle ? has_work : NULL, vq);
    if (!idle && can_run(vq))
        vhost_queue_run_later(vq);
    vhost_batch_end(be);
    if (idle && can_run(vq) && gpu_device_is_at_leisure(be->device))
        watch(vq);
}

static int on_kick(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    vhost_queue_run(opaque);
    return 0;
}

static int on_again(sd_event_source *source, void *opaque)
{
    vhost_queue_run(opaque);
    return 0;
}

/* ---- set-up --------------------------------------------------------------------------------- */

int vhost_queue_init(struct vhost_queue *vq, struct vhost_backend *be, enum virtio_gpu_queue index)
{
    *vq = (struct vhost_queue){
        .be = be,
        .index = index,
        .kick_fd = -1,
        .call_fd = -1,
        .err_fd = -1,
    };
    int r = sd_event_add_defer(be->config.event, &vq->again_source, on_again, vq);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(vq->again_source, SD_EVENT_OFF);
}

static void rewind_blocked(struct vhost_queue *vq)
{
    struct gpu_cmd *cmd = vq->blocked ? gpu_device_take_blocked(vq->be->device) : NULL;
    if (cmd == NULL)
        return;
    /* It was the last one popped: nothing is popped behind a request that blocks. */
    vq->ring.last_avail--;
    vq->in_flight--;
    vq->blocked = false;
    request_done(vq->be, (struct vhost_request *)cmd);
}

static void drop_kick(struct vhost_queue *vq)
{
    vq->kick_source = sd_event_source_disable_unref(vq->kick_source);
    if (vq->kick_fd >= 0)
        close(vq->kick_fd);
    vq->kick_fd = -1;
}

/* The ring is nobody's any more: what is still in flight is answered to nobody. */
static void halt(struct vhost_queue *vq)
{
    drop_kick(vq);
    vq->started = false;
    vq->blocked = false;
    vq->notify = false;
    vq->in_flight = 0;
    vq->ring.desc = NULL;
    vq->ring.avail = NULL;
    vq->ring.used = NULL;
    vhost_ring_unpin(&vq->memory);
}

void vhost_queue_finish(struct vhost_queue *vq)
{
    if (vq->be == NULL)
        return; /* never initialised */
    rewind_blocked(vq);
    halt(vq);
    vq->again_source = sd_event_source_disable_unref(vq->again_source);
    int fds[] = {vq->call_fd, vq->err_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    vq->call_fd = vq->err_fd = -1;
}

int vhost_ring_pin(struct vhost_backend *be, const struct vhost_user_vring_addr *addr, uint32_t num,
                   struct vhost_ring_memory *ret, const char **ret_reason)
{
    struct vhost_ring_memory memory = {0};
    const struct {
        uint64_t uva, bytes, align;
        const char *bad;
    } parts[RING_PARTS] = {
        [RING_DESC] = {addr->desc_uva, vring_desc_bytes(num), VRING_DESC_ALIGN,
                       "the descriptor table is misaligned or not in guest memory"},
        [RING_AVAIL] = {addr->avail_uva, vring_avail_bytes(num), VRING_AVAIL_ALIGN,
                        "the available ring is misaligned or not in guest memory"},
        [RING_USED] = {addr->used_uva, vring_used_bytes(num), VRING_USED_ALIGN,
                       "the used ring is misaligned or not in guest memory"},
    };

    for (int i = 0; i < RING_PARTS; i++) {
        memory.part[i] = guest_mem_uva_ref(&be->memory, parts[i].uva, parts[i].bytes,
                                           parts[i].align, &memory.map[i]);
        if (memory.part[i] == NULL) {
            vhost_ring_unpin(&memory);
            *ret_reason = parts[i].bad;
            return -EFAULT;
        }
    }
    *ret = memory;
    return 0;
}

void vhost_ring_unpin(struct vhost_ring_memory *memory)
{
    for (int i = 0; i < RING_PARTS; i++)
        guest_map_unref(memory->map[i]);
    *memory = (struct vhost_ring_memory){0};
}

/* Consumes memory. */
static void set_memory(struct vhost_queue *vq, const struct vhost_ring_memory *memory)
{
    vhost_ring_unpin(&vq->memory);
    vq->memory = *memory;
    vq->ring.desc = memory->part[RING_DESC];
    vq->ring.avail = memory->part[RING_AVAIL];
    vq->ring.used = memory->part[RING_USED];
    vq->mapped = true;
}

void vhost_queue_remap(struct vhost_queue *vq)
{
    struct vhost_ring_memory memory = {0};
    const char *reason;

    if (!vq->started)
        return;
    if (vhost_ring_pin(vq->be, &vq->addr, vq->ring.num, &memory, &reason) == 0) {
        set_memory(vq, &memory);
        vhost_queue_run_later(vq);
    } else {
        /* A front-end that splits a region removes it before it adds the parts. The old memory is
         * pinned, so answers have a place to go; new requests wait. */
        vq->mapped = false;
    }
}

/*
 * True if a driver has just set this ring up, false if one goes on that was stopped in between
 * (QEMU's stop and cont), which nothing on the wire tells apart. A driver hands over zeroed memory;
 * a ring that comes by base 0 after 65 536 elements has used ones at both ends.
 */
static bool ring_is_fresh(const struct vring_dev *ring, uint16_t base)
{
    const volatile struct vring_used *used = ring->used;
    const volatile vring_used_elem_t *first = &used->ring[0], *last = &used->ring[ring->num - 1];
    return base == 0 && used->idx == 0 && (first->id | first->len | last->id | last->len) == 0;
}

int vhost_queue_start(struct vhost_queue *vq, int kick_fd, const char **ret_reason)
{
    struct vhost_backend *be = vq->be;
    struct vhost_ring_memory memory = {0};
    sd_event_source *source;
    int r;

    if (!vq->started) {
        if (!vq->has_addr || vq->ring.num == 0) {
            *ret_reason = "a ring is kicked off before its size and addresses are told";
            return -EINVAL;
        }
        r = vhost_ring_pin(be, &vq->addr, vq->ring.num, &memory, ret_reason);
        if (r < 0)
            return r;
    }
    /* Edge-triggered: the counter is never read, which saves a system call each time. */
    r = sd_event_add_io(be->config.event, &source, kick_fd, EPOLLIN | EPOLLET, on_kick, vq);
    if (r < 0) {
        if (!vq->started)
            vhost_ring_unpin(&memory);
        *ret_reason = "a kick descriptor can't be waited for";
        return r;
    }
    drop_kick(vq);
    vq->kick_fd = kick_fd;
    vq->kick_source = source;
    if (vq->started)
        return 0;

    set_memory(vq, &memory);
    vq->ring.event_idx = (be->features & (1ull << VIRTIO_RING_F_EVENT_IDX)) != 0;
    vq->ring.indirect = (be->features & (1ull << VIRTIO_RING_F_INDIRECT_DESC)) != 0;
    vring_dev_start(&vq->ring, vq->base);
    if (vq->index == VIRTIO_GPU_QUEUE_CONTROL && ring_is_fresh(&vq->ring, vq->base))
        vhost_reset_device(be);
    vq->started = true;
    if (vq->index == VIRTIO_GPU_QUEUE_CONTROL)
        vhost_shmem_resume(be);
    vhost_queue_run_later(vq); /* requests may be there already, kicked before or not */
    return 0;
}

/* ---- stopping ------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* False: time is over and something is still in flight. */
static bool wait_in_flight(struct vhost_queue *vq)
{
    struct vhost_backend *be = vq->be;
    int64_t deadline = now_ms() + STOP_TIMEOUT_MS;
    struct backend *backend = be->config.backend;
    /* The backend's own events count too: fences may hang on them. poll(2) passes over -1. */
    struct pollfd fds[] = {
        {.fd = gpu_device_event_fd(be->device), .events = POLLIN},
        {.fd = backend->ops->event_fd ? backend->ops->event_fd(backend) : -1, .events = POLLIN},
        {.fd = gpu_device_gate_fd(be->device), .events = POLLIN},
    };

    /* The blocked request is not waited for, unless it is halfway done: the display may answer only
     * after the stop. */
    while (vq->in_flight > (vq->blocked && !gpu_device_is_halfway(be->device) ? 1u : 0u)) {
        int64_t left = deadline - now_ms();
        gpu_device_gate_dispatch(be->device);
        if (left <= 0)
            return false;
        int r = poll(fds, ARRAY_SIZE(fds), (int)left);
        if (r < 0 && errno != EINTR)
            return false;
        if (r > 0 && fds[0].revents != 0)
            gpu_device_dispatch(be->device);
        if (r > 0 && fds[1].revents != 0)
            backend->ops->dispatch(backend);
    }
    return true;
}

void vhost_queue_stop(struct vhost_queue *vq)
{
    struct vhost_backend *be = vq->be;

    if (!vq->started)
        return;
    vhost_batch_begin(be);
    if (vq->index == VIRTIO_GPU_QUEUE_CONTROL)
        vhost_shmem_cancel(be);
    bool drained = wait_in_flight(vq);
    rewind_blocked(vq);
    if (!drained) {
        /* A late answer could not be told from an answer of the next driver's, and the front-end
         * does not wait for ever: the guest gets errors and lost contexts instead. */
        log_warning("the GPU did not finish within %d s of the guest's stop; its state is dropped",
                    STOP_TIMEOUT_MS / 1000);
        vhost_reset_device(be);
    }
    vhost_batch_end(be);
    vq->base = vq->ring.last_avail;
    halt(vq);
}

void vhost_reset_device(struct vhost_backend *be)
{
    if (!be->device_used)
        return;
    be->device_used = false;
    vhost_batch_begin(be);
    rewind_blocked(&be->queues[VIRTIO_GPU_QUEUE_CONTROL]);
    gpu_device_reset(be->device);
    vhost_batch_end(be);
}
