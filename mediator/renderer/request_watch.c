/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/request_watch.h"

#include <sched.h>
#include <stdint.h>
#include <time.h>

/* Two wake-ups across processors, and what a frame's commands take to be written. */
#define REQUEST_WATCH_NS 200000
/* Misses in a row after which it does not pay, and how seldom it is tried then: a client of 60
 * frames a second costs a watch each second. */
#define MISSES_MAX 4
#define RETRY_EVERY 64

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

bool request_watch(struct request_watch *w, bool (*more)(void *opaque), void *opaque)
{
    int64_t end_ns;

    if (w->misses >= MISSES_MAX && w->misses % RETRY_EVERY != 0) {
        w->misses++;
        return false;
    }
    end_ns = now_ns() + REQUEST_WATCH_NS;
    do {
        if (more(opaque)) {
            w->misses = 0;
            return true;
        }
        sched_yield();
    } while (now_ns() < end_ns);
    w->misses++;
    return false;
}
