/* SPDX-License-Identifier: MIT */
/*
 * What an operator may set for a vGPU's time on the GPU, its bounds, and its spelling in
 * configuration files. Pure functions. Used by the scheduler, the daemon's configuration and
 * aliquot-sim.
 */
#ifndef ALIQUOT_SCHED_KNOBS_H
#define ALIQUOT_SCHED_KNOBS_H

#include <stdint.h>

/* Shares are in parts per million of one GPU, so that 12.5 % is 125000, exactly. */
#define SCHED_PPM 1000000u
#define SCHED_PERCENT 10000u

#define SCHED_WEIGHT_MIN 1u
#define SCHED_WEIGHT_MAX 10000u
#define SCHED_CAP_MIN_PPM (1 * SCHED_PERCENT)
/* Also the most that all vGPUs of a GPU may reserve together: the rest keeps those without a
 * reservation from starving. */
#define SCHED_RESERVATION_MAX_PPM (95 * SCHED_PERCENT)
#define SCHED_SLICE_MIN_NS UINT64_C(500000)
#define SCHED_SLICE_MAX_NS UINT64_C(30000000)

struct sched_knobs {
    uint32_t weight;          /* relative share of what reservations leave */
    uint32_t reservation_ppm; /* the least it gets whenever it has work; 0 = none */
    uint32_t cap_ppm;         /* the most it gets, even of an idle GPU; SCHED_PPM = no cap */
    uint64_t slice_ns;        /* length of a turn; shorter means an earlier deadline */
};

#define SCHED_KNOBS_DEFAULT                                                                        \
    ((struct sched_knobs){.weight = 100, .cap_ppm = SCHED_PPM, .slice_ns = 4000000})

/* 0, -ERANGE for a value out of its bounds, -EINVAL for a cap below the reservation. */
int sched_knobs_check(const struct sched_knobs *knobs);

/* Sets the knob that a configuration key names ("weight", "reservation", "cap", "slice") from its
 * text. 0, -ENOENT for another key, -EINVAL for what is no such value, -ERANGE for one out of
 * bounds; the cap is compared with the reservation by sched_knobs_check only, when both are known.
 * On failure knobs is untouched. */
int sched_knobs_set(struct sched_knobs *knobs, const char *key, const char *value);
/* What the key allows, for an error message; NULL for another key. Static. */
const char *sched_knobs_allowed(const char *key);

/* "12.5%", "12.5 %" or "12.5": percent with up to four decimals. 0, -EINVAL, -ERANGE (over 100). */
int sched_text_ppm(const char *text, uint32_t *ret_ppm);
/* "4ms", "16.7 ms", "500us", "250ns", "2s", down to a nanosecond. 0, -EINVAL, -ERANGE (over 10^9
 * s). */
int sched_text_duration(const char *text, uint64_t *ret_ns);

#endif
