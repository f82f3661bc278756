/* SPDX-License-Identifier: MIT */
/*
 * Whether those who wait for the host by looking, for moments at a time, wait in vain. Mesa's Venus
 * looks into memory of its own and asks nobody in so short a wait: if the process that works for it
 * is gone, or its vGPU is, the program would wait for ever.
 */
#ifndef ALIQUOT_SHIM_HOST_WATCH_H
#define ALIQUOT_SHIM_HOST_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Of one vGPU; zero at its start. Times are CLOCK_MONOTONIC. */
struct host_watch {
    unsigned contexts; /* of Venus that the program has */
    uint32_t lost;     /* contexts that had been lost when the first of those was made */
    uint32_t count;    /* of ends on the GPU, the last that was seen */
    int64_t since_ns;  /* the program has waited since then, and nothing has ended */
    int64_t looked_ns; /* it was seen to wait */
};

/* Venus has made a context, or given one up; lost: how many have been lost so far. */
void host_watch_begin(struct host_watch *w, uint32_t lost);
void host_watch_end(struct host_watch *w);

/* A thread waits. True, then not again for as long: it has done so for 5 s without an end of
 * anything, and had better ask. */
bool host_watch_look(struct host_watch *w, uint32_t count, int64_t now_ns);
/* One of the program's contexts is among the lost. */
bool host_watch_has_lost(const struct host_watch *w, uint32_t lost);

#endif
