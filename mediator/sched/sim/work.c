/* SPDX-License-Identifier: MIT */
#include "mediator/sched/sim/work.h"

#include "mediator/base/util.h"
#include "mediator/sched/knobs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char sim_work_allowed[] =
    "hog TIME, periodic TIME every TIME, random TIME every TIME, late-yielder TIME by TIME, "
    "never-completes TIME after TIME";

static const struct {
    const char *name, *joint;
} forms[] = {
    [SIM_HOG] = {"hog", NULL},
    [SIM_PERIODIC] = {"periodic", "every"},
    [SIM_RANDOM] = {"random", "every"},
    [SIM_LATE_YIELDER] = {"late-yielder", "by"},
    [SIM_NEVER_COMPLETES] = {"never-completes", "after"},
};

int sim_work_parse(const char *text, struct sim_work *ret)
{
    char name[32], job[32], joint[8] = "", other[32] = "", rest;
    int n = sscanf(text, "%31s %31s %7s %31s %c", name, job, joint, other, &rest);

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct sim_work work = {.kind = (enum sim_work_kind)i};
        if (n != (forms[i].joint ? 4 : 2) || strcmp(name, forms[i].name) != 0)
            continue;
        if (sched_text_duration(job, &work.job_ns) < 0 || work.job_ns == 0)
            return -EINVAL;
        if (forms[i].joint &&
            (strcmp(joint, forms[i].joint) != 0 || sched_text_duration(other, &work.other_ns) < 0 ||
             (work.other_ns == 0 && work.kind != SIM_NEVER_COMPLETES)))
            return -EINVAL;
        *ret = work;
        return 0;
    }
    return -EINVAL;
}

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_random_exponential(uint64_t *state, uint64_t mean_ns)
{
    double uniform = (double)((sim_random(state) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    double ns = -log(uniform) * (double)mean_ns;

    return ns < 1 ? 1 : (uint64_t)ns;
}
