/* SPDX-License-Identifier: MIT */
/*
 * The code that is explored, with what can be wrong with it, and the participants that call it.
 * Included once, by test_lease_model.c.
 */
#ifndef ALIQUOT_TESTS_LEASE_PARTICIPANTS_H
#define ALIQUOT_TESTS_LEASE_PARTICIPANTS_H

#include "tests/model/lease_system.h"

#include "protocol/lease.c"

static enum lease_verdict model_enter(const struct lease_participant *p, uint32_t predicted_us,
                                      uint32_t *duties);
static enum lease_verdict model_wait_begin(const struct lease_participant *p, enum lease_how how,
                                           uint32_t *duties);
static void model_wait_end(const struct lease_participant *p, enum lease_how how, bool idle,
                           uint32_t *duties);
static void model_exit(const struct lease_participant *p, uint32_t predicted_us,
                       uint64_t submitted_ns, uint64_t completed_ns, bool idle, uint32_t *duties);
#define lease_enter model_enter
#define lease_wait_begin model_wait_begin
#define lease_wait_end model_wait_end
#define lease_exit model_exit
#include "protocol/lease_wait.c"
#undef lease_enter
#undef lease_wait_begin
#undef lease_wait_end
#undef lease_exit

enum defect {
    NO_DEFECT,
    LOOKS_BEFORE_COUNTING,    /* enter: the grant is looked at before in_flight is raised */
    NO_LOOK_AFTER_MARK,       /* wait_begin: does not look at the grant again */
    NO_RING,                  /* wait_begin: does not ring */
    RINGS_TWICE,              /* wait_begin: rings twice */
    EXIT_DOES_NOT_RING,       /* exit: leaves the broker in the dark */
    EXIT_FORGETS_ROOM,        /* exit: does not wake those who wait for room */
    END_DOES_NOT_RING,        /* wait_end: keeps a grant that it does not use */
    SETTLES_BEFORE_YIELD,     /* broker: looks at in_flight, then takes away */
    WAITERS_BEFORE_GRANT,     /* broker: looks for waiters, then grants */
    PARKED_IS_NOT_TAKEN,      /* broker: waits for a ring of a holder that is idle already */
    GRANT_TO_NOBODY_STAYS,    /* broker: does not look again after a grant that woke nobody */
    DEATH_IS_IGNORED,         /* broker: does not forget the slot */
    GRANTS_WHILE_OTHERS_HAVE, /* broker: does not wait for the other vGPU's end */
    EARLY_IS_UNBOUNDED,       /* broker: who begins early may submit as if it were alone */
    EARLY_FOR_GOOD,           /* broker: the bounds of who began early stay */
    WIDENS_IN_SILENCE,        /* broker: wakes nobody when the bounds are wider */
};

enum kind { NONE, BROKER_ROUNDS, THREAD, LOOP, GIVES_UP, KILL, TIMER, REVOKE };

struct role {
    enum kind kind;
    uint8_t vgpu, slot;
    uint8_t jobs;
    uint8_t victim; /* of KILL: all actors with the slot of this one */
};

static struct scenario {
    const char *name;
    struct role roles[ACTORS];
    uint32_t max_in_flight;
    bool early;
    unsigned preemptions; /* 0 = no bound */
    enum defect defect;
} now;

static struct lease_participant participant_of(unsigned actor)
{
    const struct role *r = &now.roles[actor];

    return (struct lease_participant){&world.grant[r->vgpu], ack_page(r->vgpu),
                                      &ack_page(r->vgpu)->slots[r->slot], r->slot};
}

static void owe(uint32_t duties)
{
    if ((duties & LEASE_DUTY_RING) && explore_is_fresh())
        world.rings_owed[now.roles[running_actor].vgpu]++;
}

static void work_starts(void)
{
    const struct role *r = &now.roles[running_actor];

    if (!explore_is_fresh())
        return;
    if (LEASE_STATE(world.grant[r->vgpu].word) != LEASE_GRANTED)
        explore_fail("work starts without a grant");
    if (world.settled[r->vgpu])
        explore_fail("work starts after the end of the grant");
    for (unsigned v = 0; v < VGPUS; v++) {
        if (v == r->vgpu)
            continue;
        if (LEASE_STATE(world.grant[v].word) == LEASE_GRANTED)
            explore_fail("two vGPUs are granted");
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if (!now.early && world.running[v][slot] != 0)
                explore_fail("work of two vGPUs runs");
        if (!world.settled[v] && world.running[r->vgpu][r->slot] != 0)
            explore_fail("more than one job before the other's have ended");
    }
    world.running[r->vgpu][r->slot]++;
}

static enum lease_verdict model_enter(const struct lease_participant *p, uint32_t predicted_us,
                                      uint32_t *duties)
{
    unsigned head = explore_position() - 1; /* of the loop in wait_grant(), if we are in it */
    enum lease_verdict verdict;

    if (now.defect == LOOKS_BEFORE_COUNTING) {
        verdict = lease_verdict(lease_word(p));
        if (verdict == LEASE_OPEN)
            LEASE_ADD(&p->slot->load, charge_of(predicted_us));
    } else {
        verdict = lease_enter(p, predicted_us, duties);
    }
    if (verdict == LEASE_OPEN)
        work_starts();
    owe(*duties);
    if (in_wait && verdict == LEASE_CLOSED && *duties == 0 && explore_is_fresh())
        explore_cut(head);
    return verdict;
}

