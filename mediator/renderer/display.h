/* SPDX-License-Identifier: MIT */
/*
 * The display of a vGPU behind the vhost-user-gpu display socket: the console of the front-end.
 *
 * Implements struct gpu_display_ops on an event loop; no call blocks. The front-end is trusted no
 * more than any other peer: an answer nobody asked for, of the wrong size, or the end of the
 * socket, ends the display with one line in the log. It stays as an object that shows nothing, and
 * open questions are answered from the device's own tables.
 *
 * Memory is bounded: ready() is false while enough is queued, and of scan-outs and cursors only the
 * last state is kept.
 *
 * Used by vhost_backend.c, which gives it to the device by gpu_device_set_display() and takes it
 * away again before display_destroy().
 */
#ifndef ALIQUOT_RENDERER_DISPLAY_H
#define ALIQUOT_RENDERER_DISPLAY_H

#include "mediator/renderer/gpu_device.h"

#include <stdint.h>
#include <systemd/sd-event.h>

/* Pixels are taken as long as less than this is queued. */
#define DISPLAY_QUEUE_BYTES (8u << 20)

/* How long a question of the guest may stay open. QEMU answers nothing until it has told all rings
 * on the main socket, but questions come from the rings, so this is long. */
#define DISPLAY_ANSWER_TIMEOUT_US (5u * 1000 * 1000)
extern unsigned display_answer_timeout_us; /* the same, for tests to shorten */

/*
 * Takes up a connected stream socket, and begins with the protocol features. fd is consumed on
 * success only; all I/O on it is non-blocking. event and dev are borrowed for the display's life.
 * Answers go to dev, none before this returns. Returns 0 or a negative errno.
 */
int display_create(sd_event *event, int fd, struct gpu_device *dev, struct gpu_display **ret);
void display_destroy(struct gpu_display *display);

#endif
