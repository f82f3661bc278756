/* SPDX-License-Identifier: MIT */
/*
 * What of the vtest server depends on the GPU's time: answers that wait for a fence, and what may
 * happen meanwhile.
 */
#include "mediator/renderer/latency.h"
#include "mediator/renderer/vtest_internal.h"
#include "tests/unit/gate_fixture.h"
#include "tests/unit/vtest_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static int finish(struct backend *b, unsigned timeout_us)
{
    server.n_finish++;
    return server.finish_result;
}

static void submit(void)
{
    static const uint32_t message[] = {1, VTEST_SUBMIT_CMD, 0};
    say(message, sizeof(message));
}

static void ask_busy(bool wait)
{
    const uint32_t message[] = {2, VTEST_RESOURCE_BUSY_WAIT, 0, wait};
    say(message, sizeof(message));
}

static void assert_answer(uint32_t busy)
{
    uint32_t answer[3];
    assert_int_equal(recv(server.sock, answer, sizeof(answer), MSG_DONTWAIT), sizeof(answer));
    assert_int_equal(answer[0], 1);
    assert_int_equal(answer[1], VTEST_RESOURCE_BUSY_WAIT);
    assert_int_equal(answer[2], busy);
    assert_silent();
}

static void complete_fence(void)
{
    gpu_fence_queue_events.fence_done(server.queue, 0, 0, server.last_fence);
    turn();
}

static void hang_up(void)
{
    close(server.sock);
    server.sock = -1;
    turn();
    assert_true(server.ended);
}

static uint64_t latencies(void)
{
    uint64_t n = 0;
    for (size_t i = 0; i < BROKER_LATENCY_BUCKETS; i++)
        n += server.stats.latency[i];
    return n;
}

/* Batches of a message are taken up with it. */
static void test_time_of_batches(void **state)
{
    static const uint32_t message[] = {15, VTEST_SUBMIT_CMD2,
                                       2,  0,
                                       13, 1,
                                       13, 0,
                                       0, /* a batch in version 3 */
                                       0,  14,
                                       1,  14,
                                       0,  0,
                                       0,  0};
    uint64_t begun_ns = latency_clock_ns();

    say(message, sizeof(message));
    ask_busy(true);
    complete_fence();
    assert_answer(0);
    assert_int_equal(latencies(), 2);
    assert_true(server.stats.latency_max_ns <= latency_clock_ns() - begun_ns);
}

static void test_idle_needs_no_fence(void **state)
{
    ask_busy(true);
    assert_answer(0);
    ask_busy(false);
    assert_answer(0);
    assert_int_equal(server.n_fences, 0);
}

static void test_answer_waits_for_the_fence(void **state)
{
    submit();
    ask_busy(true);
    assert_int_equal(server.n_fences, 1);
    assert_silent();
    complete_fence();
    assert_answer(0);
    ask_busy(true);
    assert_answer(0);
    assert_int_equal(server.n_fences, 1);
}

static void test_question_is_answered_at_once(void **state)
{
    submit();
    ask_busy(false);
    assert_answer(1);
    ask_busy(false);
    assert_answer(1);
    assert_int_equal(server.n_fences, 1);
    complete_fence();
    ask_busy(false);
    assert_answer(0);
}

/* Work after the fence has one of its own, and nobody is told before that. */
static void test_work_after_the_fence(void **state)
{
    submit();
    ask_busy(false);
    assert_answer(1);
    submit();
    submit();
    ask_busy(true);
    assert_int_equal(server.n_fences, 1);
    assert_int_equal(latencies(), 0);
    complete_fence();
    assert_silent();
    assert_int_equal(latencies(), 1);
    assert_int_equal(server.n_fences, 2);
    complete_fence();
    assert_answer(0);
    assert_int_equal(latencies(), 3);
    /* The trace has a fence for what it was for. */
    struct work work[2];
    uint64_t cursor = 0, lost = 0;
    assert_int_equal(work_ring_take(&server.ring, &cursor, work, 2, &lost), 2);
    assert_int_equal(work[0].submits, 1);
    assert_int_equal(work[1].submits, 2);
    assert_true(work[0].begin_ns <= work[0].end_ns && work[1].begin_ns <= work[1].end_ns);
}

static void test_what_comes_meanwhile_is_handled_afterwards(void **state)
{
    submit();
    ask_busy(true);
    for (unsigned i = 0; i < 10; i++)
        submit(); /* turn() fails if this keeps the event loop busy */
    ask_busy(false);
    assert_silent();
    assert_int_equal(server.stats.submits, 1);
    complete_fence();
    uint32_t answers[6];
    assert_int_equal(recv(server.sock, answers, sizeof(answers), MSG_DONTWAIT), sizeof(answers));
    assert_int_equal(answers[2], 0);
    assert_int_equal(answers[5], 1);
    assert_int_equal(server.stats.submits, 11);
}

