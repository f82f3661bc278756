/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- slots ---------------------------------------------------------------------------------- */

static uint8_t *slot_pointer(const struct vhost_vgpu *vgpu, const struct ring_command *cmd)
{
    return (uint8_t *)vgpu->memory + vgpu->slots_offset + (size_t)cmd->slot * SLOT_BYTES;
}

static uint64_t slot_gpa(const struct vhost_vgpu *vgpu, const struct ring_command *cmd)
{
    return FRONTEND_MEMORY_GPA + vgpu->slots_offset + (uint64_t)cmd->slot * SLOT_BYTES;
}

static void *response_pointer(const struct vhost_vgpu *vgpu, const struct ring_command *cmd)
{
    return cmd->in ? vhost_pointer(vgpu, cmd->in) : slot_pointer(vgpu, cmd) + SLOT_REQUEST_BYTES;
}

static bool has_slot(const struct vhost_vgpu *vgpu, const void *arg)
{
    return vgpu->free_commands != NULL;
}

int ring_command_get(struct vhost_vgpu *vgpu, uint32_t type, uint32_t context_id,
                     uint32_t request_bytes, struct ring_command **ret, void *ret_request)
{
    ring_reap(vgpu);
    int result = vgpu->base.lost;
    if (result == 0 && !vgpu->free_commands)
        result = ring_wait(vgpu, has_slot, NULL, vgpu_deadline_ns(&vgpu->base));
    if (result < 0)
        return result;

    struct ring_command *cmd = vgpu->free_commands;
    vgpu->free_commands = cmd->next_free;
    *cmd = (struct ring_command){
        .slot = cmd->slot,
        .type = type,
        .expect = VIRTIO_GPU_RESP_OK_NODATA,
        .response_capacity = sizeof(struct virtio_gpu_ctrl_hdr),
    };
    struct virtio_gpu_ctrl_hdr *header = (void *)slot_pointer(vgpu, cmd);
    memset(header, 0, request_bytes);
    header->type = type;
    header->ctx_id = context_id;
    *ret = cmd;
    *(void **)ret_request = header;
    return 0;
}

void ring_command_put(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    vhost_free(vgpu, cmd->out);
    vhost_free(vgpu, cmd->in);
    if (cmd->fence)
        aliquot_fence_unref(cmd->fence);
    if (cmd->resource)
        resource_unref(cmd->resource);
    cmd->out = cmd->in = NULL;
    cmd->fence = NULL;
    cmd->resource = NULL;
    cmd->next_free = vgpu->free_commands;
    vgpu->free_commands = cmd;
}

void ring_command_fence(struct vhost_vgpu *vgpu, struct ring_command *cmd,
                        struct aliquot_fence *fence, int ring_idx)
{
    struct virtio_gpu_ctrl_hdr *header = (void *)slot_pointer(vgpu, cmd);

    cmd->fence = aliquot_fence_ref(fence);
    cmd->fence_id = ++vgpu->last_fence_id;
    header->fence_id = cmd->fence_id;
    header->flags = VIRTIO_GPU_FLAG_FENCE;
    if (ring_idx != ALIQUOT_RING_NONE) {
        header->flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
        header->ring_idx = (uint8_t)ring_idx;
    }
}

/* ---- completion ----------------------------------------------------------------------------- */

static int response_errno(uint32_t response)
{
    switch (response) {
    case VIRTIO_GPU_RESP_ERR_UNSPEC:
        return -EIO;
    case VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY:
        return -ENOMEM;
    case VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID:
        return -ENOENT;
    case VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID:
        return -ENXIO;
    case VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID:
    case VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER:
        return -EINVAL;
    default:
        return -EPROTO;
    }
}

static const char *command_name(uint32_t type)
{
    const struct virtio_gpu_cmd_info *info = virtio_gpu_cmd_info(type);
    return info ? info->name : "?";
}

/* The command is over, with the device's answer or the loss of the vGPU. */
static void finish_command(struct vhost_vgpu *vgpu, struct ring_command *cmd, int error)
{
    cmd->in_flight = false;
    cmd->error = error;
    vgpu->in_flight--;
    vgpu->completions++;
    if (cmd->on_done)
        cmd->on_done(vgpu, cmd);
    if (cmd->fence)
        vhost_fence_complete(cmd->fence, error);
    if (cmd->waited) {
        cmd->done = true;
        return;
    }
    if (error && !cmd->fence && !vgpu->base.lost)
        vgpu->base.errors++;
    ring_command_put(vgpu, cmd);
}

