/* SPDX-License-Identifier: MIT */
/*
 * Scan-outs: which part of which resource a display shows, what of it has changed, the cursor.
 *
 * A picture goes to the display in one of two ways. By copy: a flush adds to the damage of the
 * scan-out, and the damage is read from the backend and sent in bands, as long as the display has
 * room; what is left waits, so memory is bounded however slow the display is. By dma-buf: the
 * display has the buffer and is told what changed. Blobs of guest memory always go by copy.
 *
 * Reading pixels is work for the GPU and needs the lease. A flush waits for it as a command does;
 * what can't wait in a queue (the display has room again, the cursor) is left for when it is there.
 */
#include "mediator/renderer/gpu_internal.h"

#include <string.h>

/* Pixels on their way to the display at a time. A row is at most 64 KiB. */
#define BAND_BYTES (1u << 20)
#define PIXEL_BYTES 4u
#define CURSOR_SIDE 64u

/* ---- damage ---------------------------------------------------------------------------------- */

static bool damage_empty(const struct gpu_damage *d)
{
    return d->x0 >= d->x1 || d->y0 >= d->y1;
}

/* One rectangle around all: cheap, bounded, and exact for the usual single flush. */
static void damage_add(struct gpu_damage *d, const struct gpu_damage *more)
{
    if (damage_empty(more))
        return;
    if (damage_empty(d)) {
        *d = *more;
        return;
    }
    d->x0 = MIN(d->x0, more->x0);
    d->y0 = MIN(d->y0, more->y0);
    d->x1 = MAX(d->x1, more->x1);
    d->y1 = MAX(d->y1, more->y1);
}

/* The part of a rectangle of the resource that a scan-out shows, relative to the scan-out. Both
 * lie inside the resource, so no sum wraps. */
static struct gpu_damage damage_shown(const struct virtio_gpu_rect *rect,
                                      const struct virtio_gpu_rect *shown)
{
    struct gpu_damage d = {
        .x0 = MAX(rect->x, shown->x),
        .y0 = MAX(rect->y, shown->y),
        .x1 = MIN(rect->x + rect->width, shown->x + shown->width),
        .y1 = MIN(rect->y + rect->height, shown->y + shown->height),
    };

    if (damage_empty(&d))
        return (struct gpu_damage){0};
    d.x0 -= shown->x;
    d.x1 -= shown->x;
    d.y0 -= shown->y;
    d.y1 -= shown->y;
    return d;
}

/* ---- to the display -------------------------------------------------------------------------- */

static bool display_ready(const struct gpu_device *dev)
{
    return dev->display && dev->display->ops->ready(dev->display);
}

/* The same as the backend's read_pixels for a blob of guest memory, which may have lost it. */
static int read_blob(const struct gpu_scanout *s, const struct gpu_resource *res, uint32_t x,
                     uint32_t y, uint32_t w, uint32_t h, uint8_t *dst)
{
    size_t row_bytes = (size_t)w * PIXEL_BYTES;
    struct iov_cursor from;

    iov_cursor_init(&from, res->iov, res->iov_count);
    if (!iov_skip(&from, s->blob.offset + (uint64_t)y * s->blob.stride + x * PIXEL_BYTES))
        return -EINVAL;
    for (uint32_t row = 0; row < h; row++, dst += row_bytes) {
        if (row > 0 && !iov_skip(&from, s->blob.stride - row_bytes))
            return -EINVAL;
        if (!iov_take(&from, dst, row_bytes))
            return -EINVAL;
        gpu_format_to_bgra(s->blob.format, dst, dst, w);
    }
    return 0;
}

static int read_pixels(struct gpu_device *dev, const struct gpu_scanout *s, uint32_t x, uint32_t y,
                       uint32_t w, uint32_t h, uint8_t *dst)
{
    const struct gpu_resource *res = gpu_resource_get(dev, s->resource_id);

    if (s->blob.width)
        return read_blob(s, res, x, y, w, h, dst);
    return dev->backend->ops->read_pixels(dev->backend, s->resource_id, x, y, w, h, dst,
                                          w * PIXEL_BYTES);
}

/* Reads and sends the uppermost band of the damage. */
static int send_band(struct gpu_device *dev, uint32_t id)
{
    struct gpu_scanout *s = &dev->scanouts[id];
    struct gpu_damage *d = &s->damage;
    uint32_t w = d->x1 - d->x0;
    uint32_t h = MIN(d->y1 - d->y0, MAX(BAND_BYTES / (w * PIXEL_BYTES), 1u));
    int r;

    if (!dev->band && !(dev->band = malloc(BAND_BYTES)))
        return -ENOMEM;
    r = read_pixels(dev, s, s->r.x + d->x0, s->r.y + d->y0, w, h, dev->band);
    if (r < 0)
        return r;
    dev->display->ops->update(dev->display, id, d->x0, d->y0, w, h, dev->band);
    d->y0 += h;
    return 0;
}

