/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <limits.h>
#include <linux/virtio_config.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A freed block of this size gives its pages back to the kernel: below, the faults on the next use
 * cost more than the memory is worth. */
#define RETURN_BYTES (1u << 20)

/* ---- memory --------------------------------------------------------------------------------- */

void *vhost_pointer(const struct vhost_vgpu *vgpu, const struct guest_block *block)
{
    return (uint8_t *)vgpu->memory + vgpu->heap_offset + block->offset;
}

uint64_t vhost_gpa(const struct vhost_vgpu *vgpu, const struct guest_block *block)
{
    return FRONTEND_MEMORY_GPA + vgpu->heap_offset + block->offset;
}

static bool has_progressed(const struct vhost_vgpu *vgpu, const void *arg)
{
    return vgpu->completions != *(const uint64_t *)arg;
}

int vhost_alloc(struct vhost_vgpu *vgpu, uint64_t bytes, struct guest_block **ret)
{
    int64_t deadline_ns = vgpu_deadline_ns(&vgpu->base);

    for (;;) {
        int result = guest_heap_alloc(&vgpu->heap, bytes, ret);
        if (result != -ENOSPC)
            return result;
        if (bytes > vgpu->heap.size_bytes || vgpu->in_flight == 0)
            return -ENOMEM;
        uint64_t before = vgpu->completions;
        result = ring_wait(vgpu, has_progressed, &before, deadline_ns);
        if (result < 0)
            return result;
    }
}

void vhost_free(struct vhost_vgpu *vgpu, struct guest_block *block)
{
    if (!block)
        return;
    if (block->size >= RETURN_BYTES)
        madvise(vhost_pointer(vgpu, block), block->size, MADV_REMOVE);
    guest_heap_free(&vgpu->heap, block);
}

/* ---- opening -------------------------------------------------------------------------------- */

static int map_memory(struct vhost_vgpu *vgpu, struct frontend_ring rings[FRONTEND_RINGS])
{
    struct frontend *front = &vgpu->front;
    bool event_idx = front->features & (1ull << VIRTIO_RING_F_EVENT_IDX);
    size_t offset = 0;

    vgpu->memory =
        mmap(NULL, front->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, front->memfd, 0);
    if (vgpu->memory == MAP_FAILED) {
        vgpu->memory = NULL;
        return -errno;
    }
    struct {
        struct vring_drv *ring;
        uint32_t num;
    } parts[FRONTEND_RINGS] = {
        {&vgpu->control, CONTROL_RING_NUM},
        {&vgpu->cursor, CURSOR_RING_NUM},
    };
    for (unsigned i = 0; i < FRONTEND_RINGS; i++) {
        size_t avail, used;
        int result = vring_drv_init(parts[i].ring, (uint8_t *)vgpu->memory + offset, parts[i].num,
                                    event_idx, &avail, &used);
        if (result < 0)
            return result;
        rings[i] = (struct frontend_ring){
            .num = parts[i].num,
            .desc_gpa = FRONTEND_MEMORY_GPA + offset,
            .avail_gpa = FRONTEND_MEMORY_GPA + offset + avail,
            .used_gpa = FRONTEND_MEMORY_GPA + offset + used,
        };
        offset += page_align(vring_drv_bytes(parts[i].num));
    }
    vgpu->slots_offset = offset;
    vgpu->heap_offset = page_align(offset + SLOT_COUNT * SLOT_BYTES);
    return guest_heap_init(&vgpu->heap, front->memory_bytes - vgpu->heap_offset);
}

static int watch(struct vhost_vgpu *vgpu)
{
    /* The notification is taken edge-triggered, which saves reading the eventfd each time. */
    struct epoll_event call = {.events = EPOLLIN | EPOLLET, .data.fd = vgpu->front.call_fd};
    struct epoll_event err = {.events = EPOLLIN, .data.fd = vgpu->front.err_fd};
    struct epoll_event sock = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = vgpu->front.sock};
    struct epoll_event channel = {.events = EPOLLIN, .data.fd = vgpu->visible.sock};

    vgpu->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (vgpu->epoll_fd < 0 ||
        epoll_ctl(vgpu->epoll_fd, EPOLL_CTL_ADD, vgpu->front.call_fd, &call) < 0 ||
        epoll_ctl(vgpu->epoll_fd, EPOLL_CTL_ADD, vgpu->front.err_fd, &err) < 0 ||
        epoll_ctl(vgpu->epoll_fd, EPOLL_CTL_ADD, vgpu->front.sock, &sock) < 0)
        return -errno;
    if (vgpu->visible.sock >= 0 &&
        epoll_ctl(vgpu->epoll_fd, EPOLL_CTL_ADD, vgpu->visible.sock, &channel) < 0)
        return -errno;
    return 0;
}

static void vhost_release(struct aliquot_vgpu *base)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(base);

    frontend_finish(&vgpu->front);
    host_visible_finish(&vgpu->visible);
    if (vgpu->epoll_fd >= 0)
        close(vgpu->epoll_fd);
    vgpu->epoll_fd = -1;
    vring_drv_finish(&vgpu->control);
    vring_drv_finish(&vgpu->cursor);
    guest_heap_finish(&vgpu->heap);
    if (vgpu->memory)
        munmap(vgpu->memory, vgpu->front.memory_bytes);
    vgpu->memory = NULL;
}

