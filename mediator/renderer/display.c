/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/display.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/renderer/display_queue.h"
#include "protocol/vhost_user_gpu.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Small messages cost more than their bytes: a bound on their number as well. */
#define QUEUE_MESSAGES 256

/* Says of a dma-buf's layout: none in particular, what the driver takes it for. */
#define MODIFIER_LINEAR 0ull
#define MODIFIER_INVALID 0x00ffffffffffffffull

unsigned display_answer_timeout_us = DISPLAY_ANSWER_TIMEOUT_US;

static const char closed[] = "closed by the front-end";

#define REQUEST_BIT(request) (1u << (request))
#define PICTURE_REQUESTS                                                                           \
    (REQUEST_BIT(VHOST_USER_GPU_SCANOUT) | REQUEST_BIT(VHOST_USER_GPU_UPDATE) |                    \
     REQUEST_BIT(VHOST_USER_GPU_DMABUF_SCANOUT) | REQUEST_BIT(VHOST_USER_GPU_DMABUF_SCANOUT2) |    \
     REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE))
#define CURSOR_POS_REQUESTS                                                                        \
    (REQUEST_BIT(VHOST_USER_GPU_CURSOR_POS) | REQUEST_BIT(VHOST_USER_GPU_CURSOR_POS_HIDE))
#define CURSOR_REQUESTS (CURSOR_POS_REQUESTS | REQUEST_BIT(VHOST_USER_GPU_CURSOR_UPDATE))

struct display {
    struct gpu_display base;
    struct gpu_device *dev; /* borrowed */
    int fd;                 /* owned; -1: the display is gone */
    const char *failed;     /* why it has to be dropped when the event loop runs again */
    sd_event_source *io, *flush, *timer; /* owned */
    bool polls_out;

    struct display_queue queue;
    bool stalled; /* ready() said no: the device waits to be told */

    uint8_t in[sizeof(struct vhost_user_gpu_header) + sizeof(struct virtio_gpu_resp_edid)];
    size_t in_len;

    bool features_known;
    uint64_t features;
    uint32_t asked;        /* REQUEST_BITs: an answer is due */
    uint32_t late;         /* those of them that nobody waits for any more */
    uint32_t open;         /* the question of the guest that waits: a request, 0 = none */
    uint32_t edid_scanout; /* of the latest GET_EDID */

    struct display_shown peer[VIRTIO_GPU_MAX_SCANOUTS]; /* after all that was sent */
    struct display_shown want[VIRTIO_GPU_MAX_SCANOUTS]; /* after all that is queued */
};

