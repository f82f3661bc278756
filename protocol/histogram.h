/* SPDX-License-Identifier: MIT */
/*
 * Histograms of times as all of Aliquot has them: bucket i counts what took less than 2^i µs, and
 * not less than 2^(i-1), the last one all above. Used by who counts; libc only.
 */
#ifndef ALIQUOT_PROTOCOL_HISTOGRAM_H
#define ALIQUOT_PROTOCOL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 28u

static inline unsigned histogram_bucket(uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bucket = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);

    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* Nothing in the bucket is shorter. */
static inline uint64_t histogram_floor_ns(unsigned bucket)
{
    return bucket == 0 ? 0 : (UINT64_C(1) << (bucket - 1)) * 1000;
}

#endif
