/* SPDX-License-Identifier: MIT */
/*
 * Who has the GPU.
 *
 *        pick, lease_grant            slice over, another one picked
 *   OUT ─────────────────────► IN ───────────────────────────────► LEAVING (drain)
 *    ▲                       ▲  │                                ┌ PREEMPTED (cpu)
 *    │                       └──│──── picked again ──────────────┤
 *    │      idle, or its renderer ends                           │
 *    └──────────────────────────┴── nothing in flight any more ──┘
 *
 * To the scheduler a vGPU runs in IN alone. What is charged is the time that it held the GPU while
 * others waited, since it kept them off, whatever it did; and else the time that it used. What is
 * shown as GPU time is what its renderer reports, as far as it held the GPU.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <syslog.h>
#include <unistd.h>

/* The GPU is kept for a vGPU that has just become idle inside its slice, while others wait, for
 * twice as long as it mostly needs to bring more: one that waits for each frame before it draws the
 * next would else lose its turn to those that do not, whatever its weight (Iyer and Druschel,
 * "Anticipatory scheduling", 2001). Whoever needs longer than that comes back as a new one. */
#define ANTICIPATE_MAX_NS 4000000
#define ANTICIPATE_MIN_NS 300000
#define QUICK_PERCENT 10
#define THINK_FIRST_NS 500000
/* The gaps between frames are not charged as far as they are short beside the frames, so that
 * shares are those of time that was used; what is longer than that part is, since it keeps others
 * off. */
#define IDLE_FREE_PART 8
#define IDLE_CREDIT_MAX_NS 2000000

/* How often one that nobody waits for is looked at: whether it is idle. Each look costs it some ten
 * microseconds of a processor, which may be one that draws. */
#define LOOK_ALONE_NS 20000000

