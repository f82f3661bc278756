/* SPDX-License-Identifier: MIT */
/*
 * How Venus sleeps. Mesa's Venus waits for the GPU by looking: at first with a sched_yield() after
 * each look, then with naps, of 160 µs and from time to time twice as long. Those of its naps that
 * come through here end when something of the vGPU has ended on the GPU.
 *
 * Venus counts its looks, and takes a renderer for dead that has not shown itself in 1024 of them,
 * which it believes to last 3.5 s; the renderer does each 3 s. So only the shortest naps, which
 * hardly count, end early as often as there is news. What is taken off the others has a budget.
 */
#ifndef ALIQUOT_SHIM_NAP_H
#define ALIQUOT_SHIM_NAP_H

#include <stdint.h>

/* Of one thread; zero at its start. */
struct nap_thread {
    uint32_t yields;  /* since the last nap */
    int64_t spent_ns; /* of the budget */
    int64_t since_ns; /* when that was noted; CLOCK_MONOTONIC */
};

enum nap_way {
    NAP_AS_ASKED,   /* sleep it out */
    NAP_SHORT,      /* for NAP_SHORT_NS */
    NAP_UNTIL_NEWS, /* at most as long as asked */
};

/* What is over after so long is over sooner than a sleeping thread could be told. */
#define NAP_SHORT_NS 10000

/* How the thread should take a nap that begins at now_ns. */
enum nap_way nap_choose(struct nap_thread *t, int64_t asked_ns, int64_t now_ns);
/* One NAP_UNTIL_NEWS is over. */
void nap_ended(struct nap_thread *t, int64_t asked_ns, int64_t slept_ns);

#endif
