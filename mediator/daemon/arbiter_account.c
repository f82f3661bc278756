/* SPDX-License-Identifier: MIT */
/*
 * What each vGPU had of the GPU, by the words of its renderer and the time that it held it.
 *
 * What is charged is the time that it held the GPU while others waited, since it kept them off,
 * whatever it did; and else the time that it used. What is shown as GPU time is what its renderer
 * reports, as far as it held the GPU.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <syslog.h>

/* The gaps between frames are not charged as far as they are short beside the frames, so that
 * shares are those of time that was used; what is longer than that part is, since it keeps others
 * off. */
#define IDLE_FREE_PART 8
#define IDLE_CREDIT_MAX_NS 2000000

/* ---- renderers that misbehave --------------------------------------------------------------- */

static void kill_renderer(struct arbiter_vgpu *v)
{
    if (v->killed)
        return;
    v->killed = true;
    if (v->pidfd >= 0) /* else arbiter_set_process() does it */
        pidfd_send_signal(v->pidfd, SIGKILL, NULL, 0);
}

/* What its participants have told, as if they were one. */
static void sum_up(struct arbiter_vgpu *v)
{
    struct lease_ack sum = {0};
    uint64_t begun_ns = 0;

    for (uint32_t i = 0; i < v->lease.slots; i++) {
        const struct lease_ack *ack = &v->acks[i];

        sum.in_flight += ack->in_flight;
        sum.submits += ack->submits;
        sum.completions += ack->completions;
        sum.busy_ns += ack->busy_ns;
        sum.cuts += ack->cuts;
        /* Of what is in flight the earliest, else the latest that there was. */
        if (ack->in_flight > 0 && (begun_ns == 0 || ack->started_ns < begun_ns))
            begun_ns = ack->started_ns;
        sum.started_ns = MAX(sum.started_ns, ack->started_ns);
    }
    if (begun_ns > 0)
        sum.started_ns = begun_ns;
    v->ack = sum;
}

static bool was_never_used(const struct arbiter_vgpu *v, uint32_t slot)
{
    return v->acks[slot].submits == 0 &&
           __atomic_load_n(&v->ack_page->slots[slot].owner, __ATOMIC_ACQUIRE) == 0;
}

bool arbiter_read_ack(struct arbiter_vgpu *v, uint64_t now_ns)
{
    enum lease_fault fault = LEASE_FAULT_NONE;

    if (!v->attached || v->killed)
        return false;
    for (uint32_t i = 0; i < v->lease.slots && fault == LEASE_FAULT_NONE; i++) {
        if (!was_never_used(v, i))
            fault = lease_ack_read(&v->lease, i, now_ns, &v->acks[i], &v->acks[i]);
    }
    if (fault == LEASE_FAULT_NONE) {
        sum_up(v);
        return true;
    }
    v->faults++;
    arbiter_say(v->arbiter, LOG_ERR, "vGPU '%s': the page of its renderer %d lies (%s), killing it",
                v->name, v->pid, lease_fault_text(fault));
    kill_renderer(v);
    return false;
}

uint64_t arbiter_last_completion_ns(const struct arbiter_vgpu *v)
{
    uint64_t last_ns = 0;

    for (uint32_t i = 0; i < v->lease.slots; i++)
        last_ns = MAX(last_ns, v->acks[i].last_completion_ns);
    return last_ns;
}

/* ---- what it had ---------------------------------------------------------------------------- */

/* What of the last held_ns the GPU worked for v. Renderers report what is complete; of what is in
 * flight they tell the beginning, and its part is taken off again when the report comes. */
static uint64_t used(struct arbiter_vgpu *v, uint64_t held_ns, uint64_t now_ns, bool good)
{
    uint64_t reported_ns = v->ack.busy_ns - v->accounted_busy_ns;
    uint64_t begun_ns = v->ack.started_ns, from_ns = now_ns - held_ns, now_ahead_ns = 0;

    if (good && v->ack.in_flight > 0)
        now_ahead_ns = now_ns - MIN(MAX(begun_ns, from_ns), now_ns);
    uint64_t known_ns = MIN(reported_ns, v->ahead_ns);
    reported_ns -= known_ns;
    v->ahead_ns = v->ack.in_flight > 0 ? v->ahead_ns - known_ns + now_ahead_ns : 0;
    v->accounted_busy_ns = v->ack.busy_ns;
    return MIN(reported_ns + now_ahead_ns, held_ns);
}

/* What of the time that v held the GPU for nothing is not charged. */
static uint64_t forgiven(struct arbiter_vgpu *v, uint64_t used_ns, uint64_t held_ns)
{
    uint64_t credit_ns = v->idle_credit_ns + used_ns / IDLE_FREE_PART;
    uint64_t free_ns = MIN(held_ns - used_ns, credit_ns);

    v->idle_credit_ns = MIN(credit_ns - free_ns, (uint64_t)IDLE_CREDIT_MAX_NS);
    return free_ns;
}