static int start(struct vhost_vgpu *vgpu, const struct aliquot_open_args *args)
{
    struct frontend_ring rings[FRONTEND_RINGS];
    int64_t deadline_ns = vgpu_deadline_ns(&vgpu->base);
    int result = 0;

    if (args->path)
        result = frontend_connect(&vgpu->front, args->path, deadline_ns);
    else
        vgpu->front.sock = args->fd;
    if (result == 0)
        result = frontend_make_memory(&vgpu->front, vgpu->base.memory_bytes);
    if (result == 0)
        result = frontend_negotiate(&vgpu->front, deadline_ns);
    if (result == 0)
        result = map_memory(vgpu, rings);
    if (result == 0)
        result = frontend_start(&vgpu->front, rings, deadline_ns);
    if (result == 0 && vgpu->front.channel >= 0) {
        result = host_visible_start(&vgpu->visible, vgpu->front.channel,
                                    vgpu->front.host_visible_bytes, vgpu->front.has_completions);
        if (result == 0)
            vgpu->front.channel = -1;
    }
    if (result == 0)
        result = watch(vgpu);
    return result;
}

static int vhost_open(struct aliquot_vgpu *base, const struct aliquot_open_args *args)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(base);

    vgpu->epoll_fd = -1;
    vgpu->next_context_id = vgpu->next_resource_id = 1;
    frontend_init(&vgpu->front);
    host_visible_init(&vgpu->visible);
    for (unsigned i = SLOT_COUNT; i-- > 0;) {
        vgpu->commands[i].slot = (uint16_t)i;
        vgpu->commands[i].next_free = vgpu->free_commands;
        vgpu->free_commands = &vgpu->commands[i];
    }

    int result = start(vgpu, args);
    if (result < 0) {
        vgpu_error(base, "%s", vgpu->front.error);
        if (!args->path)
            vgpu->front.sock = -1; /* stays the caller's */
        return result;
    }
    /* The mapping keeps the memory. */
    close(vgpu->front.memfd);
    vgpu->front.memfd = -1;
    base->memory_bytes = vgpu->heap.size_bytes;
    base->features = vgpu->front.features;
    base->num_scanouts = vgpu->front.num_scanouts;
    base->num_capsets = vgpu->front.num_capsets;
    return 0;
}

static void vhost_lose(struct aliquot_vgpu *base, int error)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(base);

    /* A server that is still there shall notice; a thread that sleeps on the socket wakes up. */
    shutdown(vgpu->front.sock, SHUT_RDWR);
    if (vgpu->visible.sock >= 0)
        shutdown(vgpu->visible.sock, SHUT_RDWR);
    ring_fail_all(vgpu, error);
    ring_wake(vgpu);
    /* Whoever sleeps on what ends, too. */
    if (vgpu->visible.completions)
        eventcount_signal(vgpu->visible.completions);
}

static void vhost_finish(struct aliquot_vgpu *vgpu)
{
}

static void vhost_poll(struct aliquot_vgpu *vgpu)
{
    ring_reap(vhost_vgpu(vgpu));
}

static void vhost_get_info(struct aliquot_vgpu *base, struct aliquot_info *info)
{
    const struct vhost_vgpu *vgpu = vhost_vgpu(base);

    info->memory_bytes = vgpu->heap.size_bytes;
    info->memory_free_bytes = vgpu->heap.free_bytes;
    info->in_flight = vgpu->in_flight;
    info->host_visible_bytes = vgpu->visible.heap.size_bytes;
    info->host_visible_free_bytes = vgpu->visible.heap.free_bytes;
}

static struct eventcount *vhost_completions(struct aliquot_vgpu *base)
{
    return __atomic_load_n(&vhost_vgpu(base)->visible.completions, __ATOMIC_ACQUIRE);
}

const struct transport transport_vhost_user = {
    .vgpu_bytes = sizeof(struct vhost_vgpu),
    .context_bytes = sizeof(struct aliquot_context),
    .resource_bytes = sizeof(struct vhost_resource),
    .fence_bytes = sizeof(struct vhost_fence),
    .open = vhost_open,
    .lose = vhost_lose,
    .settle = vhost_reaper_join,
    .release = vhost_release,
    .finish = vhost_finish,
    .poll = vhost_poll,
    .get_info = vhost_get_info,
    .capset_info = vhost_capset_info,
    .capset = vhost_capset,
    .sync = vhost_sync,
    .completions = vhost_completions,
    .context_create = vhost_context_create,
    .context_destroy = vhost_context_destroy,
    .context_release = vhost_context_release,
    .attach = vhost_attach,
    .detach = vhost_detach,
    .submit = vhost_submit,
    .resource_create = vhost_resource_create,
    .blob_create = vhost_blob_create,
    .resource_wait = vhost_resource_wait,
    .resource_destroy = vhost_resource_destroy,
    .resource_release = vhost_resource_release,
    .transfer = vhost_transfer,
    .blob_mmap = vhost_blob_mmap,
    .fence_init = vhost_fence_init,
    .fence_wait = vhost_fence_wait,
    .fence_fd = vhost_fence_fd,
    .fence_finish = vhost_fence_finish,
};
