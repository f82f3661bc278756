/* SPDX-License-Identifier: MIT */
/*
 * What a vGPU of the simulator does: which jobs it makes, and whether it keeps to its slices. Used
 * by sim.c, table.c and tests.
 */
#ifndef ALIQUOT_SIM_WORK_H
#define ALIQUOT_SIM_WORK_H

#include <stdint.h>

enum sim_work_kind {
    SIM_HOG,             /* always has another job */
    SIM_PERIODIC,        /* a job every so often; skips a beat if the last one is not done */
    SIM_RANDOM,          /* exponential lengths and distances, given by their means */
    SIM_LATE_YIELDER,    /* a hog that submits on after the end of its slice */
    SIM_NEVER_COMPLETES, /* a hog until its last job, which does not end */
};

struct sim_work {
    enum sim_work_kind kind;
    uint64_t job_ns;
    uint64_t other_ns; /* periodic, random: the distance; late-yielder: how late; never-completes:
                          after which time from its arrival */
};

/* "hog 2ms", "periodic 1.3ms every 16.7ms", "random 1ms every 10ms", "late-yielder 2ms by 10ms",
 * "never-completes 1ms after 500ms". 0 or -EINVAL. */
int sim_work_parse(const char *text, struct sim_work *ret);
/* The forms above, for an error message. */
extern const char sim_work_allowed[];

/* A sequence of numbers that a seed determines (splitmix64). */
uint64_t sim_random(uint64_t *state);
/* Exponentially distributed with that mean, 1 ns or more. */
uint64_t sim_random_exponential(uint64_t *state, uint64_t mean_ns);

#endif