/* Checks what the device has made of a command; false if it broke the protocol. */
static bool take_answer(struct vhost_vgpu *vgpu, struct ring_command *cmd, uint32_t bytes)
{
    struct virtio_gpu_ctrl_hdr header;
    int error = 0;

    if (bytes < sizeof(header) || bytes > cmd->response_capacity)
        return false;
    memcpy(&header, response_pointer(vgpu, cmd), sizeof(header));
    cmd->response_bytes = bytes;
    if (cmd->fence && (!(header.flags & VIRTIO_GPU_FLAG_FENCE) || header.fence_id != cmd->fence_id))
        return false;
    if (header.type != cmd->expect) {
        error = response_errno(header.type);
        vgpu_error(&vgpu->base, "%s: %s", command_name(cmd->type),
                   virtio_gpu_response_name(header.type));
    }
    finish_command(vgpu, cmd, error);
    return true;
}

bool ring_reap(struct vhost_vgpu *vgpu)
{
    void *token;
    uint32_t bytes;
    int result = 0;
    bool any = false;

    if (vgpu->base.lost)
        return false;
    while (!vgpu->base.lost && (result = vring_drv_get_used(&vgpu->control, &token, &bytes)) == 1) {
        any = true;
        if (!take_answer(vgpu, token, bytes)) {
            vgpu_lose(&vgpu->base, -EPROTO, "the server gave a malformed answer");
            return true;
        }
    }
    if (result < 0)
        vgpu_lose(&vgpu->base, -EPROTO, "the server broke the used ring");
    else if (any)
        ring_wake(vgpu);
    return any || result < 0;
}

void ring_fail_all(struct vhost_vgpu *vgpu, int error)
{
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        if (vgpu->commands[i].in_flight)
            finish_command(vgpu, &vgpu->commands[i], error);
    }
}

/* ---- waiting -------------------------------------------------------------------------------- */

void ring_wake(struct vhost_vgpu *vgpu)
{
    for (struct waiter *w = vgpu->waiters; w; w = w->next) {
        if (vgpu->base.lost || w->ready(vgpu, w->arg))
            pthread_cond_signal(&w->cond);
    }
}

struct verdict {
    int error; /* 0: the server is fine */
    const char *text;
    bool has_message; /* on the channel of the host-visible region */
};

/* What woke the leader, besides a notification. Without the lock. */
static struct verdict check_server(const struct frontend *front, const struct epoll_event *events,
                                   int count)
{
    struct verdict verdict = {0};
    char byte;

    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == front->err_fd)
            return (struct verdict){-EPROTO, "the server calls the ring broken", false};
        if (events[i].data.fd == front->sock) {
            if (recv(front->sock, &byte, 1, MSG_DONTWAIT) > 0)
                return (struct verdict){-EPROTO, "the server spoke out of turn", false};
            return (struct verdict){-ECONNRESET, "the server closed the connection", false};
        }
        verdict.has_message |= events[i].data.fd != front->call_fd;
    }
    return verdict;
}

/* Sleeps on the notification on behalf of all. */
static void lead(struct vhost_vgpu *vgpu, int64_t now_ns, int64_t deadline_ns)
{
    struct epoll_event events[4];
    int timeout_ms = -1;

    if (vring_drv_enable_notify(&vgpu->control, true))
        return; /* came in between; the caller reaps */
    if (deadline_ns != INT64_MAX) {
        int64_t ms = (deadline_ns - now_ns + 999999) / 1000000;
        timeout_ms = ms > INT_MAX ? INT_MAX : (int)ms;
    }
    vgpu->leading = true;
    pthread_mutex_unlock(&vgpu->base.lock);
    int count = epoll_wait(vgpu->epoll_fd, events, 4, timeout_ms);
    struct verdict verdict = check_server(&vgpu->front, events, count);
    pthread_mutex_lock(&vgpu->base.lock);
    vgpu->leading = false;
    vring_drv_enable_notify(&vgpu->control, false);
    ring_reap(vgpu); /* what was done before the end counts as done */
    if (verdict.has_message)
        host_visible_serve(vgpu, SERVE_MESSAGES);
    if (verdict.error)
        vgpu_lose(&vgpu->base, verdict.error, verdict.text);
}

static void sleep_until(struct vhost_vgpu *vgpu, struct waiter *w, int64_t deadline_ns)
{
    struct timespec ts = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};

    if (deadline_ns == INT64_MAX)
        pthread_cond_wait(&w->cond, &vgpu->base.lock);
    else
        pthread_cond_clockwait(&w->cond, &vgpu->base.lock, CLOCK_MONOTONIC, &ts);
}

