/* SPDX-License-Identifier: MIT */
/*
 * How long a vGPU mostly has no work after it has been idle, and for how long the GPU is kept for
 * it then, while others wait: one that waits for each frame before it draws the next would else
 * lose its turn to those that do not, whatever its weight (S. Iyer, P. Druschel, "Anticipatory
 * scheduling", SOSP 2001). Pure functions; times are CLOCK_MONOTONIC. Used by the arbiters.
 */
#ifndef ALIQUOT_DAEMON_THINK_TIME_H
#define ALIQUOT_DAEMON_THINK_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* The GPU is kept for twice the usual time, at most so long: who mostly needs longer than that
 * comes back as a new one. */
#define THINK_TIME_KEPT_MAX_NS UINT64_C(4000000)

struct think_time {
    uint64_t idle_from_ns;  /* has had no work since, inside its slice or after it; 0 = has */
    uint64_t usual_ns;      /* from the end of its work to more of it, smoothed */
    unsigned quick_percent; /* how often that is very short, smoothed */
    uint64_t kept_ns;       /* what the GPU was kept for it the last time that it went to others */
    bool stretched;         /* others' work makes its pauses longer: usual_ns may be too much */
    uint64_t try_ns;        /* whether it is too much is tried from then on */
    uint64_t ended_ns;      /* its last pause */
};

void think_time_init(struct think_time *t);
/* The GPU goes to others, whether it is idle or not. */
void think_time_let_go(struct think_time *t, uint64_t now_ns);
/* It has had work since then, if it had none. */
void think_time_end(struct think_time *t, uint64_t since_ns);
/* It has work now, if it had none, and may have been kept from it by others' work, for which the
 * GPU was taken from it. */
void think_time_end_stretched(struct think_time *t, uint64_t now_ns);
/* Until when the GPU is kept for it; it is idle. */
uint64_t think_time_kept_until_ns(const struct think_time *t);

#endif