/* Sends damage while the display takes it. */
static void scanout_push(struct gpu_device *dev, uint32_t id)
{
    struct gpu_scanout *s = &dev->scanouts[id];
    struct gpu_damage *d = &s->damage;

    if (s->resource_id == 0 || damage_empty(d) || !display_ready(dev) ||
        (!s->dmabuf && !gpu_gate_enter(dev)))
        return;
    gpu_stat_add(&dev->stats->flushes, 1);
    if (s->dmabuf) {
        dev->display->ops->dmabuf_update(dev->display, id, d->x0, d->y0, d->x1 - d->x0,
                                         d->y1 - d->y0);
        *d = (struct gpu_damage){0};
        return;
    }
    while (!damage_empty(d) && display_ready(dev) && gpu_gate_enter(dev)) {
        int r = send_band(dev, id);
        if (r < 0) {
            *d = (struct gpu_damage){0};
            gpu_reject(dev, "scan-out", strerror(-r));
        }
    }
    if (damage_empty(d))
        *d = (struct gpu_damage){0};
}

static void push_all(struct gpu_device *dev)
{
    /* The one after the last one served comes first: a busy scan-out starves no other. */
    for (uint32_t i = 0; i < dev->n_scanouts && display_ready(dev); i++) {
        uint32_t id = (dev->next_scanout + i) % dev->n_scanouts;
        if (damage_empty(&dev->scanouts[id].damage))
            continue;
        scanout_push(dev, id);
        if (!display_ready(dev))
            dev->next_scanout = id + 1;
    }
}

void gpu_device_display_ready(struct gpu_device *dev)
{
    push_all(dev);
    gpu_gate_check(dev);
}

/* Whether a change of res has to be read for a display now. */
static bool is_read(const struct gpu_device *dev, const struct gpu_resource *res)
{
    for (uint32_t id = 0; res->scanouts >> id; id++) {
        if (res->scanouts & 1u << id && !dev->scanouts[id].dmabuf)
            return display_ready(dev);
    }
    return false;
}

/* Gives the display the buffer itself, if backend and display can. */
static bool show_dmabuf(struct gpu_device *dev, uint32_t id)
{
    const struct gpu_scanout *s = &dev->scanouts[id];
    const struct backend_ops *ops = dev->backend->ops;
    struct backend_dmabuf buf;
    bool shown;

    if (!dev->dmabuf || s->blob.width || !dev->display->ops->dmabuf_scanout ||
        !ops->export_dmabuf || ops->export_dmabuf(dev->backend, s->resource_id, &buf) < 0)
        return false;
    shown = dev->display->ops->dmabuf_scanout(dev->display, id, s->r.x, s->r.y, s->r.width,
                                              s->r.height, &buf);
    close(buf.fd);
    return shown;
}

/* Tells the display what the scan-out is now; the pixels follow with the next flush. */
static void scanout_show(struct gpu_device *dev, uint32_t id)
{
    struct gpu_scanout *s = &dev->scanouts[id];

    s->dmabuf = false;
    if (!dev->display)
        return;
    if (s->resource_id == 0)
        dev->display->ops->scanout(dev->display, id, 0, 0);
    else if (show_dmabuf(dev, id))
        s->dmabuf = true;
    else
        dev->display->ops->scanout(dev->display, id, s->r.width, s->r.height);
}

static void scanout_off(struct gpu_device *dev, uint32_t id)
{
    struct gpu_scanout *s = &dev->scanouts[id];
    struct gpu_resource *res = gpu_resource_get(dev, s->resource_id);

    if (s->resource_id == 0)
        return;
    if (res)
        res->scanouts &= ~(1u << id);
    s->resource_id = 0;
    s->blob.width = 0;
    s->r = (struct virtio_gpu_rect){0};
    s->damage = (struct gpu_damage){0};
    scanout_show(dev, id);
}

static void cursor_hide(struct gpu_device *dev, uint32_t id)
{
    struct gpu_scanout *s = &dev->scanouts[id];

    s->cursor_resource = 0;
    s->cursor_due = false;
    if (dev->display)
        dev->display->ops->cursor_move(dev->display, id, s->cursor_x, s->cursor_y, false);
}

