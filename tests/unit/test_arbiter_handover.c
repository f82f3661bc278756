/* SPDX-License-Identifier: MIT */
/* The arbiter where GPUs are handed over early, and where renderers ring without end. */
#include "tests/unit/arbiter_parts.h"

#include "mediator/base/util.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include <cmocka.h>

/* ---- doorbells ------------------------------------------------------------------------------ */

struct ringer {
    pthread_t thread;
    int doorbell;
    bool stop;
};

static void *ring_on(void *opaque)
{
    struct ringer *r = opaque;

    while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
        eventfd_write(r->doorbell, 1);
    return NULL;
}

static void start_ringing(struct ringer *r, const struct part *p)
{
    *r = (struct ringer){.doorbell = p->fds.doorbell};
    assert_int_equal(pthread_create(&r->thread, NULL, ring_on, r), 0);
}

static void stop_ringing(struct ringer *r)
{
    __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
    pthread_join(r->thread, NULL);
}

/* One who rings in a loop is not heard more often than anybody may be, and others have the GPU. */
static void test_rings_in_a_loop(void **state)
{
    struct ringer ringer;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    uint64_t from_ns = part_now_ns();
    start_ringing(&ringer, &a);
    for (unsigned i = 0; i < 300 || part_stats(&a).floods == 0; i++) {
        assert_true(part_now_ns() - from_ns < TIMEOUT_MS * UINT64_C(1000000));
        part_enter(&b);
        part_end(&b, true);
    }
    uint64_t rings = part_stats(&a).rings, passed_ns = part_now_ns() - from_ns;
    stop_ringing(&ringer);
    assert_true(rings <= 64 + passed_ns / 250000 + 1);
    assert_int_equal(part_stats(&b).floods, 0);
    /* It is heard all the same when it wants something. */
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    part_end(&a, true);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
}

/* And while it rings: whom others wait for, and who wants the GPU. */
static void test_works_and_rings_in_a_loop(void **state)
{
    struct ringer ringer;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    start_ringing(&ringer, &a);
    for (unsigned i = 0; i < 20; i++) {
        part_enter(&a);
        assert_false(part_ask(&b));
        part_wait_for_state(&a, LEASE_YIELDING);
        part_end(&a, true);
        part_wait_for_state(&b, LEASE_GRANTED);
        assert_true(part_try_to_enter(&b));
        part_end(&b, true);
    }
    stop_ringing(&ringer);
    assert_true(part_stats(&a).floods > 0);
    part_leave(&a); /* deaf to it or not */
    part_enter(&b);
    part_end(&b, true);
}

/* Flags of the open file are the renderer's as much as ours: that a look would block hurts nobody.
 */
static void test_rings_in_a_loop_and_stops(void **state)
{
    struct ringer ringer;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    start_ringing(&ringer, &a);
    while (part_stats(&a).floods == 0)
        sched_yield();
    assert_int_equal(fcntl(a.fds.doorbell, F_SETFL, 0), 0);
    stop_ringing(&ringer);
    for (unsigned i = 0; i < 20; i++) {
        part_enter(&b);
        part_end(&b, true);
        part_enter(&a);
        part_end(&a, true);
    }
}

/* ---- early hand-over ------------------------------------------------------------------------ */

static uint32_t bound_of(const struct part *p)
{
    return __atomic_load_n(&p->grant->max_in_flight, __ATOMIC_ACQUIRE);
}

static void wait_for_full_bounds(const struct part *p)
{
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (bound_of(p) == 1) {
        assert_true(part_now_ns() < deadline);
        sched_yield();
    }
}

/* a leaves with one job on the GPU, and b has submitted one. */
static void hand_over_early(uint64_t reset_after_ns)
{
    part_open_early_arbiter(reset_after_ns);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
}

static void test_early(void **state)
{
    uint32_t duties = 0;
    struct arbiter_totals totals;

    hand_over_early(0);
    assert_int_equal(bound_of(&b), 1);
    assert_int_equal(lease_enter(&b.lease, 0, &duties), LEASE_FULL);
    assert_int_equal(part_stats(&b).busy_ns, 0);
    assert_int_equal(part_stats(&b).sched.gpu_ns, 0);
    assert_int_equal(part_stats(&b).sched.state, SCHED_RUNNING);
    uint64_t left_ns = part_now_ns();
    part_end(&a, true);
    wait_for_full_bounds(&b);
    assert_int_equal(part_state(&b), LEASE_GRANTED);
    part_end(&b, true);
    assert_true(part_stats(&b).busy_ns <= part_now_ns() - left_ns); /* a's time is not b's */
    arbiter_read_totals(arbiter, &totals);
    assert_int_equal(totals.handoff.buckets[0], 1); /* the GPU went on at once */
    part_detach(&a);
    kill(a.pid, SIGKILL);
    part_assert_killed(&a);
}

