/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

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

#define PAGE_BYTES 4096ull

/* A freed block of this size gives its pages back to the kernel: below, the faults on the next use
 * cost more than the memory is worth. */
#define RETURN_BYTES (1u << 20)

int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int64_t vgpu_deadline_ns(const struct aliquot_vgpu *vgpu)
{
    return monotonic_ns() + vgpu->timeout_ms * 1000000ll;
}

/* ---- lock, loss, errors --------------------------------------------------------------------- */

bool vgpu_is_foreign(const struct aliquot_vgpu *vgpu)
{
    return *(const volatile uint32_t *)vgpu->fork_guard != VGPU_GUARD;
}

int vgpu_lock_lost(struct aliquot_vgpu *vgpu)
{
    if (vgpu_is_foreign(vgpu))
        return -EOWNERDEAD;
    pthread_mutex_lock(&vgpu->lock);
    return 0;
}

int vgpu_lock(struct aliquot_vgpu *vgpu)
{
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    result = vgpu->lost;
    if (result < 0)
        pthread_mutex_unlock(&vgpu->lock);
    return result;
}

void vgpu_unlock(struct aliquot_vgpu *vgpu)
{
    pthread_mutex_unlock(&vgpu->lock);
}

void vgpu_error(struct aliquot_vgpu *vgpu, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(vgpu->error_text, sizeof(vgpu->error_text), format, args);
    va_end(args);
}

void vgpu_lose(struct aliquot_vgpu *vgpu, int error, const char *text)
{
    if (vgpu->lost)
        return;
    vgpu->lost = error;
    vgpu_error(vgpu, "vGPU lost: %s", text);
    /* A server that is still there shall notice; a thread that sleeps on the socket wakes up. */
    shutdown(vgpu->front.sock, SHUT_RDWR);
    if (vgpu->visible.sock >= 0)
        shutdown(vgpu->visible.sock, SHUT_RDWR);
    ring_fail_all(vgpu, error);
    ring_wake(vgpu);
}

/* ---- memory --------------------------------------------------------------------------------- */

void *vgpu_pointer(const struct aliquot_vgpu *vgpu, const struct guest_block *block)
{
    return (uint8_t *)vgpu->memory + vgpu->heap_offset + block->offset;
}

uint64_t vgpu_gpa(const struct aliquot_vgpu *vgpu, const struct guest_block *block)
{
    return FRONTEND_MEMORY_GPA + vgpu->heap_offset + block->offset;
}

static bool has_progressed(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return vgpu->completions != *(const uint64_t *)arg;
}

