/* SPDX-License-Identifier: MIT */
/*
 * What the Vulkan layer's gate decides, on a driver whose GPU the test controls: who starts when,
 * what is in flight, and that nothing waits for itself. On a real driver: tests/layer.
 */
#include "mediator/layer/submit.h"
#include "mediator/layer/wait.h"
#include "tests/unit/fake_vulkan.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct fake_work work = {0};

/* ---- grant and bounds ----------------------------------------------------------------------- */

static void test_passes_while_granted(void **state)
{
    struct fake *f = *state;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(fake_started(), 1);
    assert_int_equal(fake_ack(f).in_flight, 1);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_ack(f).submits, 1);
    assert_int_equal(fake_ack(f).completions, 1);
    assert_int_equal(f->memory.slots[FAKE_SLOT].submits, 1);
    assert_int_equal(f->memory.slots[FAKE_SLOT].batches, 1);
}

static void test_is_held_without_grant(void **state)
{
    struct fake *f = *state;

    /* It returns at once, all the same. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(fake_started(), 0);
    assert_int_equal(fake_ack(f).in_flight, 0);
    fake_grant(f);
    fake_finish(3);
    fake_await_started(3);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_ack(f).completions, 3);
}

static void test_bound_in_flight(void **state)
{
    struct fake *f = *state;

    f->terms.max_in_flight = 2;
    fake_grant(f);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    for (unsigned left = 5; left > 0; left--) {
        fake_await_in_flight(f, left < 2 ? left : 2);
        assert_true(fake_started() <= 5 - left + 2);
        fake_finish(1);
    }
    fake_await_started(5);
    fake_await_in_flight(f, 0);
}

static void test_yield_keeps_out(void **state)
{
    struct fake *f = *state;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    lease_yield(&f->broker);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(fake_submit(f, 1, work), VK_SUCCESS);
    assert_false(lease_settle(&f->broker));
    assert_int_equal(fake_started(), 1);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_true(lease_settle(&f->broker));
    assert_int_equal(fake_started(), 1);
    fake_grant(f);
    fake_finish(2);
    fake_await_started(3);
    fake_await_in_flight(f, 0);
}

static void test_short_ones_ride(void **state)
{
    struct fake *f = *state;

    f->terms.max_in_flight = 2;
    fake_grant(f);
    /* Nothing is known yet of how long they are; then that they are short. */
    fake_finish(1);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_await_in_flight(f, 0);
    struct gate_queue *q = device_queue(f->queues[0]);
    while (__atomic_load_n(&q->harvesting, __ATOMIC_ACQUIRE))
        ;
    __atomic_store_n(&q->typical_us, 10, __ATOMIC_RELEASE);
    for (int i = 0; i < 10; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_true(fake_ack(f).in_flight < 3);
    assert_int_equal(__atomic_load_n(&f->device->held, __ATOMIC_ACQUIRE), 0);
    assert_int_equal(fake_ack(f).submits, 2);
    /* Together they are as long as one may be: the next needs a place of its own. */
    for (int i = 0; i < 45; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_await_in_flight(f, 2);
    assert_true(__atomic_load_n(&f->device->held, __ATOMIC_ACQUIRE) > 0);
    fake_finish(55);
    fake_await_started(56);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_finished(), 56);
}

static void test_held_ones_ride(void **state)
{
    struct fake *f = *state;

    __atomic_store_n(&device_queue(f->queues[0])->typical_us, 10, __ATOMIC_RELEASE);
    for (int i = 0; i < 30; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(__atomic_load_n(&f->device->held, __ATOMIC_ACQUIRE), 2);
    fake_set_submit_result(VK_ERROR_OUT_OF_DEVICE_MEMORY);
    assert_int_equal(fake_submit(f, 0, work), VK_ERROR_OUT_OF_DEVICE_MEMORY);
    fake_set_submit_result(VK_SUCCESS);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_grant(f);
    fake_finish(31);
    fake_await_started(31);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_ack(f).submits, 2);
    assert_int_equal(fake_finished(), 31);
}

static void test_contention_splits(void **state)
{
    struct fake *f = *state;
    const VkCommandBuffer commands = VK_NULL_HANDLE;
    VkSubmitInfo infos[20];

    for (int i = 0; i < 20; i++)
        infos[i] = (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                  .commandBufferCount = 1,
                                  .pCommandBuffers = &commands};
    fake_grant(f);
    assert_int_equal(submit_queue_submit(f->queues[0], 3, infos, VK_NULL_HANDLE), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 1);
    fake_finish(3);
    fake_await_in_flight(f, 0);
    lease_set_contended(&f->broker, true);
    assert_int_equal(submit_queue_submit(f->queues[0], 3, infos, VK_NULL_HANDLE), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 3);
    assert_int_equal(fake_ack(f).cuts, 2);
    fake_finish(3);
    fake_await_in_flight(f, 0);
    /* More than fits on the stack at a time. */
    lease_set_contended(&f->broker, false);
    assert_int_equal(submit_queue_submit(f->queues[0], 20, infos, VK_NULL_HANDLE), VK_SUCCESS);
    fake_finish(20);
    fake_await_started(26);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_finished(), 26);
}

