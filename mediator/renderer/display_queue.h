/* SPDX-License-Identifier: MIT */
/*
 * Messages of the vhost-user-gpu display protocol on their way to a front-end that reads slowly: a
 * FIFO from which what has become pointless can be taken out again, as long as it has not begun to
 * go out. Used by display.c and
 * display_picture.c.
 */
#ifndef ALIQUOT_RENDERER_DISPLAY_QUEUE_H
#define ALIQUOT_RENDERER_DISPLAY_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#define DISPLAY_NO_SCANOUT UINT32_MAX

/* What a scan-out of the front-end shows. */
struct display_shown {
    enum { SHOWN_OFF, SHOWN_SURFACE, SHOWN_DMABUF } kind;
    uint32_t width, height; /* of a surface */
};

struct display_msg {
    struct display_msg *next; /* owned by the queue */
    uint32_t request;
    uint32_t scanout_id;        /* DISPLAY_NO_SCANOUT: of none */
    struct display_shown shown; /* what the scan-out is after it, for messages about pictures */
    int fd;                     /* owned; -1: none, or sent */
    size_t len, sent;
    uint8_t data[]; /* header and payload */
};

struct display_queue {
    struct display_msg *head, **tail; /* owned */
    size_t bytes, messages;
};

void display_queue_init(struct display_queue *q);
void display_queue_finish(struct display_queue *q);

/* Appends a message with a payload of two parts, both copied. NULL: no memory. */
struct display_msg *display_queue_push(struct display_queue *q, uint32_t request,
                                       uint32_t scanout_id, const void *payload, size_t size,
                                       const void *more, size_t more_size);

/* Takes out the messages of a scan-out whose request's bit is set in requests, but for one that has
 * begun to go out. Returns the bits of what was taken out. */
uint32_t display_queue_drop(struct display_queue *q, uint32_t scanout_id, uint32_t requests);

/* Sends what the socket takes, without blocking; calls started before the first byte of each
 * message. Returns 0, or a negative errno if the peer is gone. */
int display_queue_send(struct display_queue *q, int sock,
                       void (*started)(void *opaque, const struct display_msg *msg), void *opaque);

#endif
