/* SPDX-License-Identifier: MIT */
/*
 * Frames that cost the GPU a chosen time and nobody else much: what gl-load draws. A unit of work
 * is one round of a shader's loop on each pixel of the picture, so that twice the work takes twice
 * the time; a draw can't be divided, and how many draws share a frame's work is the caller's
 * choice. For the current OpenGL ES 3 context; what is made lives as long as that.
 */
#ifndef ALIQUOT_SAMPLES_LOAD_WORK_H
#define ALIQUOT_SAMPLES_LOAD_WORK_H

#include <stdint.h>

#define LOAD_WORK_MAX 1000000
#define LOAD_DRAWS_MAX 10000

struct load_frame {
    uint32_t work;  /* units */
    uint32_t draws; /* 1 = the frame is one piece */
};

/* 0, or -1 after a message on stderr. */
int load_work_set_up(void);

/* Draws a frame, and returns when it is complete. */
void load_work_draw(const struct load_frame *frame);

/*
 * Chooses frame->work for a frame that takes frame_ns from its first draw to its completion; wrong
 * where others use the GPU at the same time. Returns what such a frame takes in ns.
 */
int64_t load_work_calibrate(struct load_frame *frame, int64_t frame_ns);

#endif