/* Alone, too, no more goes together than may be on the GPU when somebody comes. */
static void test_long_ones_go_in_parts(void **state)
{
    struct fake *f = *state;
    const VkCommandBuffer commands = VK_NULL_HANDLE;
    VkSubmitInfo infos[10];

    for (int i = 0; i < 10; i++)
        infos[i] = (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                  .commandBufferCount = 1,
                                  .pCommandBuffers = &commands};
    f->terms.max_predicted_us = 2000;
    fake_grant(f);
    struct gate_queue *q = device_queue(f->queues[0]);
    __atomic_store_n(&q->typical_us, 500, __ATOMIC_RELEASE);
    assert_int_equal(gate_part_max(q), 4);
    assert_int_equal(submit_queue_submit(f->queues[0], 10, infos, VK_NULL_HANDLE), VK_SUCCESS);
    /* Four, which fill the bound; all others are held. */
    assert_int_equal(fake_ack(f).in_flight, 1);
    assert_int_equal(fake_ack(f).predicted_us, 2000);
    fake_finish(10);
    fake_await_started(10);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_finished(), 10);
    assert_int_equal(fake_ack(f).cuts, 0);
    __atomic_store_n(&q->typical_us, 3000, __ATOMIC_RELEASE);
    assert_int_equal(gate_part_max(q), 1);
}

static void test_what_is_no_work(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true);
    uint64_t value = 0;

    /* No grant, and none asked for. */
    assert_int_equal(submit_queue_submit(f->queues[0], 0, NULL, VK_NULL_HANDLE), VK_SUCCESS);
    assert_int_equal(
        fake_submit(f, 0, (struct fake_work){.signal = t, .signal_value = 7, .idle = true}),
        VK_SUCCESS);
    assert_int_equal(wait_semaphore_value(f->device->handle, t, &value), VK_SUCCESS);
    assert_int_equal(value, 7);
    assert_false(lease_wants(&f->broker));
    assert_int_equal(fake_ack(f).submits, 0);
    fake_free_semaphore(f, t);
}

/* ---- order ---------------------------------------------------------------------------------- */

/* The first waits for what the second signals. With one place in flight it must not have it. */
static void test_wait_before_signal(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true);

    f->terms.max_in_flight = 1;
    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, (struct fake_work){.wait = t, .wait_value = 1}), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 0);
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.signal = t, .signal_value = 1}),
                     VK_SUCCESS);
    assert_int_equal(fake_started(), 1);
    fake_finish(2);
    fake_await_started(2);
    fake_await_in_flight(f, 0);
    fake_free_semaphore(f, t);
}

