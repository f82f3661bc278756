/* SPDX-License-Identifier: MIT */
#include "mediator/cli/knobs.h"

#include "mediator/sched/knobs.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool knobs_take(struct knobs *k, const char *name, const char *value)
{
    struct sched_knobs checked = SCHED_KNOBS_DEFAULT;
    int r = sched_knobs_set(&checked, name, value);

    if (r < 0) {
        fprintf(stderr, "aliquot: --%s: '%s' is %s; allowed: %s\n", name, value,
                r == -ERANGE ? "out of range" : "no value", sched_knobs_allowed(name));
        return false;
    }
    if (!strcmp(name, "weight"))
        k->weight = checked.weight;
    else if (!strcmp(name, "reservation"))
        k->reservation = value;
    else if (!strcmp(name, "cap"))
        k->cap = value;
    else
        k->slice = value;
    return true;
}

bool knobs_given(const struct knobs *k)
{
    return k->weight || k->reservation || k->cap || k->slice;
}
