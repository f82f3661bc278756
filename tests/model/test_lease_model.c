/* SPDX-License-Identifier: MIT */
/*
 * All interleavings of the lease: an arbiter as simple as one can be, participants that block and
 * participants that must not, revocation, timers and deaths at any point. What is explored is
 * lease.c and lease_wait.c as they are; only their atomics and system calls are exchanged. In every
 * state reached:
 *   - work starts only while its vGPU is granted, only one vGPU is, and (unless the hand-over is
 *     early) nothing of another vGPU still runs; after a settle nothing starts until a grant;
 *   - the doorbell is rung as often as it is owed, which is once per wait;
 *   - where nothing more will happen by itself, nobody waits, nothing is in flight or running.
 * The same scenarios with one defect each show that these assertions find what they are for.
 */
#include "tests/model/lease_arbiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void *local(unsigned actor, size_t *ret_bytes)
{
    if (actor == BROKER) {
        *ret_bytes = sizeof(world.broker);
        return &world.broker;
    }
    *ret_bytes = sizeof(world.locals[actor]);
    return &world.locals[actor];
}

static unsigned threads_of(unsigned vgpu, unsigned slot)
{
    unsigned count = 0;

    for (unsigned a = 0; a < ACTORS; a++) {
        const struct role *r = &now.roles[a];

        count += (r->kind == THREAD || r->kind == LOOP || r->kind == GIVES_UP) && r->vgpu == vgpu &&
                 r->slot == slot;
    }
    return count;
}

static bool runnable(unsigned actor)
{
    enum kind kind = now.roles[actor].kind;

    /* The broker sees them there and nowhere else. */
    if ((kind == TIMER || kind == REVOKE) && (world.broker.pc != POLL || world.happened))
        return false;
    return !world.dead[actor] && world.locals[actor].pc != GONE && kind != NONE;
}

static void kill_slot(unsigned vgpu, unsigned slot)
{
    for (unsigned a = 0; a < ACTORS; a++) {
        enum kind kind = now.roles[a].kind;

        if ((kind == THREAD || kind == LOOP || kind == GIVES_UP) && now.roles[a].vgpu == vgpu &&
            now.roles[a].slot == slot) {
            world.dead[a] = true;
            world.sleeps_on[a] = world.sleeps_too[a] = NULL;
        }
    }
    world.running[vgpu][slot] = 0; /* the kernel has ended its GPU contexts */
    world.happened |= HAPPENED_DEATH(vgpu, slot);
}

static void run(unsigned actor)
{
    const struct role *r = &now.roles[actor];
    struct lease_participant p = participant_of(actor);
    struct participant_local *l = &world.locals[actor];

    running_actor = actor;
    in_wait = false;
    own_slot = r->kind >= THREAD && r->kind <= GIVES_UP && threads_of(r->vgpu, r->slot) == 1
                   ? p.slot
                   : NULL;
    switch (r->kind) {
    case BROKER_ROUNDS:
        run_broker();
        break;
    case THREAD:
        run_thread(&p, l);
        break;
    case LOOP:
    case GIVES_UP:
        run_loop(&p, l, r->kind == GIVES_UP);
        break;
    case KILL:
        kill_slot(r->vgpu, r->slot);
        l->pc = GONE;
        break;
    case TIMER:
        world.happened |= HAPPENED_TIMER;
        l->jobs_left--;
        l->pc = l->jobs_left > 0 ? THREAD_START : GONE;
        break;
    case REVOKE:
        world.happened |= HAPPENED_REVOKE(r->vgpu);
        l->pc = GONE;
        break;
    default:
        break;
    }
}

static uint64_t hash(void)
{
    const struct broker_local *l = &world.broker;
    uint64_t h = explore_mix(world.happened, (uint64_t)l->last << 32 | l->pc << 16 | l->v);

    h = explore_mix(h, (uint64_t)l->events << 32 | l->holder << 8 | l->wants[0] << 1 | l->wants[1]);
    h = explore_mix(h, (uint64_t)l->early << 32 | l->wakes);

    for (unsigned v = 0; v < VGPUS; v++) {
        const struct lease_broker *b = &world.broker.b[v];

        h = explore_mix(h, (uint64_t)world.grant[v].word << 32 | (b->word & 0xff));
        h = explore_mix(h, world.grant[v].max_in_flight);
        h = explore_mix(h, (uint64_t)world.doorbell[v] << 32 | (uint64_t)b->settled << 33 |
                               (uint64_t)world.settled[v] << 34 | (uint32_t)world.rings_owed[v]);
        for (unsigned s = 0; s < SLOTS; s++) {
            const struct lease_slot *slot = &ack_page(v)->slots[s];

            h = explore_mix(h, slot->load);
            h = explore_mix(h, (uint64_t)slot->owner << 32 | slot->waiters);
            h = explore_mix(h, (uint64_t)world.grant[v].generation[s] << 32 | b->generation[s]);
            h = explore_mix(h, (uint64_t)world.slot_event[v][s] << 32 | world.running[v][s]);
        }
    }
    for (unsigned a = 0; a < ACTORS; a++) {
        h = explore_mix(h, (uint64_t)world.locals[a].pc << 32 | world.locals[a].jobs_left);
        h = explore_mix(h, (uint64_t)(uintptr_t)world.sleeps_on[a] << 1 | world.dead[a]);
        h = explore_mix(h, (uintptr_t)world.sleeps_too[a]);
    }
    return h;
}