void arbiter_rebase(struct arbiter_vgpu *v, uint64_t now_ns)
{
    v->accounted_ns = now_ns;
    arbiter_read_ack(v, now_ns);
    v->accounted_busy_ns = v->ack.busy_ns;
    v->ahead_ns = 0;
    v->unaccounted = false;
}

/* Demoted, it goes on while nobody else has work: at its cap, or under a policy that gives nothing
 * away. It has had that, too. Beside others it has next to nothing, and nobody knows how much. */
static void account_demoted(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    if (a->n_in + a->n_leaving > 0) {
        v->unaccounted = v->processors.unaccounted = true;
        return;
    }
    if (v->unaccounted) {
        arbiter_rebase(v, now_ns);
        return;
    }
    uint64_t held_ns = now_ns - v->accounted_ns;
    bool good = arbiter_read_ack(v, now_ns);
    uint64_t used_ns = used(v, held_ns, now_ns, good);
    v->accounted_ns = now_ns;
    v->busy_ns += used_ns;
    a->busy_ns += used_ns;
    sched_charge(&v->entity, used_ns, now_ns);
}

/* When those who leave had completed all, by their own word; 0 = they have not. */
static uint64_t last_job_end_ns(struct arbiter *a, uint64_t now_ns)
{
    uint64_t end_ns = 0;

    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (v->place != PLACE_LEAVING)
            continue;
        if (!arbiter_read_ack(v, now_ns) || v->ack.in_flight > 0)
            return 0;
        end_ns = MAX(end_ns, arbiter_last_completion_ns(v));
    }
    return end_ns;
}

/* The GPU is still another one's, which is charged for it. It has had what it says, since who is
 * quick there would else have it for nothing; but what it completed after the other one's last job
 * has waited for that on the GPU, and the time of the job is not its own. */
static void account_early(struct arbiter_vgpu *v, uint64_t held_ns, uint64_t now_ns)
{
    uint64_t had_ns = MIN(v->ack.busy_ns - v->accounted_busy_ns, held_ns);
    uint64_t last_ns = arbiter_last_completion_ns(v);

    v->accounted_busy_ns = v->ack.busy_ns;
    if (had_ns == 0)
        return;
    uint64_t free_from_ns = last_job_end_ns(v->arbiter, now_ns);
    if (free_from_ns > 0 && free_from_ns < last_ns)
        had_ns = MIN(had_ns, last_ns - free_from_ns);
    sched_charge(&v->entity, had_ns, now_ns);
}

void arbiter_charge(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    if (v->place == PLACE_OUT)
        return;
    if (v->place == PLACE_PREEMPTED) {
        account_demoted(v, now_ns);
        return;
    }
    uint64_t held_ns = now_ns - v->accounted_ns, completions = v->ack.completions;
    bool good = arbiter_read_ack(v, now_ns);

    v->accounted_ns = now_ns;
    if (v->early) {
        account_early(v, held_ns, now_ns);
        return;
    }
    uint64_t used_ns = used(v, held_ns, now_ns, good);
    v->used |= used_ns > 0;
    v->busy_ns += used_ns;
    a->busy_ns += used_ns;
    arbiter_note_handoff(v, now_ns);
    if (a->contended)
        sched_charge(&v->entity, held_ns - forgiven(v, used_ns, held_ns), now_ns);
    else
        sched_charge_alone(&v->entity, used_ns, now_ns);

    /* What it says of itself while it leaves is no progress: it may start nothing more, and all it
     * has has to be done in that time. */
    if (v->place == PLACE_IN && (v->ack.in_flight == 0 || v->ack.completions != completions))
        v->stuck_ns = 0;
    else
        v->stuck_ns += held_ns;
    if (a->config.reset_after_ns > 0 && v->stuck_ns >= a->config.reset_after_ns && !v->killed) {
        v->resets++;
        arbiter_say(a, LOG_WARNING,
                    "vGPU '%s': nothing completed in %u ms on the GPU, killing its renderer %d",
                    v->name, (unsigned)(v->stuck_ns / 1000000), v->pid);
        arbiter_note(a, now_ns, ARBITER_EVENT_RESET, v, v->stuck_ns);
        kill_renderer(v);
    }
}

void arbiter_account(struct arbiter_vgpu *v, uint64_t now_ns)
{
    arbiter_charge(v, now_ns);
    if (v->place == PLACE_PREEMPTED && v->unaccounted)
        arbiter_read_ack(v, now_ns);
}

void arbiter_account_all(struct arbiter *a, uint64_t now_ns)
{
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next)
        arbiter_charge(v, now_ns);
}
