/* SPDX-License-Identifier: MIT */
/*
 * The processes of a vGPU, its renderer and the workers that draw for Vulkan, and what of the
 * processors they may have. That matters on a software GPU alone.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

void arbiter_set_class(struct arbiter_vgpu *v, enum cpu_class class)
{
    if (class == v->class)
        return;
    v->class = class;
    /* One that ends just now needs none. */
    (void)cpu_group_set_idle(&v->cpu_group, class != CPU_CLASS_NORMAL);
    (void)cpu_process_set(&v->process, class);
    for (uint32_t i = 0; i < v->lease.slots; i++)
        (void)cpu_process_set(&v->workers[i], class);
}

/*
 * Those that were preempted on a software GPU use what processor time is left, so that none is
 * wasted. But what they get with that is not nothing (see cpu_class.h), and doubles the time of a
 * small frame: while somebody is inside who is soon done, they stand still.
 */
void arbiter_set_classes(struct arbiter *a)
{
    enum cpu_class preempted = CPU_CLASS_IDLE;

    if (a->config.preempt != ARBITER_PREEMPT_CPU && a->config.processors == 0)
        return;
    for (const struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (v->place == PLACE_IN && sched_is_short(&v->entity))
            preempted = CPU_CLASS_STOPPED;
    }
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        enum cpu_class class = v->place == PLACE_PREEMPTED ? preempted : CPU_CLASS_NORMAL;
        arbiter_set_class(v, arbiter_is_over(v) ? CPU_CLASS_STOPPED : class);
    }
}

static void forget_worker(struct cpu_process *worker)
{
    if (!worker->threads)
        return;
    close(worker->pidfd);
    cpu_process_finish(worker);
}

void arbiter_worker_begins(struct arbiter_vgpu *v, uint32_t slot, pid_t pid)
{
    int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;

    forget_worker(&v->workers[slot]); /* a renderer that lies may say it twice */
    /* Not a stranger, whoever has the number now: the renderer's group is its own. Else it has
     * ended, or the renderer lies: it has no slot then. */
    if (pidfd < 0 || v->pid <= 0 || getpgid(pid) != v->pid ||
        cpu_process_init(&v->workers[slot], pidfd, pid) < 0) {
        if (pidfd >= 0)
            close(pidfd);
        return;
    }
    v->workers[slot].grouped = v->process.grouped;
    (void)cpu_process_set(&v->workers[slot], v->class);
}

void arbiter_forget_workers(struct arbiter_vgpu *v)
{
    for (size_t i = 0; i < ARRAY_SIZE(v->workers); i++)
        forget_worker(&v->workers[i]);
}

void arbiter_worker_ends(struct arbiter_vgpu *v, uint32_t slot)
{
    struct cpu_process *worker = &v->workers[slot];

    if (worker->threads && worker->pid != v->pid)
        pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
    forget_worker(worker);
    lease_slot_forget(&v->lease, slot);
}
