/* SPDX-License-Identifier: MIT */
#include "mediator/sched/sched.h"

#include <errno.h>

static bool less_committed(const struct sched *a, const struct sched *b)
{
    if (a->reserved_ppm != b->reserved_ppm)
        return a->reserved_ppm < b->reserved_ppm;
    return a->weights < b->weights;
}

int sched_place(const struct sched *const *gpus, size_t n, int wanted,
                const struct sched_knobs *knobs)
{
    int best = -ENODEV;

    if (wanted >= 0) {
        int r = (size_t)wanted < n ? sched_admit(gpus[wanted], knobs) : -ENODEV;
        return r < 0 ? r : wanted;
    }
    for (size_t i = 0; i < n; i++) {
        int r = sched_admit(gpus[i], knobs);
        if (r < 0 && best < 0)
            best = r;
        else if (r == 0 && (best < 0 || less_committed(gpus[i], gpus[best])))
            best = (int)i;
    }
    return best;
}
