/* SPDX-License-Identifier: MIT */
/*
 * The broker of the explored system: an arbiter as simple as docs/lease.md allows. Included once,
 * by test_lease_model.c.
 */
#ifndef ALIQUOT_TESTS_LEASE_ARBITER_H
#define ALIQUOT_TESTS_LEASE_ARBITER_H

#include "tests/model/lease_participants.h"

#include <string.h>

static uint32_t poll_events(void)
{
    uint64_t events;

    if (explore_replay(&events))
        return (uint32_t)events;
    events = world.happened;
    bool rung = false;
    for (unsigned v = 0; v < VGPUS; v++) {
        rung |= world.doorbell[v];
        world.doorbell[v] = false;
    }
    if (events == 0 && !rung)
        explore_block();
    world.happened = 0;
    explore_record(events);
    return (uint32_t)events;
}

static void wake(struct lease_broker *b, unsigned v, uint32_t wakes)
{
    int fds[SLOTS];

    for (unsigned slot = 0; slot < SLOTS; slot++)
        fds[slot] = SLOT_EVENT(v, slot);
    lease_wake(b, fds, wakes);
}

static bool settle(unsigned v)
{
    bool settled = lease_settle(&world.broker.b[v]);

    if (settled && explore_is_fresh())
        world.settled[v] = true;
    return settled;
}

/* early: the other's last work still runs. */
static struct lease_terms terms_of(unsigned v, bool early)
{
    bool bounded = early && now.defect != EARLY_IS_UNBOUNDED;

    return (struct lease_terms){.max_in_flight = bounded ? 1 : now.max_in_flight,
                                .max_predicted_us = 100,
                                .contended = world.broker.wants[(v + 1) % VGPUS]};
}

static void grant(unsigned v)
{
    struct broker_local *l = &world.broker;
    bool early = now.early && !l->b[(v + 1) % VGPUS].settled;
    struct lease_terms terms = terms_of(v, early);
    uint32_t before = 0;

    if (now.defect == WAITERS_BEFORE_GRANT)
        before = waiters_to_wake(&l->b[v]);
    world.settled[v] = false; /* also each time that this runs again: nobody else changes it */
    if (lease_grant(&l->b[v], &terms,
                    now.defect == GRANTS_WHILE_OTHERS_HAVE ? NULL : &l->b[l->last], now.early,
                    &l->wakes) != 0)
        return;
    l->last = v;
    l->early = early;
    if (now.defect == WAITERS_BEFORE_GRANT)
        l->wakes = before;
}

enum {
    POLL,
    REVOKE_IT,
    WAKE_REVOKED,
    SETTLE,
    LOOK,
    WIDEN,
    WAKE_WIDENED,
    CONTEND,
    PARKED,
    YIELD,
    SETTLE_IT,
    LOOK_AGAIN,
    GRANT,
    WAKE_GRANTED
};

/* The next step of the round for the next vGPU, or from the first one on. */
static void go(uint32_t pc, uint32_t v)
{
    world.broker.pc = pc;
    world.broker.v = v;
}

static void after_look(void)
{
    struct broker_local *l = &world.broker;
    bool others = false;

    for (unsigned v = 0; v < VGPUS; v++)
        others |= l->wants[v] && v != l->holder;
    if (l->early && l->holder != VGPUS && l->b[(l->holder + 1) % VGPUS].settled &&
        now.defect != EARLY_FOR_GOOD)
        go(WIDEN, l->holder);
    else if (l->holder == VGPUS)
        go(GRANT, (l->last + 1) % VGPUS);
    else if (others || (l->events & HAPPENED_TIMER))
        go(others ? CONTEND : YIELD, l->holder);
    else
        go(POLL, 0);
}

/* Just after wider bounds were told: nobody sleeps for room that there is. */
static void check_room(unsigned v)
{
    for (unsigned a = 0; a < ACTORS; a++) {
        const struct role *r = &now.roles[a];

        if (r->kind == THREAD && r->vgpu == v && world.sleeps_too[a] &&
            LEASE_LOAD_COUNT(ack_page(v)->slots[r->slot].load) < now.max_in_flight)
            explore_fail("somebody sleeps though there is room");
    }
}