static enum lease_verdict model_wait_begin(const struct lease_participant *p, enum lease_how how,
                                           uint32_t *duties)
{
    enum lease_verdict verdict = LEASE_CLOSED;

    if (now.defect == NO_LOOK_AFTER_MARK) {
        LEASE_ADD(&p->slot->waiters, mark_of(how));
        *duties |= LEASE_DUTY_RING;
    } else {
        verdict = lease_wait_begin(p, how, duties);
    }
    if ((verdict == LEASE_CLOSED) != (*duties == LEASE_DUTY_RING))
        explore_fail("a wait without exactly one ring");
    owe(*duties);
    in_wait = how == LEASE_BY_FUTEX && verdict != LEASE_LOST;
    if (now.defect == RINGS_TWICE && verdict == LEASE_CLOSED)
        event_write(DOORBELL(now.roles[running_actor].vgpu));
    if (now.defect == NO_RING && verdict == LEASE_CLOSED) {
        *duties = 0;
        if (explore_is_fresh())
            world.rings_owed[now.roles[running_actor].vgpu]--;
    }
    return verdict;
}

static void model_wait_end(const struct lease_participant *p, enum lease_how how, bool idle,
                           uint32_t *duties)
{
    lease_wait_end(p, how, idle && now.defect != END_DOES_NOT_RING, duties);
    in_wait = false;
    owe(*duties);
}

static void model_exit(const struct lease_participant *p, uint32_t predicted_us,
                       uint64_t submitted_ns, uint64_t completed_ns, bool idle, uint32_t *duties)
{
    lease_exit(p, predicted_us, submitted_ns, completed_ns, idle, duties);
    if (now.defect == EXIT_DOES_NOT_RING)
        *duties &= ~LEASE_DUTY_RING;
    if (now.defect == EXIT_FORGETS_ROOM)
        *duties &= ~LEASE_DUTY_ROOM;
    owe(*duties);
}

static void work_ends(const struct lease_participant *p, struct participant_local *l)
{
    const struct role *r = &now.roles[running_actor];

    if (explore_is_first()) /* the GPU is done before anybody hears of it */
        world.running[r->vgpu][r->slot]--;
    uint32_t duties = 0;
    model_exit(p, 1, 1, 2, l->jobs_left == 0, &duties);
    lease_do(p, DOORBELL(r->vgpu), duties);
}

enum { THREAD_START, THREAD_WORKS, LOOP_WAITS, LOOP_TRIES, GONE };

static void run_thread(const struct lease_participant *p, struct participant_local *l)
{
    if (l->pc == THREAD_START) {
        bool started = lease_acquire(p, DOORBELL(now.roles[running_actor].vgpu), 1, 0) == 0;

        l->pc = started ? THREAD_WORKS : GONE;
        l->jobs_left -= started;
    } else {
        work_ends(p, l);
        l->pc = l->jobs_left > 0 ? THREAD_START : GONE;
    }
}

/* The GL gate: comes back to its loop instead of blocking. */
static void run_loop(const struct lease_participant *p, struct participant_local *l, bool gives_up)
{
    const struct role *r = &now.roles[running_actor];
    uint32_t duties = 0;
    enum lease_verdict verdict = LEASE_CLOSED;

    if (l->pc == THREAD_WORKS) {
        work_ends(p, l);
        l->pc = l->jobs_left > 0 ? THREAD_START : GONE;
        return;
    }
    if (l->pc >= LOOP_WAITS && gives_up) {
        model_wait_end(p, LEASE_BY_EVENT, true, &duties);
        l->pc = GONE;
    } else if (l->pc >= LOOP_WAITS) {
        if (l->pc == LOOP_WAITS)
            event_read(&world.slot_event[r->vgpu][r->slot]);
        l->pc = LOOP_WAITS;
        verdict = model_enter(p, 1, &duties);
        lease_do(p, DOORBELL(r->vgpu), duties);
        duties = 0;
        if (verdict != LEASE_CLOSED)
            model_wait_end(p, LEASE_BY_EVENT, false, &duties);
    } else {
        verdict = model_enter(p, 1, &duties);
        lease_do(p, DOORBELL(r->vgpu), duties);
        duties = 0;
        if (verdict == LEASE_CLOSED) {
            enum lease_verdict begun = model_wait_begin(p, LEASE_BY_EVENT, &duties);

            l->pc = begun == LEASE_CLOSED ? LOOP_WAITS : begun == LEASE_OPEN ? LOOP_TRIES : GONE;
        }
    }
    lease_do(p, DOORBELL(r->vgpu), duties);
    if (verdict == LEASE_LOST)
        l->pc = GONE;
    if (verdict == LEASE_OPEN) {
        l->pc = THREAD_WORKS;
        l->jobs_left--;
    }
}

#endif
