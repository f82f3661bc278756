/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vtest_session.h"

#include "mediator/base/util.h"
#include "mediator/renderer/vtest_internal.h"

#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* Messages that are handled before the event loop looks at anything else: signals, a client that
 * is gone. */
#define TURN_MESSAGES 64

/* ---- the end --------------------------------------------------------------------------------- */

static void end(struct vtest_session *s, const char *format, va_list ap)
{
    if (s->ended)
        return;
    s->ended = true;
    vsnprintf(s->end_reason, sizeof(s->end_reason), format, ap);
    /* Told from the event loop: whoever called us goes on using s. */
    sd_event_source_set_enabled(s->io_source, SD_EVENT_OFF);
    sd_event_source_set_enabled(s->end_source, SD_EVENT_ONESHOT);
}

void vtest_end(struct vtest_session *s, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    end(s, format, ap);
    va_end(ap);
}

void vtest_reject(struct vtest_session *s, const char *format, ...)
{
    va_list ap;

    gpu_stat_add(&s->config.stats->rejected, 1);
    va_start(ap, format);
    end(s, format, ap);
    va_end(ap);
}

void vtest_closed(struct vtest_session *s)
{
    s->closed = !s->ended;
    vtest_end(s, "the client closed the connection");
}

static int on_end(sd_event_source *source, void *opaque)
{
    struct vtest_session *s = opaque;

    s->config.ended(s->config.opaque, !s->closed, s->end_reason);
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

int vtest_refuse(struct vtest_message *msg, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(msg->reason, sizeof(msg->reason), format, ap);
    va_end(ap);
    return -EPROTO;
}

int vtest_check(struct vtest_message *msg, uint32_t response)
{
    if (response < VIRTIO_GPU_RESP_ERR_UNSPEC)
        return 0;
    return vtest_refuse(msg, "%s", virtio_gpu_response_name(response));
}

int vtest_answer(struct vtest_session *s, uint32_t length, uint32_t command, size_t bytes,
                 void *ret_body)
{
    const struct vtest_header hdr = {length, command};
    uint8_t *p = vtest_output_add(&s->output, sizeof(hdr) + bytes);

    if (!p)
        return -ENOMEM;
    memcpy(p, &hdr, sizeof(hdr));
    *(void **)ret_body = p + sizeof(hdr);
    return 0;
}

static void set_events(struct vtest_session *s, uint32_t events)
{
    if (events == s->events)
        return;
    int r = sd_event_source_set_io_events(s->io_source, events);
    if (r < 0)
        vtest_end(s, "event loop: %s", strerror(-r));
    s->events = events;
}

/* False: not all is sent; the rest goes when the client reads, and nothing is handled until then.
 */
static bool send_answers(struct vtest_session *s)
{
    int r = vtest_output_send(&s->output, s->fd);

    if (r == -EAGAIN) {
        set_events(s, EPOLLOUT);
        return false;
    }
    if (r == -EPIPE)
        vtest_closed(s);
    else if (r < 0)
        vtest_end(s, "the connection failed: %s", strerror(-r));
    if (s->output_charge) {
        gpu_uncharge(s->device, s->output_charge);
        s->output_charge = 0;
    }
    return r == 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void refuse_length(struct vtest_session *s, const struct vtest_command_info *info,
                          uint32_t length)
{
    if (info->min_length == info->max_length)
        vtest_reject(s, "%s: length %u, not %u", info->name, length, info->min_length);
    else
        vtest_reject(s, "%s: length %u is too %s", info->name, length,
                     length < info->min_length ? "short" : "long");
}

/* Bytes after the header, or -EAGAIN until enough is there to tell; -EPROTO: rejected. */
static int64_t body_bytes(struct vtest_session *s, const struct vtest_header *hdr,
                          const struct vtest_command_info *info)
{
    const struct gpu_limits *limits = &s->config.limits;
    struct vtest_transfer transfer;
    uint64_t bytes;

    switch (info->counted) {
    case VTEST_LENGTH_BYTES:
        return hdr->length;
    case VTEST_LENGTH_FIXED:
        return (int64_t)info->min_length * 4;
    case VTEST_LENGTH_WORDS:
        bytes = (uint64_t)hdr->length * 4;
        if (bytes <= limits->max_submit_bytes)
            return (int64_t)bytes;
        refuse_length(s, info, hdr->length);
        return -EPROTO;
    case VTEST_LENGTH_INLINE:
        if (vtest_input_bytes(&s->input) < sizeof(*hdr) + sizeof(transfer))
            return -EAGAIN;
        memcpy(&transfer, s->input.data + s->input.start + sizeof(*hdr), sizeof(transfer));
        if (hdr->length != (sizeof(transfer) + (uint64_t)transfer.data_size + 3) / 4) {
            vtest_reject(s, "%s: length %u, but %u bytes of data", info->name, hdr->length,
                         transfer.data_size);
            return -EPROTO;
        }
        if (transfer.data_size <= limits->max_resource_bytes)
            return (int64_t)sizeof(transfer) + transfer.data_size;
        refuse_length(s, info, hdr->length);
        return -EPROTO;
    }
    return -EPROTO;
}

/* The row of a command that may come now and has a length that it can have; NULL: rejected. The
 * one place where messages are looked at before their handlers run. */
static const struct vtest_command_info *admit(struct vtest_session *s,
                                              const struct vtest_header *hdr)
{
    const struct vtest_command_info *info = vtest_command_info(hdr->command);

    if (!info)
        vtest_reject(s, "command %u is not known", hdr->command);
    else if (!s->greeted && hdr->command != VTEST_CREATE_RENDERER)
        vtest_reject(s, "%s: before CREATE_RENDERER", info->name);
    else if (s->greeted && hdr->command == VTEST_CREATE_RENDERER)
        vtest_reject(s, "%s: a second time", info->name);
    else if (!vtest_handler_of(hdr->command)->run)
        vtest_reject(s, "%s is not offered", info->name);
    else if (hdr->length < info->min_length || hdr->length > info->max_length)
        refuse_length(s, info, hdr->length);
    else
        return info;
    return NULL;
}

/* False: the message has to wait for the lease. */
static bool handle(struct vtest_session *s, struct vtest_message *msg)
{
    const struct vtest_handler_row *row = vtest_handler_of(msg->command);
    bool uses_gpu;
    int r = 0;

    if ((msg->command == VTEST_SUBMIT_CMD || msg->command == VTEST_SUBMIT_CMD2) && s->taken_ns == 0)
        s->taken_ns = latency_clock_ns();
    if (row->needs_context && !s->has_context)
        r = vtest_context_create(s, msg);
    /* The work of a Vulkan context is done elsewhere, under a gate of its own. */
    uses_gpu = row->uses_gpu && !gpu_context_is_vulkan(s->device, VTEST_CTX_ID);
    if (r == 0 && uses_gpu && !gpu_gate_enter(s->device))
        r = -EAGAIN;
    if (r == 0) {
        s->device->dirty |= uses_gpu;
        r = row->run(s, msg);
    }
    s->gated = r == -EAGAIN;
    if (s->gated)
        return false;
    s->taken_ns = 0;
    gpu_stat_add(&s->config.stats->commands, 1);
    if (r == -ENOMEM)
        vtest_end(s, "%s: out of memory", msg->info->name);
    else if (r < 0)
        vtest_reject(s, "%s: %s", msg->info->name, msg->reason);
    return true;
}

/* Charges the device for a message that is larger than the buffer we keep. */
static bool reserve(struct vtest_session *s, const struct vtest_command_info *info, size_t size)
{
    if (size > VTEST_BUFFER_KEEP && info->counted == VTEST_LENGTH_INLINE && !s->input_charge) {
        if (!gpu_charge(s->device, size)) {
            vtest_reject(s, "%s: no memory for %zu bytes of data", info->name, size);
            return false;
        }
        s->input_charge = size;
    }
    if (vtest_input_reserve(&s->input, size) == 0)
        return true;
    vtest_end(s, "%s: out of memory", info->name);
    return false;
}

/* Handles the next message if all of it is there; else there is room for it afterwards, or s has
 * ended. */
static bool next_message(struct vtest_session *s)
{
    struct vtest_input *in = &s->input;
    struct vtest_message msg = {.reason = "can't be done"};
    struct vtest_header hdr;
    int64_t body;
    size_t size;

    if (vtest_input_bytes(in) < sizeof(hdr)) {
        if (vtest_input_reserve(in, sizeof(hdr)) < 0)
            vtest_end(s, "out of memory");
        return false;
    }
    memcpy(&hdr, in->data + in->start, sizeof(hdr));
    msg.command = hdr.command;
    msg.info = admit(s, &hdr);
    if (!msg.info)
        return false;
    body = body_bytes(s, &hdr, msg.info);
    if (body < 0 && body != -EAGAIN)
        return false;
    size = sizeof(hdr) + (body < 0 ? sizeof(struct vtest_transfer) : (size_t)body);
    if (!reserve(s, msg.info, size) || body < 0 || vtest_input_bytes(in) < size)
        return false;

    msg.body = in->data + in->start + sizeof(hdr);
    msg.body_bytes = (size_t)body;
    if (!handle(s, &msg))
        return false;
    vtest_input_consume(in, size);
    if (s->input_charge) {
        gpu_uncharge(s->device, s->input_charge);
        s->input_charge = 0;
    }
    return true;
}

/* Gone for good, not only done with sending. */
static bool peer_gone(const struct vtest_session *s)
{
    struct pollfd p = {.fd = s->fd};

    return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* False: nothing more is to be had now. */
static bool read_more(struct vtest_session *s)
{
    ssize_t n = vtest_input_fill(&s->input, s->fd);

    if (n > 0)
        return true;
    if (n == 0 && vtest_input_bytes(&s->input) > 0 && !peer_gone(s))
        vtest_reject(s, "the client went away in the middle of a message");
    else if (n == 0 || n == -ECONNRESET)
        vtest_closed(s);
    else if (n != -EAGAIN)
        vtest_end(s, "the connection failed: %s", strerror((int)-n));
    return false;
}

static bool has_input(void *opaque)
{
    const struct vtest_session *s = opaque;
    struct pollfd p = {.fd = s->fd, .events = POLLIN};

    return poll(&p, 1, 0) != 0;
}

/* Handles what is there, up to a bound. */
static void turn(struct vtest_session *s)
{
    unsigned left = TURN_MESSAGES;

    while (!s->ended && send_answers(s) && !s->waiting && !s->gated) {
        if (left == 0) {
            sd_event_source_set_enabled(s->again_source, SD_EVENT_ONESHOT);
            break;
        }
        if (next_message(s)) {
            left--;
            continue;
        }
        if (s->gated)
            break;
        vtest_start_work(s);
        if (s->ended || !read_more(s))
            break;
    }
    if (s->ended)
        return;
    if (!s->gated && s->device->gate)
        gpu_device_settle(s->device, has_input, s);
    vtest_count_streams(s);
    if (s->ended || !vtest_output_empty(&s->output) || s->waiting || s->gated)
        return;
    set_events(s, EPOLLIN);
    if (gpu_device_is_at_leisure(s->device))
        request_watch(&s->watch, has_input, s); /* the event loop sees it at once */
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct vtest_session *s = opaque;

    if (s->ended)
        return 0;
    if (revents & (EPOLLHUP | EPOLLERR)) {
        /* Nobody is left for whom the rest could be done. */
        vtest_closed(s);
        return 0;
    }
    if ((s->waiting || s->gated) && revents & EPOLLIN)
        set_events(s, 0); /* later */
    else
        turn(s);
    return 0;
}

static int on_again(sd_event_source *source, void *opaque)
{
    struct vtest_session *s = opaque;

    if (!s->ended && !s->waiting && !s->gated)
        turn(s);
    return 0;
}

/* ops->resume of the device: the lease is there. */
static void on_resume(void *opaque)
{
    struct vtest_session *s = opaque;

    s->gated = false;
    if (!s->ended && !s->waiting)
        turn(s);
}

/* ops->flush of the device: all is complete. What the client has sent meanwhile comes later. */
static void on_flush(void *opaque)
{
    struct vtest_session *s = opaque;

    if (s->ended || !vtest_wait_is_over(s))
        return;
    send_answers(s);
    sd_event_source_set_enabled(s->again_source, SD_EVENT_ONESHOT);
}

static int on_fence(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct vtest_session *s = opaque;

    gpu_device_dispatch(s->device);
    vtest_count_streams(s);
    if (!s->ended && vtest_wait_is_over(s))
        turn(s);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct gpu_device_ops device_ops = {
    .complete = vtest_fence_done,
    .flush = on_flush,
    .resume = on_resume,
    .guest_ref = vtest_memory_ref,
    .guest_unref = vtest_memory_unref,
};

static int create_device(struct vtest_session *s)
{
    const struct gpu_device_config config = {
        .ops = &device_ops,
        .opaque = s,
        .backend = s->config.backend,
        .limits = s->config.limits,
        .stats = s->config.stats,
        .ring = s->config.ring,
        .gate = s->config.gate,
        .memory = s->config.memory,
    };
    int r = gpu_device_create(&config, &s->device);
    if (r < 0)
        return r;
    gpu_device_set_features(s->device, gpu_device_features(s->device));
    gpu_device_set_fence_queue(s->device, s->config.fences);
    return sd_event_add_io(s->config.event, &s->fence_source, gpu_device_event_fd(s->device),
                           EPOLLIN, on_fence, s);
}

/* A source that is off until somebody needs it. */
static int add_defer(struct vtest_session *s, sd_event_source **ret, sd_event_handler_t handler)
{
    int r = sd_event_add_defer(s->config.event, ret, handler, s);

    return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int vtest_session_create(const struct connection_config *config, int fd, struct vtest_session **ret)
{
    struct vtest_session *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->fd = fd;
    s->events = EPOLLIN;
    vtest_output_init(&s->output);
    id_table_init(&s->hollow);
    id_table_init(&s->syncs);
    int r = create_device(s);
    if (r >= 0)
        r = add_defer(s, &s->end_source, on_end);
    if (r >= 0)
        r = add_defer(s, &s->again_source, on_again);
    if (r >= 0)
        r = sd_event_add_io(config->event, &s->io_source, fd, s->events, on_io, s);
    if (r < 0) {
        s->fd = -1; /* still the caller's */
        vtest_session_destroy(s);
        return r;
    }
    atomic_store_explicit(&config->stats->connected, 1, memory_order_relaxed);
    *ret = s;
    return 0;
}

void vtest_session_destroy(struct vtest_session *s)
{
    if (!s)
        return;
    s->ended = true;
    sd_event_source_disable_unref(s->io_source);
    sd_event_source_disable_unref(s->fence_source);
    sd_event_source_disable_unref(s->again_source);
    sd_event_source_disable_unref(s->end_source);
    gpu_device_destroy(s->device);
    vtest_sync_finish(s);
    id_table_finish(&s->hollow);
    vtest_input_finish(&s->input);
    vtest_output_finish(&s->output);
    close_fd_p(&s->fd);
    gpu_stat_set(&s->config.stats->resource_bytes, 0);
    atomic_store_explicit(&s->config.stats->driver_ok, 0, memory_order_relaxed);
    atomic_store_explicit(&s->config.stats->connected, 0, memory_order_relaxed);
    free(s);
    malloc_trim(0); /* what a big client had leaves big holes */
}
