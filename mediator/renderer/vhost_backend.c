/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vhost_backend.h"

#include "mediator/base/util.h"
#include "mediator/renderer/vhost_internal.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* A front-end can make us refuse things without end; the log gets some of it. */
#define REFUSED_LINES 10
#define REFUSED_WINDOW_S 60

void vhost_count_rejected(struct vhost_backend *be)
{
    atomic_fetch_add_explicit(&be->config.stats->rejected, 1, memory_order_relaxed);
}

void vhost_end(struct vhost_backend *be, const char *format, ...)
{
    if (be->ended)
        return;
    be->ended = true;

    va_list ap;
    va_start(ap, format);
    vsnprintf(be->end_reason, sizeof(be->end_reason), format, ap);
    va_end(ap);

    /* Told from the event loop: whoever called us goes on using be. */
    sd_event_source_set_enabled(be->fd_source, SD_EVENT_OFF);
    sd_event_source_set_enabled(be->end_source, SD_EVENT_ONESHOT);
}

void vhost_closed(struct vhost_backend *be)
{
    be->closed = !be->ended;
    vhost_end(be, "the front-end closed the connection");
}

static int on_end(sd_event_source *source, void *opaque)
{
    struct vhost_backend *be = opaque;
    be->config.ended(be->config.opaque, !be->closed, be->end_reason);
    return 0;
}

static int on_fence(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct vhost_backend *be = opaque;
    vhost_batch_begin(be);
    gpu_device_dispatch(be->device);
    vhost_batch_end(be);
    return 0;
}

/* ---- what the device asks ------------------------------------------------------------------- */

static void on_config_changed(void *opaque)
{
    vhost_shmem_tell_config(opaque);
}

static void on_resume(void *opaque)
{
    struct vhost_backend *be = opaque;
    struct vhost_queue *vq = &be->queues[VIRTIO_GPU_QUEUE_CONTROL];

    /* Not from here: the display is in the middle of its own work. */
    vq->blocked = false;
    if (vq->started)
        vhost_queue_run_later(vq);
}

static void *on_guest_ref(void *opaque, uint64_t gpa, uint64_t *len, void **ret_ref)
{
    struct vhost_backend *be = opaque;
    struct guest_map *map;

    void *ptr = guest_mem_ref(&be->memory, gpa, len, &map);
    if (ptr != NULL)
        *ret_ref = map;
    return ptr;
}

static void on_guest_unref(void *opaque, void *ref)
{
    guest_map_unref(ref);
}

static const struct gpu_device_ops device_ops = {
    .complete = vhost_complete,
    .flush = vhost_flush,
    .config_changed = on_config_changed,
    .resume = on_resume,
    .guest_ref = on_guest_ref,
    .guest_unref = on_guest_unref,
    .shmem_map = vhost_shmem_map,
    .shmem_unmap = vhost_shmem_unmap,
    .shmem_clear = vhost_shmem_clear,
};

/* ---- life ----------------------------------------------------------------------------------- */

static int create_device(struct vhost_backend *be)
{
    const struct gpu_device_config config = {
        .ops = &device_ops,
        .opaque = be,
        .backend = be->config.backend,
        .limits = be->config.limits,
        .scanouts = be->config.scanouts,
        .dmabuf = be->config.dmabuf,
        .width = be->config.width,
        .height = be->config.height,
        .hostmem_bytes = be->config.hostmem_bytes,
        .stats = be->config.stats,
        .ring = be->config.ring,
        .gate = be->config.gate,
        .memory = be->config.memory,
    };
    int r = gpu_device_create(&config, &be->device);
    if (r < 0)
        return r;
    gpu_device_set_fence_queue(be->device, be->config.fences);
    return sd_event_add_io(be->config.event, &be->fence_source, gpu_device_event_fd(be->device),
                           EPOLLIN, on_fence, be);
}

static int set_up(struct vhost_backend *be)
{
    int r = vhost_shmem_init(be);
    if (r < 0)
        return r;
    r = create_device(be);
    if (r < 0)
        return r;
    for (int i = 0; i < VIRTIO_GPU_QUEUES; i++) {
        r = vhost_queue_init(&be->queues[i], be, (enum virtio_gpu_queue)i);
        if (r < 0)
            return r;
    }
    r = sd_event_add_defer(be->config.event, &be->end_source, on_end, be);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(be->end_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    return sd_event_add_io(be->config.event, &be->fd_source, be->fd, EPOLLIN, vhost_on_message, be);
}

int vhost_backend_create(const struct connection_config *config, int fd, struct vhost_backend **ret)
{
    struct vhost_backend *be = calloc(1, sizeof(*be));
    if (be == NULL)
        return -ENOMEM;
    be->config = *config;
    be->fd = fd;
    be->shmem.fd = -1;
    be->refused_limit = (struct log_limit){.burst = REFUSED_LINES, .window_s = REFUSED_WINDOW_S};
    guest_mem_init(&be->memory);

    int r = set_up(be);
    if (r < 0) {
        be->fd = -1; /* still the caller's */
        vhost_backend_destroy(be);
        return r;
    }
    atomic_store_explicit(&config->stats->connected, 1, memory_order_relaxed);
    *ret = be;
    return 0;
}

void vhost_backend_destroy(struct vhost_backend *be)
{
    if (be == NULL)
        return;
    be->ended = true;
    be->fd_source = sd_event_source_disable_unref(be->fd_source);
    be->fence_source = sd_event_source_disable_unref(be->fence_source);
    be->end_source = sd_event_source_disable_unref(be->end_source);

    vhost_drop_display(be);
    if (be->device != NULL) {
        for (int i = 0; i < VIRTIO_GPU_QUEUES; i++)
            vhost_queue_finish(&be->queues[i]);
        gpu_device_destroy(be->device);
    }
    vhost_shmem_finish(be);     /* the device has cleared its mappings */
    guest_pins_drop(&be->pins); /* empty, unless the device has kept requests */
    guest_mem_finish(&be->memory);

    while (be->spare != NULL) {
        struct vhost_request *req = be->spare;
        be->spare = req->next_spare;
        free(req);
    }
    close_fd_p(&be->fd);
    atomic_store_explicit(&be->config.stats->driver_ok, 0, memory_order_relaxed);
    atomic_store_explicit(&be->config.stats->connected, 0, memory_order_relaxed);
    free(be);
    malloc_trim(0); /* a big guest leaves big holes, and the next one may be long in coming */
}
