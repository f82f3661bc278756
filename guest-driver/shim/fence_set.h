/* SPDX-License-Identifier: MIT */
/*
 * What has to be done before something is: at most one fence of each timeline, since the fences of
 * a timeline complete in order. The fences of a buffer, of a sync_file and of a syncobj's point are
 * such sets. Nothing here locks; waiting is done on a copy.
 */
#ifndef ALIQUOT_SHIM_FENCE_SET_H
#define ALIQUOT_SHIM_FENCE_SET_H

#include "guest-driver/include/aliquot-guest.h"

#include <stdbool.h>
#include <stdint.h>

/* The timeline of all that names no ring of its context. */
#define TIMELINE_COMMON 0ull

struct fence_point {
    struct aliquot_fence *fence; /* owned reference */
    uint64_t timeline;
};

/* {0} is the empty set, which is done. */
struct fence_set {
    struct fence_point *points; /* owned */
    unsigned count, capacity;
};

/* Adds a fence, which is the latest of its timeline, with a reference of its own. Out of memory
 * means waiting for it instead. */
void fence_set_add(struct fence_set *set, struct aliquot_fence *fence, uint64_t timeline);
void fence_set_add_all(struct fence_set *set, const struct fence_set *more);
void fence_set_clear(struct fence_set *set);

/* Looks at the shared ring, without a system call; what is done is taken out of the set. */
bool fence_set_done(struct fence_set *set);

/* Waits until deadline_ns on CLOCK_MONOTONIC, INT64_MAX = for ever: true when done. A fence that
 * the device has failed, or that was lost with it, is done. */
bool fence_set_wait(struct fence_set *set, int64_t deadline_ns);

int64_t fence_clock_ns(void);

#endif