void arbiter_vgpu_init(struct arbiter_vgpu *v)
{
    v->think_ns = THINK_FIRST_NS;
}

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

    for (uint32_t i = 0; i < v->slots_known; i++) {
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

/* True if the copies of the ack page are good. */
static bool read_ack(struct arbiter_vgpu *v, uint64_t now_ns)
{
    enum lease_fault fault = LEASE_FAULT_NONE;

    if (!v->attached || v->killed)
        return false;
    for (uint32_t i = 0; i < v->slots_known && fault == LEASE_FAULT_NONE; i++) {
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

/* Begins to account: what was before does not count. */
static void rebase(struct arbiter_vgpu *v, uint64_t now_ns)
{
    v->accounted_ns = now_ns;
    read_ack(v, now_ns);
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
        v->unaccounted = true;
        return;
    }
    if (v->unaccounted) {
        rebase(v, now_ns);
        return;
    }
    uint64_t held_ns = now_ns - v->accounted_ns;
    bool good = read_ack(v, now_ns);
    uint64_t used_ns = used(v, held_ns, now_ns, good);
    v->accounted_ns = now_ns;
    v->busy_ns += used_ns;
    a->busy_ns += used_ns;
    sched_charge(&v->entity, used_ns, now_ns);
}

/* The GPU is still another one's, which is charged for it. It has had what it says, since who is
 * quick there would else have it for nothing. */
static void account_early(struct arbiter_vgpu *v, uint64_t held_ns, uint64_t now_ns)
{
    sched_charge(&v->entity, MIN(v->ack.busy_ns - v->accounted_busy_ns, held_ns), now_ns);
    v->accounted_busy_ns = v->ack.busy_ns;
}

static void account(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    if (v->place == PLACE_OUT)
        return;
    if (v->place == PLACE_PREEMPTED) {
        account_demoted(v, now_ns);
        return;
    }
    uint64_t held_ns = now_ns - v->accounted_ns, completions = v->ack.completions;
    bool good = read_ack(v, now_ns);

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
    account(v, now_ns);
    if (v->place == PLACE_PREEMPTED && v->unaccounted)
        read_ack(v, now_ns);
}

void arbiter_account_all(struct arbiter *a, uint64_t now_ns)
{
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next)
        account(v, now_ns);
}

/* ---- coming and going ----------------------------------------------------------------------- */

static void set_place(struct arbiter_vgpu *v, enum arbiter_place place)
{
    struct arbiter *a = v->arbiter;

    a->n_in += (place == PLACE_IN) - (v->place == PLACE_IN);
    a->n_leaving += (place == PLACE_LEAVING) - (v->place == PLACE_LEAVING);
    v->place = place;
    v->early &= place != PLACE_OUT;
}

/* It has had nothing to do until then. */
static void back_to_work(struct arbiter_vgpu *v, uint64_t since_ns)
{
    if (v->idle_from_ns == 0)
        return;
    uint64_t think_ns = since_ns > v->idle_from_ns ? since_ns - v->idle_from_ns : 0;
    /* Longer is all the same, and would be long remembered. */
    v->think_ns = (3 * v->think_ns + MIN(think_ns, UINT64_C(2) * ANTICIPATE_MAX_NS)) / 4;
    v->quick_percent = (3 * v->quick_percent + (think_ns < ANTICIPATE_MIN_NS ? 100 : 0)) / 4;
    v->idle_from_ns = 0;
}

/* It waits for a grant. */
static void ask(struct arbiter_vgpu *v, uint64_t now_ns)
{
    back_to_work(v, now_ns);
    if (!v->asked) {
        v->asked = true;
        v->asked_ns = now_ns;
        arbiter_note(v->arbiter, now_ns, ARBITER_EVENT_WAIT, v, 0);
    }
    sched_wake(&v->entity, now_ns);
}

/* Nothing of it is on the GPU any more. */
static void left(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    account(v, now_ns);
    if (v->place != PLACE_PREEMPTED)
        a->released_ns = now_ns;
    if (sched_is_running(&v->entity))
        sched_put(&v->entity, now_ns);
    set_place(v, PLACE_OUT);
    arbiter_note(a, now_ns, ARBITER_EVENT_RELEASE, v, v->entity.slice.used_ns);
    if (v->attached && !v->killed && lease_wants(&v->lease))
        ask(v, now_ns);
    else
        sched_sleep(&v->entity, now_ns);
}

/* Its slice is over and somebody else is next. */
static void end_slice(struct arbiter_vgpu *v, uint64_t now_ns)
{
    lease_yield(&v->lease);
    arbiter_note(v->arbiter, now_ns, ARBITER_EVENT_YIELD, v, 0);
    if (lease_settle(&v->lease)) {
        left(v, now_ns);
    } else if (v->arbiter->config.preempt == ARBITER_PREEMPT_CPU) {
        set_place(v, PLACE_PREEMPTED);
        v->arbiter->released_ns = now_ns;
    } else {
        set_place(v, PLACE_LEAVING);
        read_ack(v, now_ns); /* nothing is added to what it has now */
    }
}

void arbiter_evict(struct arbiter_vgpu *v, uint64_t now_ns)
{
    account(v, now_ns);
    if (sched_is_running(&v->entity))
        sched_put(&v->entity, now_ns);
    if (v->place != PLACE_OUT) {
        arbiter_note(v->arbiter, now_ns, ARBITER_EVENT_RELEASE, v, v->entity.slice.used_ns);
        if (v->place != PLACE_PREEMPTED)
            v->arbiter->released_ns = now_ns;
    } else if (v->asked) {
        arbiter_note(v->arbiter, now_ns, ARBITER_EVENT_RELEASE, v, 0);
    }
    set_place(v, PLACE_OUT);
    arbiter_set_class(v, CPU_CLASS_NORMAL);
    v->asked = false;
    v->idle_from_ns = 0; /* the next renderer's pauses are its own */
    sched_sleep(&v->entity, now_ns);
}

/* Begins a slice: the first one in a row, or another. */
static void begin_slice(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    account(v, now_ns);
    if (v->place == PLACE_OUT || v->place == PLACE_PREEMPTED) {
        rebase(v, now_ns);
        v->charge_from_ns = now_ns;
        v->stuck_ns = 0;
        /* Before that there was nobody to hand it to. */
        v->handoff_from_ns =
            a->released_ns == 0 ? 0 : MAX(a->released_ns, v->asked ? v->asked_ns : now_ns);
        a->released_ns = 0;
    }
    if (v->place != PLACE_IN)
        back_to_work(v, now_ns);
    v->early |= v->place == PLACE_OUT && !arbiter_has_place(a);
    set_place(v, PLACE_IN);
    sched_start(&v->entity, now_ns);
    v->used = false;
    a->grants++;
    arbiter_note(a, now_ns, ARBITER_EVENT_GRANT, v, sched_slice_end_ns(&v->entity));
    if (v->asked) {
        v->asked = false;
        arbiter_histogram_add(&v->wait, now_ns - v->asked_ns);
    }
    arbiter_set_classes(a); /* before it is told: who is woken needs a processor */
    arbiter_write_terms(v);
}

/* ---- decisions ------------------------------------------------------------------------------ */

void arbiter_look_at(struct arbiter_vgpu *v, uint64_t now_ns)
{
    if (!v->attached || v->killed)
        return;
    switch (v->place) {
    case PLACE_OUT:
        if (lease_wants(&v->lease))
            ask(v, now_ns);
        break;
    case PLACE_LEAVING:
    case PLACE_PREEMPTED:
        if (lease_settle(&v->lease))
            left(v, now_ns);
        break;
    case PLACE_IN: /* idle: arbiter_schedule() looks whether that matters */
        break;
    }
}

/* Until when the GPU is kept for v, which is idle. */
static uint64_t kept_until_ns(const struct arbiter_vgpu *v)
{
    uint64_t think_ns = MAX(2 * v->think_ns, (uint64_t)ANTICIPATE_MIN_NS);

    if (think_ns > ANTICIPATE_MAX_NS) /* some frames have more than one part */
        think_ns = v->quick_percent >= QUICK_PERCENT ? ANTICIPATE_MIN_NS : 0;
    return v->idle_from_ns + think_ns;
}

/* Whether v holds the GPU for nothing. */
static bool is_idle(struct arbiter_vgpu *v, uint64_t now_ns)
{
    if (!lease_is_parked(&v->lease)) {
        back_to_work(v, v->ack.started_ns);
        return false;
    }
    if (v->idle_from_ns == 0) {
        v->idle_from_ns = now_ns;
        /* Who found it idle need not wait: nobody was kept from anything before. */
        if (!v->arbiter->was_contended)
            return true;
    }
    return now_ns >= kept_until_ns(v);
}

/* Takes the GPU from one who holds it and does not use it. */
static void take_parked(struct arbiter_vgpu *v, uint64_t now_ns)
{
    lease_yield(&v->lease);
    if (lease_settle(&v->lease)) {
        left(v, now_ns);
    } else { /* it came back in between */
        back_to_work(v, now_ns);
        sched_put(&v->entity, now_ns);
        set_place(v, PLACE_LEAVING);
    }
}

/* Whether v's slice has to be thought over, and what to do if nobody else is next. */
static void check_slice(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;
    bool over = now_ns >= sched_turn_end_ns(&v->entity);

    if (v->killed)
        return;
    if (a->contended ? is_idle(v, now_ns) : over && !v->used && lease_is_parked(&v->lease)) {
        take_parked(v, now_ns);
        return;
    }
    if (!over || v->early)
        return;
    /* Back in line with the others; who is picked is seen in arbiter_schedule(). */
    sched_put(&v->entity, now_ns);
    uint64_t next_ns;
    struct sched_entity *e = sched_pick(&a->sched, now_ns, &next_ns);
    if (e == &v->entity)
        begin_slice(v, now_ns);
    else
        end_slice(v, now_ns);
}

static uint64_t start_others(struct arbiter *a, uint64_t now_ns)
{
    uint64_t next_ns = SCHED_NEVER;
    struct sched_entity *e;

    while ((e = sched_pick(&a->sched, now_ns, &next_ns))) {
        struct arbiter_vgpu *v = (struct arbiter_vgpu *)e; /* its first member */
        if (v->place != PLACE_LEAVING && !arbiter_has_place(a) && !arbiter_may_begin_early(a))
            return SCHED_NEVER; /* until one has left */
        begin_slice(v, now_ns);
    }
    return next_ns;
}

/* Tells those inside whether others wait, and returns when the first slice ends. */
static uint64_t tell_contended(struct arbiter *a, uint64_t now_ns)
{
    uint64_t next_ns = SCHED_NEVER;

    a->contended = sched_contended(&a->sched);
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (v->place != PLACE_IN || v->killed) /* the killed leave when they are gone */
            continue;
        lease_set_contended(&v->lease, a->contended);
        if (!v->early) { /* else its turn has not begun */
            uint64_t end_ns = sched_turn_end_ns(&v->entity);
            if (sched_is_alone(&v->entity))
                end_ns = MAX(end_ns, now_ns + LOOK_ALONE_NS);
            next_ns = MIN(next_ns, end_ns);
        }
        if (!a->contended)
            continue;
        if (v->idle_from_ns != 0)
            next_ns = MIN(next_ns, kept_until_ns(v));
        else if (lease_is_parked(&v->lease))
            next_ns = now_ns; /* it went idle before it could know that it should ring */
    }
    return next_ns;
}