/*
 * A round of the arbiter, in operations of one call each, so that what one call has seen need not
 * be remembered longer than its result: look what happened, end what has ended, see who waits, take
 * the GPU away if somebody else waits and it is parked or its time is over, grant.
 */
static void run_broker(void)
{
    struct broker_local *l = &world.broker;
    uint32_t v = l->v, next = v + 1;
    struct lease_broker *b = &l->b[v];
    bool granted = lease_state(b) == LEASE_GRANTED;

    switch (l->pc) {
    case POLL:
        l->events = poll_events();
        l->holder = VGPUS;
        go(REVOKE_IT, 0);
        break;
    case REVOKE_IT:
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if ((l->events & HAPPENED_DEATH(v, slot)) && now.defect != DEATH_IS_IGNORED)
                lease_slot_forget(b, slot);
        if (l->events & HAPPENED_REVOKE(v)) {
            l->wakes = lease_revoke(b);
            l->pc = WAKE_REVOKED;
        } else {
            l->pc = SETTLE;
        }
        break;
    case WAKE_REVOKED:
        wake(b, v, l->wakes);
        l->pc = SETTLE;
        break;
    case SETTLE:
        if (granted)
            l->holder = v;
        else if (!b->settled)
            settle(v);
        go(next == VGPUS ? LOOK : REVOKE_IT, next % VGPUS);
        break;
    case LOOK:
        l->wants[v] = lease_state(b) != LEASE_REVOKED && !granted && lease_wants(b);
        go(LOOK, next);
        if (next == VGPUS)
            after_look();
        break;
    case WIDEN: { /* it began early, and the other one has left */
        struct lease_terms terms = terms_of(v, false);

        l->wakes = 0;
        if (lease_grant(b, &terms, NULL, false, &l->wakes) != 0)
            explore_fail("a grant can't go on");
        l->pc = WAKE_WIDENED;
        break;
    }
    case WAKE_WIDENED:
        wake(b, v, now.defect == WIDENS_IN_SILENCE ? 0 : l->wakes);
        check_room(v);
        l->wakes = 0;
        l->early = false;
        after_look();
        break;
    case CONTEND:
        lease_set_contended(b, true);
        l->pc = l->events & HAPPENED_TIMER ? YIELD : PARKED;
        break;
    case PARKED:
        l->pc = now.defect != PARKED_IS_NOT_TAKEN && lease_is_parked(b) ? YIELD : POLL;
        l->v = l->pc == POLL ? 0 : v;
        break;
    case YIELD:
        if (now.defect == SETTLES_BEFORE_YIELD && lease_is_drained(b)) {
            b->settled = true;
            set_state(b, LEASE_IDLE);
        } else {
            lease_yield(b);
        }
        l->pc = SETTLE_IT;
        break;
    case SETTLE_IT:
        settle(v);
        l->pc = LOOK_AGAIN;
        break;
    case LOOK_AGAIN:
        l->wants[v] = lease_wants(b);
        go(GRANT, next % VGPUS);
        break;
    case GRANT:
        l->wakes = 0;
        for (uint32_t i = 0; i < VGPUS && l->pc == GRANT; i++) {
            v = (l->v + i) % VGPUS;
            if (l->wants[v]) {
                b = &l->b[v];
                l->pc = WAKE_GRANTED;
                grant(v);
            }
        }
        if (l->pc != WAKE_GRANTED)
            go(POLL, 0);
        else if (l->wakes == 0 && (b->word & LEASE_CONTENDED) &&
                 now.defect != GRANT_TO_NOBODY_STAYS)
            go(PARKED, v); /* the waiter has gone meanwhile, and will not ring */
        else
            go(WAKE_GRANTED, v);
        break;
    default:
        wake(b, v, l->wakes);
        l->wakes = 0;
        go(POLL, 0);
    }
    if (l->pc == POLL) {
        l->events = 0;
        l->holder = 0;
        memset(l->wants, 0, sizeof(l->wants));
    }
}

#endif
