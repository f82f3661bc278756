/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/display_internal.h"

#include "mediator/base/util.h"

#include <fcntl.h>

/* Says of a dma-buf's layout: none in particular, what the driver takes it for. */
#define MODIFIER_LINEAR 0ull
#define MODIFIER_INVALID 0x00ffffffffffffffull

#define PICTURE_REQUESTS                                                                           \
    (REQUEST_BIT(VHOST_USER_GPU_SCANOUT) | REQUEST_BIT(VHOST_USER_GPU_UPDATE) |                    \
     REQUEST_BIT(VHOST_USER_GPU_DMABUF_SCANOUT) | REQUEST_BIT(VHOST_USER_GPU_DMABUF_SCANOUT2) |    \
     REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE))
#define CURSOR_POS_REQUESTS                                                                        \
    (REQUEST_BIT(VHOST_USER_GPU_CURSOR_POS) | REQUEST_BIT(VHOST_USER_GPU_CURSOR_POS_HIDE))
#define CURSOR_REQUESTS (CURSOR_POS_REQUESTS | REQUEST_BIT(VHOST_USER_GPU_CURSOR_UPDATE))

void display_picture_started(void *opaque, const struct display_msg *msg)
{
    struct display *d = opaque;

    if (PICTURE_REQUESTS & REQUEST_BIT(msg->request))
        d->peer[msg->scanout_id] = msg->shown;
}

static bool same_shown(const struct display_shown *a, const struct display_shown *b)
{
    return a->kind == b->kind && a->width == b->width && a->height == b->height;
}

/* Sends a message that makes scan-out id what shown says. fd is consumed, -1 for none. */
static void send_shown(struct display *d, uint32_t request, uint32_t id, const void *payload,
                       size_t size, struct display_shown shown, int fd)
{
    struct display_msg *msg = display_enqueue(d, request, id, payload, size, NULL, 0);

    if (!msg) {
        close_fd_p(&fd);
        return;
    }
    msg->shown = shown;
    msg->fd = fd;
}

void display_scanout(struct gpu_display *base, uint32_t id, uint32_t w, uint32_t h)
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
    display_forget(d, id, PICTURE_REQUESTS);
    d->want[id] = shown;
    if (same_shown(&shown, &d->peer[id]))
        return;
    if (d->peer[id].kind == SHOWN_DMABUF)
        send_shown(d, VHOST_USER_GPU_DMABUF_SCANOUT, id, &no_dmabuf, sizeof(no_dmabuf), off, -1);
    if (shown.kind == SHOWN_SURFACE || d->peer[id].kind == SHOWN_SURFACE)
        send_shown(d, VHOST_USER_GPU_SCANOUT, id, &msg, sizeof(msg), shown, -1);
}

void display_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y, uint32_t w,
                    uint32_t h, const void *pixels)
{
    struct display *d = display_of(base);
    const struct vhost_user_gpu_update msg = {id, x, y, w, h};
    struct display_msg *out;

    /* QEMU does not check that there is a surface. */
    if (d->want[id].kind != SHOWN_SURFACE || !range_inside(x, w, d->want[id].width) ||
        !range_inside(y, h, d->want[id].height))
        return;
    out =
        display_enqueue(d, VHOST_USER_GPU_UPDATE, id, &msg, sizeof(msg), pixels, (size_t)w * h * 4);
    if (out)
        out->shown = d->want[id];
}

bool display_dmabuf_scanout(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
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
    display_forget(d, id, PICTURE_REQUESTS);
    d->want[id] = shown;
    if (with_modifier)
        send_shown(d, VHOST_USER_GPU_DMABUF_SCANOUT2, id, &msg, sizeof(msg), shown, fd);
    else
        send_shown(d, VHOST_USER_GPU_DMABUF_SCANOUT, id, &msg.dmabuf, sizeof(msg.dmabuf), shown,
                   fd);
    return true;
}

void display_dmabuf_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                           uint32_t w, uint32_t h)
{
    struct display *d = display_of(base);
    const struct vhost_user_gpu_update msg = {id, x, y, w, h};
    struct display_msg *out;

    if (d->want[id].kind != SHOWN_DMABUF)
        return;
    out = display_enqueue(d, VHOST_USER_GPU_DMABUF_UPDATE, id, &msg, sizeof(msg), NULL, 0);
    if (!out)
        return;
    out->shown = d->want[id];
    d->asked |= REQUEST_BIT(VHOST_USER_GPU_DMABUF_UPDATE);
}

void display_cursor_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                           uint32_t hot_x, uint32_t hot_y, const uint32_t *argb_64x64)
{
    struct display *d = display_of(base);
    const struct {
        struct vhost_user_gpu_cursor_pos pos;
        uint32_t hot_x, hot_y;
    } msg = {{id, x, y}, hot_x, hot_y};

    display_forget(d, id, CURSOR_REQUESTS);
    display_enqueue(d, VHOST_USER_GPU_CURSOR_UPDATE, id, &msg, sizeof(msg), argb_64x64,
                    sizeof(((struct vhost_user_gpu_cursor_update *)0)->data));
}

void display_cursor_move(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                         bool visible)
{
    struct display *d = display_of(base);
    const struct vhost_user_gpu_cursor_pos msg = {id, x, y};

    display_forget(d, id, CURSOR_POS_REQUESTS);
    display_enqueue(d, visible ? VHOST_USER_GPU_CURSOR_POS : VHOST_USER_GPU_CURSOR_POS_HIDE, id,
                    &msg, sizeof(msg), NULL, 0);
}
