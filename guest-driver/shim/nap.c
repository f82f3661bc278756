/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/nap.h"

#include <stdbool.h>

/* So often Venus yields before the first nap of a wait for the GPU: then it has just begun. Where
 * it asks its ring each time, it yields for the answers between its naps, some other number of
 * times. */
#define FIRST_YIELDS 15
/* The first naps of each wait: 16, or 256 where it waits for its ring, which is 41 ms at most. */
#define FIRST_NS 160000
/* Of longer ones, what may be taken off at once; and what share of all time comes back. Together
 * 1024 looks still take 3.1 s. */
#define BUDGET_NS 150000000
#define BUDGET_SHARE 16

static void refill(struct nap_thread *t, int64_t now_ns)
{
    int64_t back_ns = (now_ns - t->since_ns) / BUDGET_SHARE;

    t->spent_ns = back_ns < t->spent_ns ? t->spent_ns - back_ns : 0;
    t->since_ns = now_ns;
}

enum nap_way nap_choose(struct nap_thread *t, int64_t asked_ns, int64_t now_ns)
{
    bool begins = t->yields == FIRST_YIELDS;

    t->yields = 0;
    if (asked_ns <= FIRST_NS)
        return begins && asked_ns > NAP_SHORT_NS ? NAP_SHORT : NAP_UNTIL_NEWS;
    refill(t, now_ns);
    return t->spent_ns + asked_ns <= BUDGET_NS ? NAP_UNTIL_NEWS : NAP_AS_ASKED;
}

void nap_ended(struct nap_thread *t, int64_t asked_ns, int64_t slept_ns)
{
    if (asked_ns > FIRST_NS && slept_ns < asked_ns)
        t->spent_ns += asked_ns - slept_ns;
}
