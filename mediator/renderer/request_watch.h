/* SPDX-License-Identifier: MIT */
/*
 * Looking for the next request before going to sleep. A program that waits for its frame sends more
 * within a hundred microseconds, and being woken up for that costs a good part of as long. Used by
 * both transports (vhost_queue.c, vtest_session.c) when they have nothing more to do.
 */
#ifndef ALIQUOT_RENDERER_REQUEST_WATCH_H
#define ALIQUOT_RENDERER_REQUEST_WATCH_H

#include <stdbool.h>

/* Zeroed = nothing known yet. */
struct request_watch {
    unsigned misses; /* in a row, and the times that were not tried since */
};

/* Looks whether more(opaque), for a bounded time (REQUEST_WATCH_NS), and gives the processor to
 * whoever wants it meanwhile. After some misses in a row it returns at once, but for a try now and
 * then. */
bool request_watch(struct request_watch *w, bool (*more)(void *opaque), void *opaque);

#endif
