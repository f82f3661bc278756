/* SPDX-License-Identifier: MIT */
/*
 * How long the frames of a sample took, and what follows from that.
 */
#ifndef ALIQUOT_SAMPLES_FRAME_TIMES_H
#define ALIQUOT_SAMPLES_FRAME_TIMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct frame_times {
    uint64_t *ns; /* owned; an entry a frame */
    size_t count, allocated;
};

/* Percentiles are by nearest rank. */
struct frame_figures {
    size_t frames;
    double min_ms, p50_ms, p99_ms, max_ms;
    double fps; /* of the time that went into frames */
};

/* CLOCK_MONOTONIC. */
uint64_t frame_now_ns(void);

/* 0 or -ENOMEM. */
int frame_times_add(struct frame_times *times, uint64_t ns);
/* Sorts the times. All is 0 where there is no frame. */
struct frame_figures frame_times_figures(struct frame_times *times);
void frame_times_finish(struct frame_times *times);

/* One line for people. what: what they are called, in the plural. */
void frame_figures_print(const struct frame_figures *figures, const char *what);
/* {"min": …, "p50": …, "p99": …, "max": …}, in ms. */
void frame_figures_print_json(const struct frame_figures *figures, FILE *f);

#endif