/* When the first of those that hold the GPU has done so for too long. */
static uint64_t next_reset_ns(const struct arbiter *a, uint64_t now_ns)
{
    uint64_t next_ns = SCHED_NEVER;

    if (a->config.reset_after_ns == 0)
        return next_ns;
    for (const struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if ((v->place == PLACE_IN || v->place == PLACE_LEAVING) && !v->killed && !v->early)
            next_ns = MIN(next_ns, now_ns + a->config.reset_after_ns - v->stuck_ns);
    }
    return next_ns;
}

uint64_t arbiter_schedule(struct arbiter *a, uint64_t now_ns)
{
    uint64_t next_ns;

    arbiter_account_all(a, now_ns);
    a->was_contended = a->contended;
    a->contended = sched_contended(&a->sched);
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (v->place == PLACE_IN)
            check_slice(v, now_ns);
        else if (v->place == PLACE_LEAVING) /* it need not have rung */
            arbiter_look_at(v, now_ns);
    }
    arbiter_end_early(a, now_ns);
    next_ns = start_others(a, now_ns);
    if (a->n_in + a->n_leaving == 0) /* those that are demoted have the GPU from now on */
        arbiter_account_all(a, now_ns);
    arbiter_set_classes(a);
    next_ns = MIN(next_ns, tell_contended(a, now_ns));
    return MIN(next_ns, next_reset_ns(a, now_ns));
}
