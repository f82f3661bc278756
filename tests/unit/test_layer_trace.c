/* SPDX-License-Identifier: MIT */
/* What the Vulkan layer notes of the GPU's work for the trace, on a driver whose GPU the test
 * controls. */
#include "mediator/layer/clock.h"
#include "tests/unit/fake_vulkan.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct fake_work work = {0};

/* What the GPU did is noted, before the lease has it no more: each piece once, on its queue. */
static void test_is_noted(void **state)
{
    struct fake *f = *state;
    struct work w[4];
    uint64_t cursor = 0, lost = 0;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 1);
    assert_int_equal(w[0].queue, 0);
    assert_int_equal(w[0].submits, 1);
    assert_true(w[0].begin_ns > 0 && w[0].begin_ns <= w[0].end_ns);
    assert_int_equal(w[0].end_ns, fake_ack(f).last_completion_ns);
    /* Held ones from when they could go on; empty ones, which are no work, not at all. */
    lease_yield(&f->broker);
    assert_true(lease_settle(&f->broker));
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.idle = true}), VK_SUCCESS);
    assert_int_equal(fake_submit(f, 1, work), VK_SUCCESS);
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 0);
    fake_finish(1);
    uint64_t granted_ns = clock_now_ns();
    fake_grant(f);
    fake_await_started(2);
    fake_await_in_flight(f, 0);
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 1);
    assert_int_equal(w[0].queue, 1);
    assert_true(w[0].begin_ns >= granted_ns);
    assert_int_equal(lost, 0);
}

static uint64_t counted(const struct fake *f)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += f->ring->latency.buckets[i];
    return n;
}

/* From the call on, with the time that it was held. */
static void test_latency(void **state)
{
    struct fake *f = *state;
    struct work w[4];
    uint64_t cursor = 0, lost = 0;
    const uint64_t held_ns = 3000000;

    fake_grant(f);
    uint64_t begun_ns = clock_now_ns();
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(counted(f), 1);
    assert_int_equal(f->ring->latency.sum_ns, f->ring->latency.max_ns);
    assert_true(f->ring->latency.max_ns <= clock_now_ns() - begun_ns);
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 1);
    assert_int_equal(f->ring->latency.sum_ns, w[0].end_ns - w[0].begin_ns);
    uint64_t first_ns = f->ring->latency.sum_ns;
    lease_yield(&f->broker);
    assert_true(lease_settle(&f->broker));
    begun_ns = clock_now_ns();
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.idle = true}), VK_SUCCESS);
    assert_int_equal(fake_submit(f, 1, work), VK_SUCCESS);
    fake_finish(1);
    uint64_t asked_ns = clock_now_ns();
    while (clock_now_ns() - asked_ns < held_ns) /* no grant meanwhile */
        ;
    assert_int_equal(counted(f), 1);
    fake_grant(f);
    fake_await_started(2);
    fake_await_in_flight(f, 0);
    assert_int_equal(counted(f), 2);
    uint64_t second_ns = f->ring->latency.sum_ns - first_ns;
    assert_true(second_ns >= held_ns && second_ns <= clock_now_ns() - begun_ns);
    assert_true(f->ring->latency.max_ns >= second_ns);
    /* The trace has the GPU's part of it alone. */
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 1);
    assert_true(w[0].end_ns - w[0].begin_ns <= second_ns - held_ns);
}

static void submit_and_finish(void *opaque)
{
    (void)fake_submit(opaque, 0, work);
    fake_finish(1);
}

/* It comes and ends between the end of a wait and the look what has ended. */
static void test_ends_before_it_was_looked_for(void **state)
{
    struct fake *f = *state;
    struct work w[4];
    uint64_t cursor = 0, lost = 0;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    while (fake_waits() == 0)
        sched_yield();
    fake_call_after_wait(submit_and_finish, f);
    fake_finish(1);
    fake_await_started(2);
    fake_await_in_flight(f, 0);
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(w[i].begin_ns <= w[i].end_ns);
    assert_int_equal(counted(f), 2);
    assert_true(f->ring->latency.max_ns < UINT64_C(3600) * 1000000000);
}

static void test_is_lost_with_the_device(void **state)
{
    struct fake *f = *state;
    struct work w[4];
    uint64_t cursor = 0, lost = 0;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_lose_device();
    fake_await_in_flight(f, 0);
    /* It is over, too, but is not complete. */
    assert_int_equal(work_ring_take(f->ring, &cursor, w, 4, &lost), 1);
    assert_true(w[0].begin_ns <= w[0].end_ns);
    assert_int_equal(counted(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_is_noted), TEST(test_latency),
                                       TEST(test_ends_before_it_was_looked_for),
                                       TEST(test_is_lost_with_the_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