int vgpu_alloc(struct aliquot_vgpu *vgpu, uint64_t bytes, struct guest_block **ret)
{
    int64_t deadline_ns = vgpu_deadline_ns(vgpu);

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

void vgpu_free(struct aliquot_vgpu *vgpu, struct guest_block *block)
{
    if (!block)
        return;
    if (block->size >= RETURN_BYTES)
        madvise(vgpu_pointer(vgpu, block), block->size, MADV_REMOVE);
    guest_heap_free(&vgpu->heap, block);
}

/* ---- opening -------------------------------------------------------------------------------- */

static uint64_t page_align(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static int map_memory(struct aliquot_vgpu *vgpu, struct frontend_ring rings[FRONTEND_RINGS])
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

static int watch(struct aliquot_vgpu *vgpu)
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

static int make_guard(struct aliquot_vgpu *vgpu)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    vgpu->fork_guard = page;
    if (madvise(page, PAGE_BYTES, MADV_WIPEONFORK) < 0)
        return -errno;
    *(uint32_t *)page = VGPU_GUARD;
    return 0;
}

/* Frees all but the struct, which fences may still refer to. */
static void vgpu_release(struct aliquot_vgpu *vgpu)
{
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

void vgpu_unref(struct aliquot_vgpu *vgpu)
{
    if (atomic_fetch_sub(&vgpu->refs, 1) != 1)
        return;
    if (vgpu->fork_guard) {
        if (!vgpu_is_foreign(vgpu)) {
            pthread_cond_destroy(&vgpu->no_waiters);
            pthread_mutex_destroy(&vgpu->lock);
        }
        munmap((void *)vgpu->fork_guard, PAGE_BYTES);
    }
    free(vgpu);
}

static int check_args(const struct aliquot_open_args *args, uint64_t *ret_memory_bytes)
{
    uint64_t bytes = args->memory_bytes ? args->memory_bytes : ALIQUOT_MEMORY_DEFAULT_BYTES;

    for (size_t i = 0; i < sizeof(args->reserved) / sizeof(args->reserved[0]); i++) {
        if (args->reserved[i])
            return -EINVAL;
    }
    if (bytes < ALIQUOT_MEMORY_MIN_BYTES || bytes > ALIQUOT_MEMORY_MAX_BYTES ||
        args->timeout_ms > INT_MAX || (!args->path && args->fd < 0))
        return -EINVAL;
    *ret_memory_bytes = page_align(bytes);
    return 0;
}

static int vgpu_start(struct aliquot_vgpu *vgpu, const struct aliquot_open_args *args,
                      uint64_t memory_bytes)
{
    struct frontend_ring rings[FRONTEND_RINGS];
    int64_t deadline_ns = vgpu_deadline_ns(vgpu);

    int result = make_guard(vgpu);
    if (result < 0)
        return result;
    if (args->path)
        result = frontend_connect(&vgpu->front, args->path, deadline_ns);
    else
        vgpu->front.sock = args->fd;
    if (result == 0)
        result = frontend_make_memory(&vgpu->front, memory_bytes);
    if (result == 0)
        result = frontend_negotiate(&vgpu->front, deadline_ns);
    if (result == 0)
        result = map_memory(vgpu, rings);
    if (result == 0)
        result = frontend_start(&vgpu->front, rings, deadline_ns);
    if (result == 0 && vgpu->front.channel >= 0) {
        result =
            host_visible_start(&vgpu->visible, vgpu->front.channel, vgpu->front.host_visible_bytes);
        if (result == 0)
            vgpu->front.channel = -1;
    }
    if (result == 0)
        result = watch(vgpu);
    return result;
}

int aliquot_open(const struct aliquot_open_args *args, struct aliquot_vgpu **ret)
{
    uint64_t memory_bytes;

    if (args->error && args->error_size)
        args->error[0] = '\0';
    int result = check_args(args, &memory_bytes);
    if (result < 0)
        return result;
    struct aliquot_vgpu *vgpu = calloc(1, sizeof(*vgpu));
    if (!vgpu)
        return -ENOMEM;
    atomic_init(&vgpu->refs, 1);
    vgpu->epoll_fd = -1;
    vgpu->timeout_ms = args->timeout_ms ? args->timeout_ms : ALIQUOT_TIMEOUT_DEFAULT_MS;
    vgpu->next_context_id = vgpu->next_resource_id = 1;
    frontend_init(&vgpu->front);
    host_visible_init(&vgpu->visible);
    pthread_mutex_init(&vgpu->lock, NULL);
    pthread_cond_init(&vgpu->no_waiters, NULL);
    for (unsigned i = SLOT_COUNT; i-- > 0;) {
        vgpu->commands[i].slot = (uint16_t)i;
        vgpu->commands[i].next_free = vgpu->free_commands;
        vgpu->free_commands = &vgpu->commands[i];
    }

    result = vgpu_start(vgpu, args, memory_bytes);
    if (result < 0) {
        if (args->error && args->error_size)
            snprintf(args->error, args->error_size, "%s",
                     vgpu->front.error[0] ? vgpu->front.error : strerror(-result));
        if (!args->path)
            vgpu->front.sock = -1; /* stays the caller's */
        vgpu_release(vgpu);
        vgpu_unref(vgpu);
        return result;
    }
    /* The mapping keeps the memory. */
    close(vgpu->front.memfd);
    vgpu->front.memfd = -1;
    *ret = vgpu;
    return 0;
}

void aliquot_close(struct aliquot_vgpu *vgpu)
{
    if (!vgpu)
        return;
    if (vgpu_lock_lost(vgpu) == 0) {
        vgpu_lose(vgpu, -ECONNRESET, "closed");
        /* They are awake, and need what is torn down below for a moment more. */
        while (vgpu->waiters)
            pthread_cond_wait(&vgpu->no_waiters, &vgpu->lock);
        vgpu_unlock(vgpu);
        fence_reaper_join(vgpu);
    }
    while (vgpu->contexts) {
        struct aliquot_context *context = vgpu->contexts;
        vgpu->contexts = context->next;
        free(context);
    }
    while (vgpu->resources) {
        struct aliquot_resource *resource = vgpu->resources;
        vgpu->resources = resource->next;
        blob_release(resource);
        free(resource);
    }
    vgpu_release(vgpu);
    vgpu_unref(vgpu);
}

/* ---- asking --------------------------------------------------------------------------------- */

int aliquot_get_info(struct aliquot_vgpu *vgpu, struct aliquot_info *ret)
{
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    ring_reap(vgpu);
    *ret = (struct aliquot_info){
        .features = vgpu->front.features,
        .num_scanouts = vgpu->front.num_scanouts,
        .num_capsets = vgpu->front.num_capsets,
        .memory_bytes = vgpu->heap.size_bytes,
        .memory_free_bytes = vgpu->heap.free_bytes,
        .errors = vgpu->errors,
        .in_flight = vgpu->in_flight,
        .host_visible_bytes = vgpu->visible.heap.size_bytes,
        .host_visible_free_bytes = vgpu->visible.heap.free_bytes,
    };
    vgpu_unlock(vgpu);
    return 0;
}

int aliquot_last_error(struct aliquot_vgpu *vgpu, char *buf, size_t size)
{
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    if (!vgpu->lost)
        ring_reap(vgpu);
    result = (int)strlen(vgpu->error_text);
    if (size > 0)
        snprintf(buf, size, "%s", vgpu->error_text);
    vgpu_unlock(vgpu);
    return result;
}
