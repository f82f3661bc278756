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
 * To the scheduler a vGPU runs in IN alone. What it is charged is in arbiter_account.c.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#define HELD_UP_NS 1000000
/* How often one that nobody waits for is looked at: whether it is idle. Each look costs it some ten
 * microseconds of a processor, which may be one that draws. */
#define LOOK_ALONE_NS 20000000

/* ---- coming and going ----------------------------------------------------------------------- */

static void set_place(struct arbiter_vgpu *v, enum arbiter_place place)
{
    struct arbiter *a = v->arbiter;

    a->n_in += (place == PLACE_IN) - (v->place == PLACE_IN);
    a->n_leaving += (place == PLACE_LEAVING) - (v->place == PLACE_LEAVING);
    v->place = place;
    v->early &= place != PLACE_OUT;
}

/* Whether v asks just when another one's long piece is over. On a software GPU that does not
 * preempt the piece has kept v's renderer itself from running, and says nothing of what v needs. */
static bool was_held_up(const struct arbiter_vgpu *v, uint64_t now_ns)
{
    for (const struct arbiter_vgpu *w = v->arbiter->vgpus; w; w = w->next) {
        uint64_t end_ns = w == v || !w->attached ? 0 : arbiter_last_completion_ns(w);
        if (end_ns > w->ack.started_ns + THINK_TIME_KEPT_MAX_NS && now_ns < end_ns + HELD_UP_NS &&
            end_ns < now_ns + HELD_UP_NS) /* it is its own word */
            return true;
    }
    return false;
}

/* It waits for a grant. */
static void ask(struct arbiter_vgpu *v, uint64_t now_ns)
{
    const struct arbiter_config *config = &v->arbiter->config;

    if (v->think.idle_from_ns != 0 && was_held_up(v, now_ns))
        v->think.idle_from_ns = 0;
    else if (config->processors > 0 && config->preempt == ARBITER_PREEMPT_DRAIN)
        think_time_end_stretched(&v->think, now_ns); /* as short ones do, one after the other */
    else
        think_time_end(&v->think, now_ns);
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

    arbiter_charge(v, now_ns);
    if (v->place != PLACE_PREEMPTED)
        a->released_ns = now_ns;
    if (sched_is_running(&v->entity))
        sched_put(&v->entity, now_ns);
    set_place(v, PLACE_OUT);
    think_time_let_go(&v->think, now_ns);
    arbiter_note(a, now_ns, ARBITER_EVENT_RELEASE, v, v->entity.slice.used_ns);
    if (v->attached && !v->killed && lease_wants(&v->lease))
        ask(v, now_ns);
    else
        sched_sleep(&v->entity, now_ns);
    arbiter_end_early(a, now_ns);
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
        arbiter_read_ack(v, now_ns); /* nothing is added to what it has now */
    }
}

void arbiter_evict(struct arbiter_vgpu *v, uint64_t now_ns)
{
    arbiter_charge(v, now_ns);
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
    v->think.idle_from_ns = 0; /* the next renderer's pauses are its own */
    sched_sleep(&v->entity, now_ns);
    arbiter_end_early(v->arbiter, now_ns);
}

/* Begins a slice: the first one in a row, or another. */
static void begin_slice(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    arbiter_charge(v, now_ns);
    if (v->place == PLACE_OUT || v->place == PLACE_PREEMPTED) {
        arbiter_rebase(v, now_ns);
        v->charge_from_ns = now_ns;
        v->stuck_ns = 0;
        /* Before that there was nobody to hand it to. */
        v->handoff_from_ns =
            a->released_ns == 0 ? 0 : MAX(a->released_ns, v->asked ? v->asked_ns : now_ns);
        a->released_ns = 0;
    }
    if (v->place != PLACE_IN)
        think_time_end(&v->think, now_ns);
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

/* Whether v holds the GPU for nothing. */
static bool is_idle(struct arbiter_vgpu *v, uint64_t now_ns)
{
    if (!lease_is_parked(&v->lease)) {
        think_time_end(&v->think, v->ack.started_ns);
        return false;
    }
    if (v->think.idle_from_ns == 0) {
        v->think.idle_from_ns = now_ns;
        /* Nobody waited, and it did not ring: it may have been idle for long. */
        if (!v->arbiter->was_contended)
            v->think.idle_from_ns =
                MIN(MAX(arbiter_last_completion_ns(v), v->charge_from_ns), now_ns);
    }
    return now_ns >= think_time_kept_until_ns(&v->think);
}

/* Takes the GPU from one who holds it and does not use it. */
static void take_parked(struct arbiter_vgpu *v, uint64_t now_ns)
{
    lease_yield(&v->lease);
    if (lease_settle(&v->lease)) {
        left(v, now_ns);
    } else { /* it came back in between */
        think_time_end(&v->think, now_ns);
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
        if (v->think.idle_from_ns != 0)
            next_ns = MIN(next_ns, think_time_kept_until_ns(&v->think));
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
    next_ns = start_others(a, now_ns);
    if (a->n_in + a->n_leaving == 0) /* those that are demoted have the GPU from now on */
        arbiter_account_all(a, now_ns);
    next_ns = MIN(next_ns, arbiter_look_at_processors(a, now_ns));
    arbiter_set_classes(a);
    next_ns = MIN(next_ns, tell_contended(a, now_ns));
    return MIN(next_ns, next_reset_ns(a, now_ns));
}
