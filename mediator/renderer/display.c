/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/display_internal.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Small messages cost more than their bytes: a bound on their number as well. */
#define QUEUE_MESSAGES 256

unsigned display_answer_timeout_us = DISPLAY_ANSWER_TIMEOUT_US;

static const char closed[] = "closed by the front-end";

/* ---- sending --------------------------------------------------------------------------------- */

/* Lets the event loop send, or drop the display. */
static void send_soon(struct display *d)
{
    sd_event_source_set_enabled(d->flush, SD_EVENT_ONESHOT);
}

struct display_msg *display_enqueue(struct display *d, uint32_t request, uint32_t scanout_id,
                                    const void *payload, size_t size, const void *more,
                                    size_t more_size)
{
    struct display_msg *msg;

    if (d->fd < 0 || d->failed)
        return NULL;
    msg = display_queue_push(&d->queue, request, scanout_id, payload, size, more, more_size);
    if (!msg)
        d->failed = "out of memory";
    send_soon(d);
    return msg;
}

void display_forget(struct display *d, uint32_t scanout_id, uint32_t requests)
{
    uint32_t dropped = display_queue_drop(&d->queue, scanout_id, requests);

    /* No answer will come to what was not asked. */
    d->asked &= ~(dropped & REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE));
    if (dropped)
        send_soon(d);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void ask(struct display *d, uint32_t request, const void *payload, size_t size)
{
    if (display_enqueue(d, request, DISPLAY_NO_SCANOUT, payload, size, NULL, 0))
        d->asked |= REQUEST_BIT(request);
}

static void ask_edid(struct display *d)
{
    const struct vhost_user_gpu_edid_request req = {.scanout_id = d->edid_scanout};

    ask(d, VHOST_USER_GPU_GET_EDID, &req, sizeof(req));
}

