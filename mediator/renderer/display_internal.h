/* SPDX-License-Identifier: MIT */
/*
 * What the files of the display share:
 *   display.c          life, the socket, questions and their answers
 *   display_picture.c  what the front-end is told to show: scan-outs and cursors
 *   display_queue.c    what waits to be sent
 */
#ifndef ALIQUOT_RENDERER_DISPLAY_INTERNAL_H
#define ALIQUOT_RENDERER_DISPLAY_INTERNAL_H

#include "mediator/renderer/display.h"
#include "mediator/renderer/display_queue.h"
#include "protocol/vhost_user_gpu.h"

#define REQUEST_BIT(request) (1u << (request))

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

static inline struct display *display_of(struct gpu_display *d)
{
    return (struct display *)d;
}

/* ---- display.c ------------------------------------------------------------------------------- */

/* Appends a message; NULL: the display is gone, or about to go. Errors take effect when the event
 * loop runs: dropping the display calls the device, which may be the caller. */
struct display_msg *display_enqueue(struct display *d, uint32_t request, uint32_t scanout_id,
                                    const void *payload, size_t size, const void *more,
                                    size_t more_size);
/* Forgets what is queued for a scan-out and has become pointless. */
void display_forget(struct display *d, uint32_t scanout_id, uint32_t requests);

/* ---- display_picture.c ----------------------------------------------------------------------- */

/* For display_queue_send(): the front-end gets to know what the message says. */
void display_picture_started(void *opaque, const struct display_msg *msg);
/* Of struct gpu_display_ops. */
void display_scanout(struct gpu_display *base, uint32_t id, uint32_t w, uint32_t h);
void display_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y, uint32_t w,
                    uint32_t h, const void *pixels);
bool display_dmabuf_scanout(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                            uint32_t w, uint32_t h, const struct backend_dmabuf *buf);
void display_dmabuf_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                           uint32_t w, uint32_t h);
void display_cursor_update(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                           uint32_t hot_x, uint32_t hot_y, const uint32_t *argb_64x64);
void display_cursor_move(struct gpu_display *base, uint32_t id, uint32_t x, uint32_t y,
                         bool visible);

#endif