static struct display *display_of(struct gpu_display *d)
{
    return (struct display *)d;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Lets the event loop send, or drop the display. */
static void send_soon(struct display *d)
{
    sd_event_source_set_enabled(d->flush, SD_EVENT_ONESHOT);
}

/* Appends a message; NULL: the display is gone, or about to go. Errors take effect when the event
 * loop runs: dropping the display calls the device, which may be the caller. */
static struct display_msg *enqueue(struct display *d, uint32_t request, uint32_t scanout_id,
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

/* Forgets what is queued for a scan-out and has become pointless. */
static void forget(struct display *d, uint32_t scanout_id, uint32_t requests)
{
    uint32_t dropped = display_queue_drop(&d->queue, scanout_id, requests);

    /* No answer will come to what was not asked. */
    d->asked &= ~(dropped & REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE));
    if (dropped)
        send_soon(d);
}

static void on_started(void *opaque, const struct display_msg *msg)
{
    struct display *d = opaque;

    if (PICTURE_REQUESTS & REQUEST_BIT(msg->request))
        d->peer[msg->scanout_id] = msg->shown;
}

/* ---- questions ------------------------------------------------------------------------------- */

static void ask(struct display *d, uint32_t request, const void *payload, size_t size)
{
    if (enqueue(d, request, DISPLAY_NO_SCANOUT, payload, size, NULL, 0))
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
    enqueue(d, VHOST_USER_GPU_SET_PROTOCOL_FEATURES, DISPLAY_NO_SCANOUT, &d->features,
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
    r = display_queue_send(&d->queue, d->fd, on_started, d);
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

/* ---- pictures -------------------------------------------------------------------------------- */

static bool same_shown(const struct display_shown *a, const struct display_shown *b)
{
    return a->kind == b->kind && a->width == b->width && a->height == b->height;
}

/* Sends a message that makes scan-out id what shown says. fd is consumed, -1 for none. */
static void send_shown(struct display *d, uint32_t request, uint32_t id, const void *payload,
                       size_t size, struct display_shown shown, int fd)
{
    struct display_msg *msg = enqueue(d, request, id, payload, size, NULL, 0);

    if (!msg) {
        close_fd_p(&fd);
        return;
    }
    msg->shown = shown;
    msg->fd = fd;
}

static void display_scanout(struct gpu_display *base, uint32_t id, uint32_t w, uint32_t h)
{
    struct display *d = display_of(base);
    const struct display_shown off = {0};
    const struct display_shown shown = {w && h ? SHOWN_SURFACE : SHOWN_OFF, w, h};
    const struct vhost_user_gpu_scanout msg = {.scanout_id = id, .width = w, .height = h};
    const struct vhost_user_gpu_dmabuf_scanout no_dmabuf = {.scanout_id = id};

    /* Page flips between buffers of one size are frequent, and QEMU makes a new surface at each
     * SCANOUT. */
    if (same_shown(&shown, &d->want[id]))
        return;
    forget(d, id, PICTURE_REQUESTS);
    d->want[id] = shown;
    if (same_shown(&shown, &d->peer[id]))
        return;
    if (d->peer[id].kind == SHOWN_DMABUF)
        send_shown(d, VHOST_USER_GPU_DMABUF_SCANOUT, id, &no_dmabuf, sizeof(no_dmabuf), off, -1);
    if (shown.kind == SHOWN_SURFACE || d->peer[id].kind == SHOWN_SURFACE)
        send_shown(d, VHOST_USER_GPU_SCANOUT, id, &msg, sizeof(msg), shown, -1);
}

static void display_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                           uint32_t w, uint32_t h, const void *pixels)
{
    struct display *d = display_of(base);
    const struct vhost_user_gpu_update msg = {id, x, y, w, h};
    struct display_msg *out;

    /* QEMU does not check that there is a surface. */
    if (d->want[id].kind != SHOWN_SURFACE || !range_inside(x, w, d->want[id].width) ||
        !range_inside(y, h, d->want[id].height))
        return;
    out = enqueue(d, VHOST_USER_GPU_UPDATE, id, &msg, sizeof(msg), pixels, (size_t)w * h * 4);
    if (out)
        out->shown = d->want[id];
}

static bool display_dmabuf_scanout(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                                   uint32_t w, uint32_t h, const struct backend_dmabuf *buf)
{
    struct display *d = display_of(base);
    const struct display_shown shown = {SHOWN_DMABUF, 0, 0};
    const struct vhost_user_gpu_dmabuf_scanout2 msg = {
        .dmabuf =
            {
                .scanout_id = id,
                .x = x,
                .y = y,
                .width = w,
                .height = h,
                .fd_width = buf->width,
                .fd_height = buf->height,
                .fd_stride = buf->stride,
                .fd_flags = buf->y_0_top ? VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP : 0,
                .fd_drm_fourcc = (int32_t)buf->fourcc,
            },
        .modifier = buf->modifier,
    };
    bool with_modifier = d->features >> VHOST_USER_GPU_PROTOCOL_F_DMABUF2 & 1;
    int fd;

    /* The messages have no word for an offset, and the older one none for a modifier. */
    if (d->fd < 0 || d->failed || !d->features_known || buf->offset != 0 ||
        (!with_modifier && buf->modifier != MODIFIER_LINEAR && buf->modifier != MODIFIER_INVALID))
        return false;
    fd = fcntl(buf->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return false;
    forget(d, id, PICTURE_REQUESTS);
    d->want[id] = shown;
    if (with_modifier)
        send_shown(d, VHOST_USER_GPU_DMABUF_SCANOUT2, id, &msg, sizeof(msg), shown, fd);
    else
        send_shown(d, VHOST_USER_GPU_DMABUF_SCANOUT, id, &msg.dmabuf, sizeof(msg.dmabuf), shown,
                   fd);
    return true;
}

static void display_dmabuf_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                                  uint32_t w, uint32_t h)
{
    struct display *d = display_of(base);
    const struct vhost_user_gpu_update msg = {id, x, y, w, h};
    struct display_msg *out;

    if (d->want[id].kind != SHOWN_DMABUF)
        return;
    out = enqueue(d, VHOST_USER_GPU_DMABUF_UPDATE, id, &msg, sizeof(msg), NULL, 0);
    if (!out)
        return;
    out->shown = d->want[id];
    d->asked |= REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE);
}

static void display_cursor_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                                  uint32_t hot_x, uint32_t hot_y, const uint32_t *argb_64x64)
{
    struct display *d = display_of(base);
    const struct {
        struct vhost_user_gpu_cursor_pos pos;
        uint32_t hot_x, hot_y;
    } msg = {{id, x, y}, hot_x, hot_y};

    forget(d, id, CURSOR_REQUESTS);
    enqueue(d, VHOST_USER_GPU_CURSOR_UPDATE, id, &msg, sizeof(msg), argb_64x64,
            sizeof(((struct vhost_user_gpu_cursor_update *)0)->data));
}

static void display_cursor_move(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                                bool visible)
{
    struct display *d = display_of(base);
    const struct vhost_user_gpu_cursor_pos msg = {id, x, y};

    forget(d, id, CURSOR_POS_REQUESTS);
    enqueue(d, visible ? VHOST_USER_GPU_CURSOR_POS : VHOST_USER_GPU_CURSOR_POS_HIDE, id, &msg,
            sizeof(msg), NULL, 0);
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
