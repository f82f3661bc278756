/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/think_time.h"

#include "mediator/base/util.h"

#define KEPT_MIN_NS UINT64_C(300000)
#define QUICK_PERCENT 10
#define FIRST_NS 500000
/* Longer is all the same, and would be long remembered. */
#define LONG_NS (2 * THINK_TIME_KEPT_MAX_NS)
/* Whether it needs less than it seems is tried if that takes no more than such a part of the time
 * since its last pause; and what it takes in vain is no more than such a part of all. */
#define TRY_WORK_PART 8
#define TRY_VAIN_PART 100

/* Whether the GPU is not kept for it as long as it mostly needs. */
static bool is_too_long(const struct think_time *t)
{
    return 2 * t->usual_ns > THINK_TIME_KEPT_MAX_NS;
}

void think_time_init(struct think_time *t)
{
    *t = (struct think_time){.usual_ns = FIRST_NS};
}

void think_time_end(struct think_time *t, uint64_t since_ns)
{
    if (t->idle_from_ns == 0)
        return;
    uint64_t took_ns = since_ns > t->idle_from_ns ? since_ns - t->idle_from_ns : 0;
    t->usual_ns = (3 * t->usual_ns + MIN(took_ns, LONG_NS)) / 4;
    t->quick_percent = (3 * t->quick_percent + (took_ns < KEPT_MIN_NS ? 100 : 0)) / 4;
    t->stretched &= took_ns <= LONG_NS; /* that long one needs it by itself */
    t->ended_ns = since_ns;
    t->idle_from_ns = 0;
}

void think_time_let_go(struct think_time *t, uint64_t now_ns)
{
    t->kept_ns = t->idle_from_ns == 0 ? 0 : now_ns - t->idle_from_ns;
    if (is_too_long(t)) {
        uint64_t rest_ns = TRY_VAIN_PART * MIN(t->kept_ns, THINK_TIME_KEPT_MAX_NS);
        t->try_ns = MAX(t->try_ns, now_ns + rest_ns);
    }
}

void think_time_end_stretched(struct think_time *t, uint64_t now_ns)
{
    if (t->idle_from_ns == 0)
        return;
    uint64_t took_ns = now_ns - t->idle_from_ns;
    /* It needed no more than that, and perhaps much less. Who learned it as it is would never keep
     * the GPU again, and never know better. */
    if (2 * took_ns > THINK_TIME_KEPT_MAX_NS && took_ns <= LONG_NS && t->kept_ns <= t->usual_ns) {
        t->stretched = true;
        t->ended_ns = now_ns;
        t->idle_from_ns = 0;
    }
    think_time_end(t, now_ns);
}

/* Whether the GPU is kept as long as can be, to see whether it needs less than it seems. */
static bool is_tried(const struct think_time *t)
{
    return t->stretched && t->idle_from_ns >= t->try_ns &&
           t->idle_from_ns >= t->ended_ns + TRY_WORK_PART * THINK_TIME_KEPT_MAX_NS;
}

uint64_t think_time_kept_until_ns(const struct think_time *t)
{
    uint64_t kept_ns = MAX(2 * t->usual_ns, KEPT_MIN_NS);

    if (is_too_long(t) && is_tried(t))
        kept_ns = THINK_TIME_KEPT_MAX_NS;
    else if (is_too_long(t)) /* some frames have more than one part */
        kept_ns = t->quick_percent >= QUICK_PERCENT ? KEPT_MIN_NS : 0;
    return t->idle_from_ns + kept_ns;
}
