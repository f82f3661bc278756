/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_MONOTONIC, as the lease has it.
 */
#ifndef ALIQUOT_LAYER_CLOCK_H
#define ALIQUOT_LAYER_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline void clock_sleep_us(unsigned us)
{
    const struct timespec ts = {.tv_nsec = us * 1000l};

    nanosleep(&ts, NULL);
}

#endif
