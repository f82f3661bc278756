/* SPDX-License-Identifier: MIT */
/*
 * How much vGPUs with a cap have of the processors, where these are the GPU. What a renderer
 * reports of its work is its own word; what its processes use is the kernel's. Whose processes use
 * more than is charged, beyond an allowance (cpu_allowance.h), stand still until it is its cap's
 * worth. It costs one system call a process and look, and nothing where no vGPU has a cap.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#include <syslog.h>

#define LOOK_NS UINT64_C(20000000)
/* At one that uses next to nothing. */
#define LOOK_IDLE_NS UINT64_C(100000000)
#define IDLE_PART 100

static struct cpu_allowance *allowance(struct arbiter_vgpu *v)
{
    struct arbiter_group *group = (struct arbiter_group *)v->entity.group;

    return group ? &group->had : &v->processors.had;
}

static bool is_limited(const struct arbiter_vgpu *v)
{
    const struct arbiter *a = v->arbiter;

    return a->config.processors > 0 && a->sched.policy != SCHED_POLICY_EXCLUSIVE && v->attached &&
           v->pid > 0 && !v->killed && v->entity.knobs.cap_ppm < SCHED_PPM;
}

/* Of each processor, on an average, in passed_ns. */
static uint64_t take_used_ns(struct arbiter_vgpu *v, uint64_t passed_ns)
{
    uint64_t used_ns = cpu_process_take_ns(&v->process);

    for (uint32_t i = 0; i < v->lease.slots; i++)
        used_ns += cpu_process_take_ns(&v->workers[i]);
    /* No more than there was: numbers of processes that are gone may be others' by now. */
    return MIN(used_ns / v->arbiter->config.processors, passed_ns);
}

static void look(struct arbiter_vgpu *v, uint64_t now_ns)
{
    bool first = v->processors.looked_ns == 0;
    uint64_t passed_ns = first ? 0 : now_ns - v->processors.looked_ns;
    uint64_t used_ns = take_used_ns(v, passed_ns);

    /* Beside others it has, demoted, what they leave, and nobody charges that. */
    if (!first && !v->processors.unaccounted)
        cpu_allowance_use(allowance(v), used_ns, v->entity.gpu_ns - v->processors.charged_ns,
                          v->entity.knobs.cap_ppm, now_ns);
    v->processors.unaccounted = false;
    v->processors.charged_ns = v->entity.gpu_ns;
    v->processors.looked_ns = now_ns;
    v->processors.look_ns = now_ns + (used_ns > passed_ns / IDLE_PART ? LOOK_NS : LOOK_IDLE_NS);
}

static void tell(struct arbiter_vgpu *v)
{
    if (v->processors.told)
        return;
    v->processors.told = true;
    arbiter_say(v->arbiter, LOG_WARNING,
                "vGPU '%s': renderer %d uses the processors beyond its cap, and not for GPU work "
                "that it reports: it is stopped now and then",
                v->name, v->pid);
}

uint64_t arbiter_look_at_processors(struct arbiter *a, uint64_t now_ns)
{
    uint64_t next_ns = SCHED_NEVER;

    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        bool was_over = v->processors.over;

        v->processors.over = false;
        if (!is_limited(v)) {
            v->processors.looked_ns = 0;
            continue;
        }
        if (v->processors.looked_ns == 0 || now_ns >= v->processors.look_ns)
            look(v, now_ns);
        uint64_t over_until_ns = cpu_allowance_next_ns(allowance(v));
        v->processors.over = over_until_ns > now_ns;
        next_ns = MIN(next_ns, v->processors.over ? over_until_ns : v->processors.look_ns);
        if (v->processors.over && !was_over) {
            v->processors.stops++;
            tell(v);
        }
    }
    return next_ns;
}

/* One with work on the GPU is charged for the time, and others may wait for it to end. */
bool arbiter_is_over(const struct arbiter_vgpu *v)
{
    return v->processors.over && (v->place == PLACE_OUT || v->ack.in_flight == 0);
}