static void test_the_client_goes_meanwhile(void **state)
{
    submit();
    ask_busy(true);
    submit();
    hang_up();
    assert_false(server.broken);
    assert_int_equal(server.stats.rejected, 0);
    complete_fence(); /* of nobody */
}

static void test_the_short_way(void **state)
{
    server.ops.finish = finish;
    server.finish_result = 1;
    submit();
    ask_busy(true);
    assert_answer(0);
    ask_busy(false);
    assert_answer(0);
    assert_int_equal(server.n_fences, 0);
    assert_int_equal(latencies(), 1);
    assert_int_equal(server.ring.next, 1);

    server.finish_result = 0;
    unsigned before = server.n_finish;
    submit();
    assert_true(server.n_finish > before); /* started before anybody asks */
    ask_busy(true);
    assert_silent();
    assert_int_equal(server.n_fences, 1);
    complete_fence();
    assert_answer(0);
}

static void test_a_fence_that_can_not_be_had(void **state)
{
    server.fence_result = -EIO;
    submit();
    ask_busy(true);
    turn();
    assert_true(server.ended && server.broken);
    assert_non_null(strstr(server.reason, "fence"));
}

/* ---- under the lease ------------------------------------------------------------------------- */

static struct {
    const struct gpu_device_ops *own; /* the session's */
    unsigned flushes;
} wrapped;

/* Others have not been let on yet, and the client has been told. */
static void look_at_flush(void *opaque)
{
    if (wrapped.own->flush)
        wrapped.own->flush(opaque);
    wrapped.flushes++;
    assert_answer(0);
    assert_int_equal(ack()->in_flight, 1);
}

static void test_told_before_others_are_let_on(void **state)
{
    struct gpu_device *dev = server.session->device;
    struct gpu_device_ops ops = *dev->ops;

    wrapped.own = dev->ops;
    wrapped.flushes = 0;
    ops.flush = look_at_flush;
    dev->ops = &ops;
    grant(true);
    submit();
    ask_busy(true);
    assert_silent();
    submit(); /* is handled afterwards */
    assert_int_equal(ack()->in_flight, 1);
    assert_int_equal(server.stats.submits, 1);
    complete_fence();
    assert_int_equal(wrapped.flushes, 1);
    assert_int_equal(server.stats.submits, 2);

    /* The same where the main thread sees the end itself, of work that came after the fence. */
    ask_busy(false);
    assert_answer(1);
    submit();
    server.ops.finish = finish;
    server.finish_result = 1;
    ask_busy(true);
    assert_int_equal(wrapped.flushes, 2);
    assert_int_equal(ack()->in_flight, 0);
    dev->ops = wrapped.own;
}

/* And nobody is told that the client has gone by then. */
static void test_gone_before_it_is_told(void **state)
{
    grant(true);
    submit();
    ask_busy(true);
    close(server.sock);
    server.sock = -1;
    complete_fence();
    assert_true(server.ended);
    assert_false(server.broken);
    assert_int_equal(ack()->in_flight, 0);
}

static void test_counters(void **state)
{
    static const uint32_t create[] = {11,  VTEST_RESOURCE_CREATE2, 7, 2, 1, 2, 16, 16, 1, 1, 0, 0,
                                      1024};
    static const uint32_t unref_none[] = {1, VTEST_RESOURCE_UNREF, 8};

    say(create, sizeof(create));
    assert_int_equal(server.stats.driver_ok, 1);
    assert_int_equal(server.stats.contexts, 1);
    assert_int_equal(server.stats.resources, 1);
    assert_in_range(server.stats.resource_bytes, 16 * 16 * 4 + 4096, 8192);
    char byte;
    assert_int_equal(recv(server.sock, &byte, 1, MSG_DONTWAIT), 1);
    submit();
    ask_busy(true);
    complete_fence();
    assert_answer(0);
    assert_int_equal(server.stats.commands, 4);
    assert_int_equal(server.stats.submits, 1);
    assert_int_equal(server.stats.fences, 1);
    assert_int_equal(server.stats.rejected, 0);
    say(unref_none, sizeof(unref_none));
    turn();
    assert_true(server.ended && server.broken);
    assert_string_equal(server.reason, "RESOURCE_UNREF: no resource 8");
    assert_int_equal(server.stats.rejected, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, vtest_set_up, vtest_tear_down)
#define TEST_GATED(f) cmocka_unit_test_setup_teardown(f, vtest_set_up_gated, vtest_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_idle_needs_no_fence),
        TEST(test_answer_waits_for_the_fence),
        TEST(test_question_is_answered_at_once),
        TEST(test_work_after_the_fence),
        TEST(test_time_of_batches),
        TEST(test_what_comes_meanwhile_is_handled_afterwards),
        TEST(test_the_client_goes_meanwhile),
        TEST(test_the_short_way),
        TEST(test_a_fence_that_can_not_be_had),
        TEST_GATED(test_told_before_others_are_let_on),
        TEST_GATED(test_gone_before_it_is_told),
        TEST(test_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