/* Who is quick beside the one that leaves has not had that for nothing. */
static void test_early_and_done(void **state)
{
    hand_over_early(0);
    uint64_t from_ns = part_now_ns();
    while (part_now_ns() - from_ns < 2000000)
        ;
    part_end(&b, false);
    assert_true(part_stats(&b).sched.gpu_ns >= 2000000);
    part_end(&a, true);
    part_enter(&b);
    part_end(&b, true);
    part_detach(&a);
    kill(a.pid, SIGKILL);
    part_assert_killed(&a);
}

/* What is completed after the last job of the one that leaves, before the arbiter has seen either,
 * was in its way: it is not charged for that. */
static void test_early_behind_the_last_job(void **state)
{
    uint32_t duties = 0;

    hand_over_early(0);
    uint64_t from_ns = part_now_ns();
    while (part_now_ns() - from_ns < 5000000)
        ;
    uint64_t end_ns = part_now_ns();
    lease_exit(&a.lease, 0, a.entered_ns, end_ns - 100000, true, &duties);
    lease_exit(&b.lease, 0, b.entered_ns, end_ns, true, &duties);
    assert_true(b.ack->slots[LEASE_SLOT_GL].busy_ns >= 5000000);
    assert_true(part_stats(&b).sched.gpu_ns <= 100000);
    lease_do(&a.lease, a.fds.doorbell, duties);
    part_enter(&b);
    part_end(&b, true);
    part_detach(&a);
    kill(a.pid, SIGKILL);
    part_assert_killed(&a);
}

/* More than a last job is too much. */
static void test_not_early_before_the_last_job(void **state)
{
    part_open_early_arbiter(0);
    part_join(&a, "a");
    part_join(&b, "b");
    struct part w = part_worker(&a, 1);
    part_enter(&a);
    assert_true(part_try_to_enter(&w));
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    assert_int_equal(part_stats(&a).in_flight, 2); /* and the arbiter has decided by now */
    assert_int_equal(part_state(&b), LEASE_IDLE);
    part_end(&w, true);
    part_end(&a, true);
    part_wait_for_state(&b, LEASE_GRANTED);
    wait_for_full_bounds(&b);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
}

static void *acquire(void *opaque)
{
    struct part *p = opaque;

    return (void *)(intptr_t)lease_acquire(&p->lease, p->fds.doorbell, 0, 0);
}

/* A thread that had no room then has it as soon as the other one has left, not when something of
 * its own vGPU has ended. */
static void test_early_and_waits_for_room(void **state)
{
    pthread_t thread;
    void *result;

    hand_over_early(0);
    struct part w = part_worker(&b, 1);
    assert_true(part_try_to_enter(&w));
    assert_int_equal(pthread_create(&thread, NULL, acquire, &w), 0);
    while (!(__atomic_load_n(&b.ack->slots[1].load, __ATOMIC_SEQ_CST) & LEASE_LOAD_ROOM))
        sched_yield();
    assert_int_equal(part_stats(&b).in_flight, 2);
    part_end(&a, true);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, 0);
    assert_int_equal(part_stats(&b).in_flight, 3);
    part_end(&w, false);
    part_end(&w, true);
    part_end(&b, true);
    part_detach(&a);
    kill(a.pid, SIGKILL);
    part_assert_killed(&a);
}

/* It is the one who leaves that keeps the GPU, and is killed for it. */
static void test_early_beside_one_that_hangs(void **state)
{
    hand_over_early(100000000);
    part_assert_killed(&a);
    assert_int_equal(part_stats(&b).resets, 0);
    assert_int_equal(part_stats(&b).sched.state, SCHED_RUNNING);
    part_detach(&a);
    wait_for_full_bounds(&b);
    part_end(&b, true);
    assert_int_equal(part_stats(&a).resets, 1);
}

static void test_early_and_gone(void **state)
{
    hand_over_early(0);
    part_detach(&b); /* a may have the GPU again */
    part_end(&a, true);
    part_attach(&b);
    part_enter(&b);
    wait_for_full_bounds(&b);
    part_end(&b, true);
    part_detach(&a);
    kill(a.pid, SIGKILL);
    part_assert_killed(&a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, part_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_rings_in_a_loop),
        TEST(test_works_and_rings_in_a_loop),
        TEST(test_rings_in_a_loop_and_stops),
        TEST(test_early),
        TEST(test_early_and_done),
        TEST(test_early_behind_the_last_job),
        TEST(test_early_and_waits_for_room),
        TEST(test_not_early_before_the_last_job),
        TEST(test_early_beside_one_that_hangs),
        TEST(test_early_and_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