void gpu_scanout_resource_gone(struct gpu_device *dev, struct gpu_resource *res)
{
    /* The cursor stays: its picture is a copy. Only reading it again is impossible. */
    for (uint32_t id = 0; id < dev->n_scanouts; id++) {
        if (res->scanouts & 1u << id)
            scanout_off(dev, id);
    }
}

void gpu_scanouts_clear(struct gpu_device *dev)
{
    for (uint32_t id = 0; id < dev->n_scanouts; id++) {
        scanout_off(dev, id);
        if (dev->scanouts[id].cursor_resource)
            cursor_hide(dev, id);
        dev->scanouts[id] = (struct gpu_scanout){0};
    }
    dev->next_scanout = 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* Shows a part of the resource on the scan-out from now on. */
static void scanout_set(struct gpu_device *dev, uint32_t id, struct gpu_resource *res,
                        const struct virtio_gpu_rect *r)
{
    struct gpu_scanout *s = &dev->scanouts[id];

    if (s->resource_id != res->args.id) {
        struct gpu_resource *before = gpu_resource_get(dev, s->resource_id);
        if (before)
            before->scanouts &= ~(1u << id);
    }
    res->scanouts |= 1u << id;
    s->resource_id = res->args.id;
    /* What the display has not got yet, it still has to get when buffers of one size are flipped.
     */
    if (s->r.width != r->width || s->r.height != r->height)
        s->damage = (struct gpu_damage){0};
    s->r = *r;
    scanout_show(dev, id);
}

uint32_t gpu_cmd_set_scanout(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_set_scanout *req = &call->req.set_scanout;
    struct gpu_resource *res;

    if (req->scanout_id >= dev->n_scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    if (req->resource_id == 0) {
        scanout_off(dev, req->scanout_id);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    res = gpu_resource_get(dev, req->resource_id);
    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if ((res->args.target != GPU_TARGET_2D && res->args.target != GPU_TARGET_RECT) ||
        req->r.width == 0 || req->r.height == 0 ||
        !gpu_rect_inside(&req->r, res->args.width, res->args.height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;

    dev->scanouts[req->scanout_id].blob.width = 0;
    scanout_set(dev, req->scanout_id, res, &req->r);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* True if all rows of the picture lie in the blob. */
static bool blob_picture_inside(const struct gpu_device *dev,
                                const struct virtio_gpu_set_scanout_blob *req, uint64_t bytes)
{
    uint32_t max = dev->limits.max_dimension;
    uint64_t row_bytes = (uint64_t)req->width * PIXEL_BYTES;

    if (req->width == 0 || req->height == 0 || req->width > max || req->height > max ||
        req->strides[0] < row_bytes)
        return false;
    return range_inside(req->offsets[0], (uint64_t)req->strides[0] * (req->height - 1) + row_bytes,
                        bytes);
}

uint32_t gpu_cmd_set_scanout_blob(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_set_scanout_blob *req = &call->req.set_scanout_blob;
    struct gpu_resource *res;
    struct gpu_scanout *s;

    if (req->scanout_id >= dev->n_scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    if (req->resource_id == 0) {
        scanout_off(dev, req->scanout_id);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    res = gpu_resource_get(dev, req->resource_id);
    if (!res || !res->blob_bytes)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!gpu_format_is_2d(req->format) || !blob_picture_inside(dev, req, res->blob_bytes) ||
        req->r.width == 0 || req->r.height == 0 ||
        !gpu_rect_inside(&req->r, req->width, req->height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    /* Pixels are copied out of guest memory; what is in the host's has no such way. */
    if (res->blob_mem != VIRTIO_GPU_BLOB_MEM_GUEST)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;

    s = &dev->scanouts[req->scanout_id];
    s->blob.width = req->width;
    s->blob.height = req->height;
    s->blob.format = req->format;
    s->blob.stride = req->strides[0];
    s->blob.offset = req->offsets[0];
    scanout_set(dev, req->scanout_id, res, &req->r);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* True if the rectangle lies inside the resource; a blob is as large as the picture that a scan-out
 * takes it for. */
static bool flush_inside(const struct gpu_device *dev, const struct gpu_resource *res,
                         const struct virtio_gpu_rect *r)
{
    if (!res->blob_bytes)
        return gpu_rect_inside(r, res->args.width, res->args.height);
    for (uint32_t id = 0; res->scanouts >> id; id++) {
        const struct gpu_scanout *s = &dev->scanouts[id];
        if (res->scanouts & 1u << id && !gpu_rect_inside(r, s->blob.width, s->blob.height))
            return false;
    }
    return true;
}

uint32_t gpu_cmd_resource_flush(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_resource_flush *req = &call->req.flush;
    const struct gpu_resource *res = gpu_resource_get(dev, req->resource_id);

    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!flush_inside(dev, res, &req->r))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (is_read(dev, res) && !gpu_gate_enter(dev)) {
        dev->blocked = call->cmd;
        dev->gated = true;
        return GPU_WAITS;
    }
    for (uint32_t id = 0; res->scanouts >> id; id++) {
        struct gpu_scanout *s = &dev->scanouts[id];
        struct gpu_damage d;

        if (!(res->scanouts & 1u << id))
            continue;
        d = damage_shown(&req->r, &s->r);
        damage_add(&s->damage, &d);
        scanout_push(dev, id);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- the cursor ------------------------------------------------------------------------------ */

/* Sends the cursor's picture, cut to or filled up to 64 × 64, now or when the lease is there. */
static int cursor_show(struct gpu_device *dev, uint32_t id, const struct gpu_resource *res)
{
    struct gpu_scanout *s = &dev->scanouts[id];
    uint32_t pixels[CURSOR_SIDE * CURSOR_SIDE] = {0};
    int r;

    s->cursor_due = dev->display && !gpu_gate_enter(dev);
    if (!dev->display || s->cursor_due)
        return 0;
    r = dev->backend->ops->read_pixels(
        dev->backend, res->args.id, 0, 0, MIN(res->args.width, CURSOR_SIDE),
        MIN(res->args.height, CURSOR_SIDE), pixels, CURSOR_SIDE * PIXEL_BYTES);
    if (r < 0)
        return r;
    dev->display->ops->cursor_update(dev->display, id, s->cursor_x, s->cursor_y, s->hot_x, s->hot_y,
                                     pixels);
    return 0;
}

uint32_t gpu_cmd_update_cursor(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_update_cursor *req = &call->req.cursor;
    struct gpu_resource *res = NULL;
    struct gpu_scanout *s;

    if (req->pos.scanout_id >= dev->n_scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    if (req->resource_id != 0) {
        res = gpu_resource_get(dev, req->resource_id);
        if (!res)
            return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
        if (res->args.target != GPU_TARGET_2D && res->args.target != GPU_TARGET_RECT)
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    s = &dev->scanouts[req->pos.scanout_id];
    s->cursor_x = req->pos.x;
    s->cursor_y = req->pos.y;
    if (!res) {
        cursor_hide(dev, req->pos.scanout_id);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    s->cursor_resource = req->resource_id;
    s->hot_x = MIN(req->hot_x, CURSOR_SIDE - 1);
    s->hot_y = MIN(req->hot_y, CURSOR_SIDE - 1);
    return gpu_response_from_errno(cursor_show(dev, req->pos.scanout_id, res));
}

uint32_t gpu_cmd_move_cursor(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_cursor_pos *pos = &call->req.cursor.pos;
    struct gpu_scanout *s;

    if (pos->scanout_id >= dev->n_scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    s = &dev->scanouts[pos->scanout_id];
    s->cursor_x = pos->x;
    s->cursor_y = pos->y;
    if (dev->display)
        dev->display->ops->cursor_move(dev->display, pos->scanout_id, pos->x, pos->y,
                                       s->cursor_resource != 0);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- the lease is there -----------------------------------------------------------------------
 */

void gpu_scanouts_opened(struct gpu_device *dev)
{
    for (uint32_t id = 0; id < dev->n_scanouts; id++) {
        struct gpu_scanout *s = &dev->scanouts[id];
        const struct gpu_resource *cursor = gpu_resource_get(dev, s->cursor_resource);

        if (s->cursor_due && cursor)
            (void)cursor_show(dev, id, cursor);
        else
            s->cursor_due = false;
    }
    push_all(dev);
}

/* ---- another display ------------------------------------------------------------------------- */

void gpu_scanouts_announce(struct gpu_device *dev)
{
    for (uint32_t id = 0; id < dev->n_scanouts; id++) {
        struct gpu_scanout *s = &dev->scanouts[id];
        const struct gpu_resource *cursor = gpu_resource_get(dev, s->cursor_resource);

        if (s->resource_id == 0)
            continue;
        scanout_show(dev, id);
        s->damage = (struct gpu_damage){0, 0, s->r.width, s->r.height};
        scanout_push(dev, id);
        if (cursor)
            (void)cursor_show(dev, id, cursor);
    }
    gpu_gate_check(dev);
}