static void open_question(struct display *d, uint32_t request)
{
    d->open = request;
    sd_event_source_set_time_relative(d->timer, display_answer_timeout_us);
    sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

/* Answers the open question, with NULL: from the device's tables. The device may ask again inside.
 */
static void close_question(struct display *d, const void *answer)
{
    uint32_t question = d->open;

    d->open = 0;
    sd_event_source_set_enabled(d->timer, SD_EVENT_OFF);
    if (question == VHOST_USER_GPU_GET_DISPLAY_INFO)
        gpu_device_display_info(d->dev, answer);
    else if (question == VHOST_USER_GPU_GET_EDID)
        gpu_device_display_edid(d->dev, answer);
}

static bool display_get_display_info(struct gpu_display *base)
{
    struct display *d = display_of(base);
    const uint32_t bit = REQUEST_BIT(VHOST_USER_GPU_GET_DISPLAY_INFO);

    if (d->fd < 0 || d->failed || (d->late & bit))
        return false;
    if (!(d->asked & bit))
        ask(d, VHOST_USER_GPU_GET_DISPLAY_INFO, NULL, 0);
    if (d->failed)
        return false;
    open_question(d, VHOST_USER_GPU_GET_DISPLAY_INFO);
    return true;
}

static bool display_get_edid(struct gpu_display *base, uint32_t scanout_id)
{
    struct display *d = display_of(base);
    const uint32_t bit = REQUEST_BIT(VHOST_USER_GPU_GET_EDID);

    if (d->fd < 0 || d->failed || (d->late & bit))
        return false;
    if (d->features_known && !(d->features >> VHOST_USER_GPU_PROTOCOL_F_EDID & 1))
        return false;
    if ((d->asked & bit) && d->edid_scanout != scanout_id)
        return false;
    d->edid_scanout = scanout_id;
    /* Before the features are known it waits for them. */
    if (d->features_known && !(d->asked & bit))
        ask_edid(d);
    if (d->failed)
        return false;
    open_question(d, VHOST_USER_GPU_GET_EDID);
    return true;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct display *d = userdata;

    log_warning("display: no answer for %u s; using own tables",
                DISPLAY_ANSWER_TIMEOUT_US / 1000000);
    d->late |= d->asked & REQUEST_BIT(d->open);
    close_question(d, NULL);
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void on_features(struct display *d, const uint8_t *payload)
{
    const uint64_t ours =
        1u << VHOST_USER_GPU_PROTOCOL_F_EDID | 1u << VHOST_USER_GPU_PROTOCOL_F_DMABUF2;

    memcpy(&d->features, payload, sizeof(d->features));
    d->features &= ours;
    d->features_known = true;
    display_enqueue(d, VHOST_USER_GPU_SET_PROTOCOL_FEATURES, DISPLAY_NO_SCANOUT, &d->features,
                    sizeof(d->features), NULL, 0);
    if (d->open != VHOST_USER_GPU_GET_EDID)
        return;
    if (d->features >> VHOST_USER_GPU_PROTOCOL_F_EDID & 1)
        ask_edid(d);
    else
        close_question(d, NULL);
}

static void on_answer(struct display *d, uint32_t request, const uint8_t *payload)
{
    union {
        struct virtio_gpu_resp_display_info info;
        struct virtio_gpu_resp_edid edid;
    } copy;

    d->asked &= ~REQUEST_BIT(request);
    d->late &= ~REQUEST_BIT(request);
    if (request == VHOST_USER_GPU_GET_PROTOCOL_FEATURES) {
        on_features(d, payload);
    } else if (request == VHOST_USER_GPU_GET_DISPLAY_INFO) {
        memcpy(&copy.info, payload, sizeof(copy.info));
        if (d->open == request)
            close_question(d, &copy);
    } else if (request == VHOST_USER_GPU_GET_EDID) {
        memcpy(&copy.edid, payload, sizeof(copy.edid));
        if (d->open == request)
            close_question(d, &copy);
    }
}

/* Bytes of payload of the answer to a request; -1: none is ever due. */
static int answer_bytes(uint32_t request)
{
    switch (request) {
    case VHOST_USER_GPU_GET_PROTOCOL_FEATURES:
        return sizeof(uint64_t);
    case VHOST_USER_GPU_GET_DISPLAY_INFO:
        return sizeof(struct virtio_gpu_resp_display_info);
    case VHOST_USER_GPU_GET_EDID:
        return sizeof(struct virtio_gpu_resp_edid);
    case VHOST_USER_GPU_DMABUF_UPDATE:
        return 0;
    default:
        return -1;
    }
}

/* Reads until in holds want bytes. True: it does; false with *ret_why: the display is gone, or
 * with NULL: not yet. */
static bool fill_input(struct display *d, size_t want, const char **ret_why)
{
    *ret_why = NULL;
    while (d->in_len < want) {
        ssize_t n = recv(d->fd, d->in + d->in_len, want - d->in_len, MSG_DONTWAIT);
        if (n > 0) {
            d->in_len += (size_t)n;
        } else if (n == 0) {
            *ret_why = closed;
            return false;
        } else if (errno != EINTR) {
            if (errno != EAGAIN)
                *ret_why = errno == ECONNRESET ? closed : strerror(errno);
            return false;
        }
    }
    return true;
}

/* Takes all answers that are there. Returns why the display has to be dropped, or NULL. */
static const char *read_answers(struct display *d)
{
    struct vhost_user_gpu_header header;
    const char *why;
    int size;

    while (fill_input(d, sizeof(header), &why)) {
        memcpy(&header, d->in, sizeof(header));
        size = answer_bytes(header.request);
        if (size < 0 || !(d->asked & REQUEST_BIT(header.request)))
            return "a message that was not asked for";
        if (header.flags != VHOST_USER_GPU_REPLY || header.size != (uint32_t)size)
            return "a malformed answer";
        if (!fill_input(d, sizeof(header) + (size_t)size, &why))
            return why;
        d->in_len = 0;
        on_answer(d, header.request, d->in + sizeof(header));
    }
    return why;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void drop(struct display *d, const char *why)
{
    /* An end is usual (QEMU closes it when the guest stops), the rest is a mistake. */
    log_line(why == closed ? LOG_DEBUG : LOG_WARNING, "display: %s; going on without it", why);
    d->io = sd_event_source_disable_unref(d->io);
    close(d->fd);
    d->fd = -1;
    display_queue_finish(&d->queue);
    d->asked = 0;
    close_question(d, NULL);
}

static void poll_out(struct display *d, bool on)
{
    if (on == d->polls_out)
        return;
    d->polls_out = on;
    sd_event_source_set_io_events(d->io, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static bool has_room(const struct display *d)
{
    return d->fd >= 0 && !d->failed && d->queue.bytes < DISPLAY_QUEUE_BYTES &&
           d->queue.messages < QUEUE_MESSAGES &&
           !(d->asked & REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE));
}

static void send_or_drop(struct display *d)
{
    int r;

    if (d->fd < 0)
        return;
    if (d->failed) {
        drop(d, d->failed);
        return;
    }
    r = display_queue_send(&d->queue, d->fd, display_picture_started, d);
    if (r < 0) {
        drop(d, r == -EPIPE || r == -ECONNRESET ? closed : strerror(-r));
        return;
    }
    poll_out(d, d->queue.head);
    if (d->stalled && has_room(d)) {
        d->stalled = false;
        gpu_device_display_ready(d->dev);
    }
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct display *d = userdata;
    const char *why;

    if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        why = read_answers(d);
        if (why) {
            drop(d, why);
            return 0;
        }
    }
    send_or_drop(d);
    return 0;
}

static int on_flush(sd_event_source *source, void *userdata)
{
    send_or_drop(userdata);
    return 0;
}

static bool display_ready(struct gpu_display *base)
{
    struct display *d = display_of(base);
    bool room = has_room(d);

    if (!room)
        d->stalled = true;
    return room;
}

static const struct gpu_display_ops display_ops = {
    .get_display_info = display_get_display_info,
    .get_edid = display_get_edid,
    .scanout = display_scanout,
    .update = display_update,
    .dmabuf_scanout = display_dmabuf_scanout,
    .dmabuf_update = display_dmabuf_update,
    .cursor_update = display_cursor_update,
    .cursor_move = display_cursor_move,
    .ready = display_ready,
};

/* ---- life ------------------------------------------------------------------------------------ */

int display_create(sd_event *event, int fd, struct gpu_device *dev, struct gpu_display **ret)
{
    struct display *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->base.ops = &display_ops;
    d->dev = dev;
    d->fd = -1; /* the caller's until nothing can fail any more */
    display_queue_init(&d->queue);
    r = sd_event_add_io(event, &d->io, fd, EPOLLIN, on_io, d);
    if (r >= 0)
        r = sd_event_add_defer(event, &d->flush, on_flush, d);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &d->timer, CLOCK_MONOTONIC, display_answer_timeout_us,
                                       0, on_timeout, d);
    if (r >= 0)
        r = sd_event_source_set_enabled(d->timer, SD_EVENT_OFF);
    if (r < 0) {
        display_destroy(&d->base);
        return r;
    }
    d->fd = fd;
    ask(d, VHOST_USER_GPU_GET_PROTOCOL_FEATURES, NULL, 0);
    *ret = &d->base;
    return 0;
}

void display_destroy(struct gpu_display *base)
{
    struct display *d = base ? display_of(base) : NULL;

    if (!d)
        return;
    sd_event_source_disable_unref(d->io);
    sd_event_source_disable_unref(d->flush);
    sd_event_source_disable_unref(d->timer);
    display_queue_finish(&d->queue);
    close_fd_p(&d->fd);
    free(d);
}
