/* SPDX-License-Identifier: MIT */
#include "mediator/sched/sim/samples.h"

#include <errno.h>
#include <stdlib.h>

void sim_samples_finish(struct sim_samples *s)
{
    free(s->ns);
    *s = (struct sim_samples){0};
}

int sim_samples_add(struct sim_samples *s, uint64_t ns)
{
    if (s->n == s->room) {
        size_t room = s->room ? s->room * 2 : 16;
        uint64_t *grown = reallocarray(s->ns, room, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        s->ns = grown;
        s->room = room;
    }
    s->ns[s->n++] = ns;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

uint64_t sim_samples_percentile(struct sim_samples *s, unsigned percent)
{
    if (s->n == 0)
        return 0;
    qsort(s->ns, s->n, sizeof(*s->ns), compare);
    return s->ns[(s->n - 1) * percent / 100];
}