/* The guest signals whenever it likes; meanwhile the GPU can be given to others. */
static void test_wait_for_the_guest(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true);

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, (struct fake_work){.wait = t, .wait_value = 1}), VK_SUCCESS);
    lease_yield(&f->broker);
    assert_true(lease_settle(&f->broker));
    fake_signal(f, t, 1);
    while (!lease_wants(&f->broker))
        ;
    assert_int_equal(fake_started(), 0);
    fake_grant(f);
    fake_finish(1);
    fake_await_started(1);
    fake_await_in_flight(f, 0);
    fake_free_semaphore(f, t);
}

/* What work in flight will signal is as good as signalled. */
static void test_signal_in_flight(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true);

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, (struct fake_work){.signal = t, .signal_value = 1}),
                     VK_SUCCESS);
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.wait = t, .wait_value = 1}), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 2);
    assert_int_equal(__atomic_load_n(&f->device->held, __ATOMIC_ACQUIRE), 0);
    fake_finish(2);
    fake_await_in_flight(f, 0);
    fake_free_semaphore(f, t);
}

/* The second of a batch waits for what another queue does after the first of it. */
static void test_batch_by_way_of_another_queue(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true), u = fake_semaphore(f, true);
    static const uint64_t one = 1;
    static const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkCommandBuffer commands = VK_NULL_HANDLE;
    const VkTimelineSemaphoreSubmitInfo signals = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &one};
    const VkTimelineSemaphoreSubmitInfo waits = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = 1,
        .pWaitSemaphoreValues = &one};
    const VkSubmitInfo infos[] = {{.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                   .pNext = &signals,
                                   .commandBufferCount = 1,
                                   .pCommandBuffers = &commands,
                                   .signalSemaphoreCount = 1,
                                   .pSignalSemaphores = &t},
                                  {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                   .pNext = &waits,
                                   .waitSemaphoreCount = 1,
                                   .pWaitSemaphores = &u,
                                   .pWaitDstStageMask = &all,
                                   .commandBufferCount = 1,
                                   .pCommandBuffers = &commands}};

    fake_grant(f);
    assert_int_equal(submit_queue_submit(f->queues[0], 2, infos, VK_NULL_HANDLE), VK_SUCCESS);
    assert_int_equal(
        fake_submit(f, 1,
                    (struct fake_work){.wait = t, .wait_value = 1, .signal = u, .signal_value = 1}),
        VK_SUCCESS);
    fake_finish(3);
    fake_await_started(3);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_ack(f).cuts, 0);
    fake_free_semaphore(f, t);
    fake_free_semaphore(f, u);
}

/* A binary semaphore's signal is held: who waits for it has to be, too. */
static void test_binary_behind_held(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true), s = fake_semaphore(f, false);

    f->terms.max_in_flight = 1;
    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, (struct fake_work){.wait = t, .wait_value = 1, .signal = s}),
                     VK_SUCCESS);
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.wait = s}), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 0);
    fake_signal(f, t, 1);
    fake_finish(2);
    fake_await_started(2);
    fake_await_in_flight(f, 0);
    /* Nothing is remembered of it: */
    assert_int_equal(fake_submit(f, 0, (struct fake_work){.signal = s}), VK_SUCCESS);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.wait = s}), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 1);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    fake_free_semaphore(f, t);
    fake_free_semaphore(f, s);
}

/* The signal of no work at all, which waits: its order is kept all the same. */
static void test_no_work_that_waits(void **state)
{
    struct fake *f = *state;
    VkSemaphore t = fake_semaphore(f, true), s = fake_semaphore(f, false);

    f->terms.max_in_flight = 1;
    fake_grant(f);
    assert_int_equal(
        fake_submit(f, 0,
                    (struct fake_work){.wait = t, .wait_value = 1, .signal = s, .idle = true}),
        VK_SUCCESS);
    assert_int_equal(fake_submit(f, 1, (struct fake_work){.wait = s}), VK_SUCCESS);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 0);
    fake_signal(f, t, 1);
    fake_finish(2);
    fake_await_started(2);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_ack(f).submits, 2);
    fake_free_semaphore(f, t);
    fake_free_semaphore(f, s);
}