static void check_end(void)
{
    bool deaths = false;

    for (unsigned a = 1; a < ACTORS; a++) {
        enum kind kind = now.roles[a].kind;

        deaths |= world.dead[a];
        if ((kind == THREAD || kind == LOOP || kind == GIVES_UP) && runnable(a))
            explore_fail("somebody waits for ever");
    }
    for (unsigned v = 0; v < VGPUS; v++) {
        if (lease_state(&world.broker.b[v]) == LEASE_GRANTED &&
            world.grant[v].max_in_flight != now.max_in_flight)
            explore_fail("the bounds of an early hand-over stay");
        if (!deaths && world.rings_owed[v] != 0)
            explore_fail("a ring is still owed");
        if (lease_state(&world.broker.b[v]) == LEASE_YIELDING)
            explore_fail("a drain is not noticed");
        for (unsigned s = 0; s < SLOTS; s++) {
            const struct lease_slot *slot = &ack_page(v)->slots[s];

            if (slot->owner == (world.broker.b[v].generation[s] << 1 | LIVE) &&
                (slot->load != 0 || slot->waiters != 0))
                explore_fail("a slot is left in flight or waiting");
            if (world.running[v][s] != 0)
                explore_fail("work is left running");
        }
    }
}

static struct explore_result explore_scenario(const struct scenario *s)
{
    struct explore_model model = {
        .world = &world,
        .world_bytes = sizeof(world),
        .local = local,
        .actors = ACTORS,
        .runnable = runnable,
        .run = run,
        .preemptions = s->preemptions,
        .hash = hash,
        .check_end = check_end,
    };

    now = *s;
    bounds_change = now.early;
    now.roles[BROKER].kind = BROKER_ROUNDS;
    memset(&world, 0, sizeof(world));
    for (unsigned v = 0; v < VGPUS; v++) {
        lease_broker_init(&world.broker.b[v], &world.grant[v], ack_page(v), SLOTS, 0);
        world.settled[v] = true;
        world.grant[v].max_in_flight = now.max_in_flight;
        world.grant[v].max_predicted_us = 100;
    }
    while (model.actors > 1 && now.roles[model.actors - 1].kind == NONE)
        model.actors--;
    for (unsigned a = 1; a < model.actors; a++) {
        const struct role *r = &now.roles[a];

        world.locals[a].jobs_left = r->jobs;
        if (r->kind >= KILL)
            model.optional |= 1u << a;
        else /* lease_attach() has a test of its own */
            ack_page(r->vgpu)->slots[r->slot].owner = 1 << 1 | LIVE;
    }
    struct explore_result result = explore(&model);

    printf("%-40s %9llu states %9llu steps, depth %u%s%s\n", s->name,
           (unsigned long long)result.states, (unsigned long long)result.steps, result.depth,
           result.failure ? ": " : "", result.failure ? result.failure : "");
    return result;
}

/* ---- scenarios ------------------------------------------------------------------------------ */

#define A_THREAD(n) {.kind = THREAD, .vgpu = 0, .slot = 1, .jobs = (n)}
#define A_LOOP(n) {.kind = LOOP, .vgpu = 0, .slot = 0, .jobs = (n)}
#define B_THREAD(n) {.kind = THREAD, .vgpu = 1, .slot = 1, .jobs = (n)}
#define B_LOOP(n) {.kind = LOOP, .vgpu = 1, .slot = 0, .jobs = (n)}
#define TIMERS(n) {.kind = TIMER, .jobs = (n)}

/* Complete where no bound on preemptions is given. Sizes are chosen for all to take some seconds.
 */
