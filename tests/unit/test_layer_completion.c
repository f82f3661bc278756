/* SPDX-License-Identifier: MIT */
/* Who sees that the gate's pieces have ended, and who is told, on a driver whose GPU the test
 * controls. */
#include "mediator/layer/submit.h"
#include "mediator/layer/wait.h"
#include "tests/unit/fake_vulkan.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct fake_work work = {0};

/* ---- who sees it ---------------------------------------------------------------------------- */

/* While they end one after the other, the driver has not to wake anybody for each. */
static void test_short_ones_are_looked_for(void **state)
{
    struct fake *f = *state;

    f->terms.ungated = true;
    fake_grant(f);
    fake_finish_when_looked_at();
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_await_in_flight(f, 0);
    assert_true(fake_waits() < 10);
}

/* One that does not end is waited for. */
static void test_long_ones_are_waited_for(void **state)
{
    struct fake *f = *state;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    while (fake_waits() == 0)
        sched_yield();
    fake_finish(1);
    fake_await_in_flight(f, 0);
}

/* ---- who sleeps until something ends --------------------------------------------------------- */

static void test_ends_are_told(void **state)
{
    struct fake *f = *state;
    VkSemaphore timeline = fake_semaphore(f, true), binary = fake_semaphore(f, false);
    /* Of these nobody but the GPU can learn. */
    const struct fake_work plain[] = {{0}, {.signal = binary}, {.wait = binary}};
    const struct fake_work awaited[] = {
        {.fence = true}, {.signal = timeline, .signal_value = 1}, {.idle = true, .fence = true}};

    fake_grant(f);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fake_submit(f, 0, plain[i]), VK_SUCCESS);
        fake_finish(1);
        fake_await_in_flight(f, 0);
    }
    assert_int_equal(eventcount_read(&f->completions), 0);
    for (unsigned i = 0; i < 3; i++) {
        /* The last one is no work, and ends with what was submitted before. */
        if (awaited[i].idle)
            assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
        assert_int_equal(fake_submit(f, 0, awaited[i]), VK_SUCCESS);
        fake_finish(1);
        fake_await_in_flight(f, 0);
        assert_int_equal(eventcount_read(&f->completions), i + 1);
    }
    /* Nor is nothing at all. */
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(submit_queue_submit(f->queues[0], 0, NULL, (VkFence)f), VK_SUCCESS);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(eventcount_read(&f->completions), 4);
    fake_free_semaphore(f, timeline);
    fake_free_semaphore(f, binary);
}

/* What was held is told of, too. */
static void test_ends_of_held_ones_are_told(void **state)
{
    struct fake *f = *state;

    assert_int_equal(fake_submit(f, 0, (struct fake_work){.fence = true}), VK_SUCCESS);
    assert_int_equal(eventcount_read(&f->completions), 0);
    fake_grant(f);
    fake_finish(1);
    fake_await_started(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(eventcount_read(&f->completions), 1);
}

static void *submit_while_others_sleep(void *opaque)
{
    struct fake *f = opaque;
    unsigned waits = fake_waits();

    while (!eventcount_is_wanted(&f->completions))
        sched_yield();
    fake_submit(f, 0, (struct fake_work){.fence = true});
    while (fake_waits() == waits)
        sched_yield();
    fake_finish(1);
    return NULL;
}

/* For who sleeps, even a short one is waited for in the driver. */
static void test_wanted_ends_are_waited_for(void **state)
{
    struct fake *f = *state;
    pthread_t thread;

    fake_grant(f);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t seen = eventcount_read(&f->completions);
        pthread_create(&thread, NULL, submit_while_others_sleep, f);
        while (eventcount_read(&f->completions) == seen)
            eventcount_wait(&f->completions, seen, 3600000000000ll);
        pthread_join(thread, NULL);
        fake_await_in_flight(f, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_short_ones_are_looked_for),
        TEST(test_long_ones_are_waited_for),
        TEST(test_ends_are_told),
        TEST(test_ends_of_held_ones_are_told),
        TEST(test_wanted_ends_are_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
