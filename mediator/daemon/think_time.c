/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/think_time.h"

#include "mediator/base/util.h"

#define KEPT_MIN_NS UINT64_C(300000)
#define QUICK_PERCENT 10
#define FIRST_NS 500000

void think_time_init(struct think_time *t)
{
    *t = (struct think_time){.usual_ns = FIRST_NS};
}

void think_time_end(struct think_time *t, uint64_t since_ns)
{
    if (t->idle_from_ns == 0)
        return;
    uint64_t took_ns = since_ns > t->idle_from_ns ? since_ns - t->idle_from_ns : 0;
    /* Longer is all the same, and would be long remembered. */
    t->usual_ns = (3 * t->usual_ns + MIN(took_ns, 2 * THINK_TIME_KEPT_MAX_NS)) / 4;
    t->quick_percent = (3 * t->quick_percent + (took_ns < KEPT_MIN_NS ? 100 : 0)) / 4;
    t->idle_from_ns = 0;
}

uint64_t think_time_kept_until_ns(const struct think_time *t)
{
    uint64_t kept_ns = MAX(2 * t->usual_ns, KEPT_MIN_NS);

    if (kept_ns > THINK_TIME_KEPT_MAX_NS) /* some frames have more than one part */
        kept_ns = t->quick_percent >= QUICK_PERCENT ? KEPT_MIN_NS : 0;
    return t->idle_from_ns + kept_ns;
}