static const struct scenario sound[] = {
    {"one vGPU, thread", {[1] = A_THREAD(2), TIMERS(2)}, 2},
    {"one vGPU, thread and loop", {[1] = A_THREAD(1), A_LOOP(1), TIMERS(1)}, 2},
    {"one slot, two threads, room for one", {[1] = A_THREAD(1), A_THREAD(1)}, 1},
    {"two vGPUs, thread against thread", {[1] = A_THREAD(2), B_THREAD(1), TIMERS(1)}, 2},
    {"two vGPUs, loop against thread", {[1] = A_LOOP(1), B_THREAD(2), TIMERS(1)}, 2},
    {"two vGPUs, loop against loop", {[1] = A_LOOP(2), B_LOOP(2), TIMERS(1)}, 2},
    {"early hand-over", {[1] = A_THREAD(1), B_THREAD(1), TIMERS(1)}, 2, .early = true},
    {"early hand-over to two threads",
     {[1] = A_THREAD(1), B_THREAD(1), B_THREAD(1), TIMERS(1)},
     2,
     .early = true,
     .preemptions = 1},
    {"early hand-over to a loop", {[1] = A_LOOP(1), B_LOOP(2), TIMERS(1)}, 2, .early = true},
    {"one gives up", {[1] = {.kind = GIVES_UP, .jobs = 1}, B_THREAD(1), TIMERS(1)}, 2},
    {"revocation", {[1] = A_THREAD(1), B_THREAD(1), {.kind = REVOKE}}, 2},
    {"revocation with a loop", {[1] = A_LOOP(1), B_THREAD(1), {.kind = REVOKE}}, 2},
    {"death", {[1] = A_THREAD(1), B_THREAD(1), {.kind = KILL, .slot = 1}}, 2},
    {"death of a loop, early", {[1] = A_LOOP(1), B_THREAD(1), {.kind = KILL}}, 2, .early = true},
    {"death beside another", {[1] = A_THREAD(1), A_LOOP(1), {.kind = KILL, .slot = 1}}, 2},
    {"three in one vGPU", {[1] = A_THREAD(1), A_THREAD(1), A_LOOP(1)}, 2, .preemptions = 3},
    {"two against one", {[1] = A_THREAD(1), A_LOOP(1), B_THREAD(1)}, 2, .preemptions = 3},
};

static void test_sound(void **state)
{
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
        struct explore_result result = explore_scenario(&sound[i]);

        if (result.failure)
            fail_msg("%s: %s\nsteps: %s", sound[i].name, result.failure, result.trace);
    }
}

#define A_AGAINST_B {[1] = A_THREAD(1), B_THREAD(1), TIMERS(1)}

static const struct {
    struct scenario scenario;
    const char *failure; /* that shows it; several may */
} defects[] = {
    {{"look, then count", A_AGAINST_B, 2, .defect = LOOKS_BEFORE_COUNTING}, "work starts"},
    {{"no look after the mark",
      {[1] = A_LOOP(1), A_THREAD(1), TIMERS(1)},
      2,
      .defect = NO_LOOK_AFTER_MARK},
     "somebody waits for ever"},
    {{"no ring", A_AGAINST_B, 2, .defect = NO_RING}, "somebody waits for ever"},
    {{"two rings", A_AGAINST_B, 2, .defect = RINGS_TWICE}, "a doorbell that nobody owed"},
    {{"no ring at the exit", A_AGAINST_B, 2, .defect = EXIT_DOES_NOT_RING},
     "a drain is not noticed"},
    {{"no wake for room", {[1] = A_THREAD(1), A_THREAD(1)}, 1, .defect = EXIT_FORGETS_ROOM},
     "somebody waits for ever"},
    {{"gives up in silence",
      {[1] = {.kind = GIVES_UP, .jobs = 1}, B_THREAD(1)},
      2,
      .defect = END_DOES_NOT_RING},
     "somebody waits for ever"},
    {{"settle, then yield", A_AGAINST_B, 2, .defect = SETTLES_BEFORE_YIELD},
     "work of two vGPUs runs"},
    {{"waiters, then grant", {[1] = A_THREAD(1), A_LOOP(1)}, 2, .defect = WAITERS_BEFORE_GRANT},
     "somebody waits for ever"},
    {{"a parked grant stays", A_AGAINST_B, 2, .defect = PARKED_IS_NOT_TAKEN},
     "somebody waits for ever"},
    {{"a grant to nobody stays",
      {[1] = {.kind = GIVES_UP, .jobs = 1}, B_THREAD(2), TIMERS(1)},
      2,
      .defect = GRANT_TO_NOBODY_STAYS},
     "somebody waits for ever"},
    {{"death ignored",
      {[1] = A_THREAD(1), B_THREAD(1), {.kind = KILL, .slot = 1}},
      2,
      .defect = DEATH_IS_IGNORED},
     "somebody waits for ever"},
    {{"early without a bound",
      {[1] = A_THREAD(1), B_THREAD(1), B_THREAD(1), TIMERS(1)},
      2,
      .early = true,
      .preemptions = 3,
      .defect = EARLY_IS_UNBOUNDED},
     "more than one job"},
    {{"early for good", A_AGAINST_B, 2, .early = true, .defect = EARLY_FOR_GOOD},
     "the bounds of an early hand-over stay"},
    {{"wider bounds in silence",
      {[1] = A_THREAD(1), B_THREAD(1), B_THREAD(1), TIMERS(1)},
      2,
      .early = true,
      .preemptions = 3,
      .defect = WIDENS_IN_SILENCE},
     "somebody sleeps though there is room"},
    {{"grant without settle", A_AGAINST_B, 2, .defect = GRANTS_WHILE_OTHERS_HAVE},
     "work of two vGPUs runs"},
};

static void test_defects_are_found(void **state)
{
    for (size_t i = 0; i < sizeof(defects) / sizeof(defects[0]); i++) {
        struct explore_result result = explore_scenario(&defects[i].scenario);

        if (!result.failure || !strstr(result.failure, defects[i].failure))
            fail_msg("%s: expected \"%s\", found \"%s\"", defects[i].scenario.name,
                     defects[i].failure, result.failure ? result.failure : "nothing");
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_defects_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
