/* SPDX-License-Identifier: MIT */
/*
 * Frames that cost the GPU a chosen time and nobody else much: what gl-load and vk-load draw. A
 * unit of work is one round of a shader's loop on each pixel of the picture, so that twice the work
 * takes twice the time; a draw can't be divided, and how many draws share a frame's work is the
 * caller's choice.
 */
#ifndef ALIQUOT_SAMPLES_LOAD_CALIBRATE_H
#define ALIQUOT_SAMPLES_LOAD_CALIBRATE_H

#include <stdint.h>

#define LOAD_WORK_MAX 1000000
#define LOAD_DRAWS_MAX 10000
#define LOAD_SIDE 256 /* of the picture */

struct load_frame {
    uint32_t work;  /* units */
    uint32_t draws; /* 1 = the frame is one piece */
};

/* Draws a frame, and returns when it is complete. 0, or a negative errno after a message. */
typedef int load_draw_fn(const struct load_frame *frame);

/* The units of draw i of a frame. */
uint32_t load_frame_part(const struct load_frame *frame, uint32_t i);

/*
 * Chooses frame->work for a frame that takes frame_ns from its first draw to its completion; wrong
 * where others use the GPU at the same time. Returns 0, or what draw() returned.
 */
int load_calibrate(struct load_frame *frame, load_draw_fn *draw, int64_t frame_ns);

#endif