int ring_wait(struct vhost_vgpu *vgpu, wait_ready_fn ready, const void *arg, int64_t deadline_ns)
{
    struct waiter self = {
        .cond = PTHREAD_COND_INITIALIZER, .ready = ready, .arg = arg, .next = vgpu->waiters};
    int result = 0;

    if (self.next)
        self.next->prev = &self;
    vgpu->waiters = &self;
    vgpu_wait_begin(&vgpu->base);
    for (;;) {
        ring_reap(vgpu);
        if (ready(vgpu, arg))
            break;
        result = vgpu->base.lost;
        if (result < 0)
            break;
        int64_t now_ns = deadline_ns == INT64_MAX ? 0 : monotonic_ns();
        if (now_ns >= deadline_ns) {
            result = -ETIMEDOUT;
            break;
        }
        if (vgpu->leading)
            sleep_until(vgpu, &self, deadline_ns);
        else
            lead(vgpu, now_ns, deadline_ns);
    }
    if (self.prev)
        self.prev->next = self.next;
    else
        vgpu->waiters = self.next;
    if (self.next)
        self.next->prev = self.prev;
    if (vgpu->waiters && !vgpu->leading) /* somebody has to */
        pthread_cond_signal(&vgpu->waiters->cond);
    vgpu_wait_end(&vgpu->base);
    pthread_cond_destroy(&self.cond);
    return result;
}

/* ---- sending -------------------------------------------------------------------------------- */

static bool has_progressed(const struct vhost_vgpu *vgpu, const void *arg)
{
    return vgpu->completions != *(const uint64_t *)arg;
}

static void kick(struct vhost_vgpu *vgpu)
{
    const uint64_t one = 1;

    /* Full means that the device has a kick to read already. */
    while (write(vgpu->front.kick_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

int ring_send(struct vhost_vgpu *vgpu, struct ring_command *cmd, uint32_t request_bytes)
{
    struct vring_seg segs[3];
    unsigned n = 0;
    int result = vgpu->base.lost;

    segs[n++] = (struct vring_seg){slot_gpa(vgpu, cmd), request_bytes};
    if (cmd->out)
        segs[n++] = (struct vring_seg){vhost_gpa(vgpu, cmd->out), cmd->out_bytes};
    segs[n++] = (struct vring_seg){
        cmd->in ? vhost_gpa(vgpu, cmd->in) : slot_gpa(vgpu, cmd) + SLOT_REQUEST_BYTES,
        cmd->response_capacity,
    };
    /* An answer that the device forgets to write must not be an older one's. */
    memset(response_pointer(vgpu, cmd), 0, sizeof(struct virtio_gpu_ctrl_hdr));

    int64_t deadline_ns = 0;
    while (result == 0) {
        result = vring_drv_add(&vgpu->control, segs, n - 1, 1, cmd);
        if (result != -ENOSPC)
            break;
        if (deadline_ns == 0)
            deadline_ns = vgpu_deadline_ns(&vgpu->base);
        uint64_t before = vgpu->completions;
        result = ring_wait(vgpu, has_progressed, &before, deadline_ns);
    }
    if (result < 0) {
        if (cmd->on_unsent)
            cmd->on_unsent(vgpu, cmd);
        ring_command_put(vgpu, cmd);
        return result;
    }
    cmd->in_flight = true;
    vgpu->in_flight++;
    if (vring_drv_should_kick(&vgpu->control))
        kick(vgpu);
    return 0;
}

static bool is_done(const struct vhost_vgpu *vgpu, const void *arg)
{
    return ((const struct ring_command *)arg)->done;
}

int ring_call(struct vhost_vgpu *vgpu, struct ring_command *cmd, uint32_t request_bytes)
{
    cmd->waited = true;
    int result = ring_send(vgpu, cmd, request_bytes);
    if (result < 0)
        return result;
    result = ring_wait(vgpu, is_done, cmd, vgpu_deadline_ns(&vgpu->base));
    if (result < 0) {
        cmd->waited = false; /* the slot is free when the answer comes */
        vgpu_error(&vgpu->base, "%s: no answer within %u ms", command_name(cmd->type),
                   vgpu->base.timeout_ms);
        return result;
    }
    result = cmd->error;
    if (result < 0)
        ring_command_put(vgpu, cmd);
    return result;
}

bool ring_response(const struct vhost_vgpu *vgpu, const struct ring_command *cmd, void *dst,
                   uint32_t bytes)
{
    if (bytes > cmd->response_bytes)
        return false;
    memcpy(dst, response_pointer(vgpu, cmd), bytes);
    return true;
}