/* ---- what goes wrong ------------------------------------------------------------------------ */

static void test_driver_refuses(void **state)
{
    struct fake *f = *state;

    for (int granted = 0; granted < 2; granted++) {
        fake_set_submit_result(VK_ERROR_OUT_OF_DEVICE_MEMORY);
        assert_int_equal(fake_submit(f, 0, work), VK_ERROR_OUT_OF_DEVICE_MEMORY);
        assert_int_equal(fake_submit(f, 0, work), VK_ERROR_OUT_OF_DEVICE_MEMORY);
        fake_set_submit_result(VK_SUCCESS);
        if (!granted)
            fake_grant(f);
        fake_await_in_flight(f, 0);
    }
    /* All is as before. */
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_finish(1);
    fake_await_started(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_ack(f).completions, fake_ack(f).submits);
}

static void test_device_lost(void **state)
{
    struct fake *f = *state;

    fake_grant(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    assert_int_equal(fake_ack(f).in_flight, 3);
    fake_lose_device();
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_submit(f, 0, work), VK_ERROR_DEVICE_LOST);
    assert_int_equal(wait_device_idle(f->device->handle), VK_ERROR_DEVICE_LOST);
}

/* The layer leaves both to the end of the process, on purpose. */
static void tidy_up(struct gate_queue *q, struct layer_device *d)
{
    d->table.DestroySemaphore(d->handle, q->open, NULL);
    d->table.DestroySemaphore(d->handle, q->done, NULL);
    free(q->pieces[0].held);
    free(q);
    handle_map_finish(&d->memories);
    handle_map_finish(&d->timelines);
    handle_map_finish(&d->binaries);
    free(d);
}

/* What is held when the GPU is taken away stays with the driver; nobody waits for it. */
static void test_revoked(void **state)
{
    struct fake *f = *state;
    struct layer_device *d = f->device;

    fake_grant(f);
    assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    lease_yield(&f->broker);
    assert_int_equal(fake_submit(f, 1, work), VK_SUCCESS);
    fake_revoke(f);
    assert_int_equal(fake_submit(f, 0, work), VK_ERROR_DEVICE_LOST);
    assert_int_equal(wait_device_idle(d->handle), VK_ERROR_DEVICE_LOST);
    assert_int_equal(fake_ack(f).in_flight, 1);
    fake_finish(1);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_started(), 1);
    struct gate_queue *kept = device_queue(f->queues[1]);
    device_destroy(d->handle, NULL);
    f->device = NULL;
    assert_int_equal(f->memory.slots[FAKE_SLOT].devices, 0);
    tidy_up(kept, d);
}

static void test_more_than_the_ring(void **state)
{
    struct fake *f = *state;

    f->terms.ungated = true;
    fake_grant(f);
    fake_finish(GATE_PIECES + 500);
    for (unsigned i = 0; i < GATE_PIECES + 500; i++)
        assert_int_equal(fake_submit(f, 0, work), VK_SUCCESS);
    fake_await_in_flight(f, 0);
    assert_int_equal(fake_finished(), GATE_PIECES + 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_passes_while_granted),
        TEST(test_is_held_without_grant),
        TEST(test_bound_in_flight),
        TEST(test_yield_keeps_out),
        TEST(test_short_ones_ride),
        TEST(test_held_ones_ride),
        TEST(test_contention_splits),
        TEST(test_long_ones_go_in_parts),
        TEST(test_what_is_no_work),
        TEST(test_wait_before_signal),
        TEST(test_wait_for_the_guest),
        TEST(test_signal_in_flight),
        TEST(test_batch_by_way_of_another_queue),
        TEST(test_binary_behind_held),
        TEST(test_no_work_that_waits),
        TEST(test_driver_refuses),
        TEST(test_device_lost),
        TEST(test_revoked),
        TEST(test_more_than_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
