/* SPDX-License-Identifier: MIT */
/* Measured times, all of them kept, for exact percentiles. Used by sim.c and report.c. */
#ifndef ALIQUOT_SIM_SAMPLES_H
#define ALIQUOT_SIM_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* {0} has none. */
struct sim_samples {
    uint64_t *ns; /* owned */
    size_t n, room;
};

void sim_samples_finish(struct sim_samples *s);
/* 0 or -ENOMEM. */
int sim_samples_add(struct sim_samples *s, uint64_t ns);
/* percent: 0 to 100; 0 if there are no samples. Sorts them. */
uint64_t sim_samples_percentile(struct sim_samples *s, unsigned percent);

#endif
