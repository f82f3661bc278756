/* SPDX-License-Identifier: MIT */
/*
 * From one vGPU to the next: what the next one may do, and from when on.
 *
 * Where slices end by draining, the GPU would idle from the end of the last job until the next vGPU
 * has been woken and has submitted. With an early hand-over that one is granted as soon as the one
 * before has no more than one job on the GPU, and may submit one itself; its slice, its accounts
 * and the full bounds begin when the other one has left.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

/* What a vGPU may have on the GPU at once, per participant: the drain at the end of its slice. */
#define MAX_IN_FLIGHT 8
#define MAX_PREDICTED_US 2000

void arbiter_note_handoff(struct arbiter_vgpu *v, uint64_t now_ns)
{
    /* The renderer's word: it has to lie between the slice's beginning and now. */
    if (v->handoff_from_ns == 0 || v->ack.started_ns < v->charge_from_ns ||
        v->ack.started_ns > now_ns)
        return;
    arbiter_histogram_add(&v->arbiter->handoff, v->ack.started_ns - v->handoff_from_ns);
    v->handoff_from_ns = 0;
}

void arbiter_write_terms(struct arbiter_vgpu *v)
{
    struct arbiter *a = v->arbiter;
    bool exclusive = a->sched.policy == SCHED_POLICY_EXCLUSIVE;
    const struct lease_terms terms = {
        .max_in_flight = v->early ? 1 : MAX_IN_FLIGHT,
        /* Where the slice's end needs no cooperation, nothing has to be cut. */
        .max_predicted_us =
            a->config.preempt == ARBITER_PREEMPT_CPU ? UINT32_MAX : MAX_PREDICTED_US,
        .slice_end_ns = sched_slice_end_ns(&v->entity),
        .charge_from_ns = v->charge_from_ns,
        .contended = sched_contended(&a->sched),
        .ungated = exclusive,
    };
    int fds[LEASE_SLOTS_MAX];
    uint32_t wakes = 0;

    for (uint32_t i = 0; i < LEASE_SLOTS_MAX; i++) /* those of the Vulkan layer have threads */
        fds[i] = i == LEASE_SLOT_GL ? v->wake_fd : -1;

    /* Never refused: it is not revoked, and places are counted here. */
    if (lease_grant(&v->lease, &terms, NULL, false, &wakes) == 0)
        lease_wake(&v->lease, fds, wakes);
}

bool arbiter_has_place(const struct arbiter *a)
{
    return a->n_in + a->n_leaving < a->config.parallelism;
}

/* One at a time: the one who leaves has to have no more than its last job on the GPU. */
bool arbiter_may_begin_early(const struct arbiter *a)
{
    if (!a->config.early || a->config.preempt != ARBITER_PREEMPT_DRAIN ||
        a->n_in + a->n_leaving > a->config.parallelism)
        return false;
    for (const struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (v->place == PLACE_LEAVING && !v->killed && v->ack.in_flight <= 1)
            return true;
    }
    return false;
}

static void begin_in_earnest(struct arbiter_vgpu *v, uint64_t now_ns)
{
    bool submitted = v->ack.in_flight > 0 && v->ack.started_ns <= now_ns;

    v->early = false;
    v->accounted_ns = v->charge_from_ns = now_ns;
    v->stuck_ns = 0;
    /* The GPU went on with what it has submitted. */
    if (submitted)
        arbiter_histogram_add(&v->arbiter->handoff, 0);
    v->handoff_from_ns = submitted ? 0 : now_ns;
    v->arbiter->released_ns = 0;
    lease_set_charge_from(&v->lease, now_ns);
    if (v->place != PLACE_IN)
        return;
    sched_delay(&v->entity, now_ns);
    arbiter_note(v->arbiter, now_ns, ARBITER_EVENT_GRANT, v, sched_slice_end_ns(&v->entity));
    arbiter_write_terms(v);
}

void arbiter_end_early(struct arbiter *a, uint64_t now_ns)
{
    if (a->n_in + a->n_leaving > a->config.parallelism)
        return;
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (v->early)
            begin_in_earnest(v, now_ns);
    }
}
