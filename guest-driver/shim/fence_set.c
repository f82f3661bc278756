/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/fence_set.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Some wake-ups long: one takes 5 to 70 µs, by the machine. */
#define WATCH_NS 300000
/* After so many waits in a row that were longer, only each so many-th is tried. */
#define WATCH_MISSES 4
#define WATCH_RETRY 16

int64_t fence_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

void fence_set_add(struct fence_set *set, struct aliquot_fence *fence, uint64_t timeline)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->points[i].timeline == timeline) {
            struct aliquot_fence *old = set->points[i].fence;
            set->points[i].fence = aliquot_fence_ref(fence);
            aliquot_fence_unref(old);
            return;
        }
    }
    if (set->count == set->capacity) {
        unsigned capacity = set->capacity ? set->capacity * 2 : 1;
        struct fence_point *points = reallocarray(set->points, capacity, sizeof(*points));
        if (!points) {
            aliquot_fence_wait(fence, ALIQUOT_TIMEOUT_DEFAULT_NS);
            return;
        }
        set->points = points;
        set->capacity = capacity;
    }
    set->points[set->count++] = (struct fence_point){aliquot_fence_ref(fence), timeline};
}

void fence_set_add_all(struct fence_set *set, const struct fence_set *more)
{
    for (unsigned i = 0; i < more->count; i++)
        fence_set_add(set, more->points[i].fence, more->points[i].timeline);
}

void fence_set_clear(struct fence_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        aliquot_fence_unref(set->points[i].fence);
    free(set->points);
    *set = (struct fence_set){0};
}

static void take_out(struct fence_set *set, unsigned i)
{
    aliquot_fence_unref(set->points[i].fence);
    set->points[i] = set->points[--set->count];
}

bool fence_set_done(struct fence_set *set)
{
    while (set->count > 0) {
        if (aliquot_fence_wait(set->points[0].fence, 0) == -ETIMEDOUT)
            return false;
        take_out(set, 0);
    }
    return true;
}

/*
 * Most waits of a frame are for a few hundred microseconds, and being woken up costs a good part of
 * that: so we look for a while before we sleep, giving the processor to whoever wants it. Not if
 * the last waits were too long for it, apart from a try now and then.
 */
static bool watch(struct aliquot_fence *fence, int64_t deadline_ns)
{
    static atomic_uint misses;
    unsigned seen = atomic_load_explicit(&misses, memory_order_relaxed);

    if (seen >= WATCH_MISSES && seen % WATCH_RETRY != 0) {
        atomic_store_explicit(&misses, seen + 1, memory_order_relaxed);
        return false;
    }
    int64_t end_ns = fence_clock_ns() + WATCH_NS;
    if (end_ns > deadline_ns)
        end_ns = deadline_ns;
    do {
        if (aliquot_fence_wait(fence, 0) != -ETIMEDOUT) {
            atomic_store_explicit(&misses, 0, memory_order_relaxed);
            return true;
        }
        sched_yield();
    } while (fence_clock_ns() < end_ns);
    atomic_store_explicit(&misses, seen + 1, memory_order_relaxed);
    return false;
}

bool fence_set_wait(struct fence_set *set, int64_t deadline_ns)
{
    while (set->count > 0) {
        int64_t left_ns = INT64_MAX;
        if (watch(set->points[0].fence, deadline_ns)) {
            take_out(set, 0);
            continue;
        }
        if (deadline_ns != INT64_MAX) {
            left_ns = deadline_ns - fence_clock_ns();
            if (left_ns < 0)
                left_ns = 0;
        }
        if (aliquot_fence_wait(set->points[0].fence, left_ns) == -ETIMEDOUT)
            return false;
        take_out(set, 0);
    }
    return true;
}
