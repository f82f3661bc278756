/* SPDX-License-Identifier: MIT */
/*
 * The Vulkan layer on a real driver, loaded by the real loader into a process that is not ours, as
 * the render server's workers are. What it decides is in tests/unit/test_layer_gate.c.
 */
#include "tests/layer/host.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)
#define READY "ready 0"
#define LOST "-4" /* VK_ERROR_DEVICE_LOST */

static int setup(void **state)
{
    struct host *h = calloc(1, sizeof(*h));

    assert_non_null(h);
    host_create(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    host_destroy(*state);
    free(*state);
    return 0;
}

/* ---- starting ------------------------------------------------------------------------------- */

static void test_without_renderer(void **state)
{
    struct host *h = *state;

    assert_string_equal(host_start(h, HOST_ABSENT, NULL), READY);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    assert_string_equal(host_ask(h, "destroy"), "destroy 0");
    assert_int_equal(host_ack(h)->submits, 0);
}

static void test_no_renderer_no_vulkan(void **state)
{
    struct host *h = *state;

    assert_string_equal(host_start(h, HOST_REFUSED, NULL), "instance -3");
    host_stop(h);
    assert_string_equal(host_start(h, HOST_HANGS_UP, NULL), "instance -3");
}

static void test_limits_without_lease(void **state)
{
    struct host *h = *state;

    h->memory->quota_bytes = 64 * MIB;
    assert_string_equal(host_start(h, HOST_WELCOME_UNGATED, NULL), READY);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    assert_string_equal(host_ask(h, "alloc %" PRIu64 " 0", 64 * MIB), "alloc -2");
    assert_int_equal(host_ack(h)->submits, 0);
}

/* ---- the lease ------------------------------------------------------------------------------ */

static void test_work_only_while_granted(void **state)
{
    struct host *h = *state;

    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    host_await_want(h);
    assert_string_equal(host_ask(h, "status"), "status 1"); /* VK_NOT_READY */
    assert_int_equal(host_ack(h)->submits, 0);
    host_grant(h);
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->submits, 1);
    assert_int_equal(host_ack(h)->completions, 1);
    assert_true(host_ack(h)->busy_ns > 0);
    /* With the grant there is nothing to wait for. */
    assert_string_equal(host_ask(h, "submit2 1"), "submit2 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->completions, 2);
    assert_int_equal(h->memory->slots[HOST_SLOT].submits, 2);
    assert_string_equal(host_ask(h, "destroy"), "destroy 0");
    assert_int_equal(h->memory->slots[HOST_SLOT].devices, 0);
    assert_int_equal(h->memory->used_bytes, 0);
}

static void test_yield_drains(void **state)
{
    struct host *h = *state;

    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    for (int i = 0; i < 4; i++)
        assert_string_equal(host_ask(h, "submit 1 2"), "submit 0");
    host_drain(h);
    assert_int_equal(host_ack(h)->in_flight, 0);
    uint64_t completions = host_ack(h)->completions;
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    host_await_want(h);
    assert_int_equal(host_ack(h)->completions, completions);
    host_grant(h);
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->completions, host_ack(h)->submits);
}

static void test_contention_splits(void **state)
{
    struct host *h = *state;

    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    assert_string_equal(host_ask(h, "submit 6 1"), "submit 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->submits, 1);
    h->terms.contended = true;
    host_drain(h);
    host_grant(h);
    assert_string_equal(host_ask(h, "submit 6 1"), "submit 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    while (host_ack(h)->in_flight > 0)
        ;
    assert_int_equal(host_ack(h)->submits, 7);
    assert_int_equal(host_ack(h)->cuts, 5);
}

static void test_few_in_flight(void **state)
{
    struct host *h = *state;

    h->terms.max_in_flight = 1;
    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    for (int i = 0; i < 20; i++)
        assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->completions, host_ack(h)->submits);
}

static void test_wait_before_signal(void **state)
{
    struct host *h = *state;

    h->terms.max_in_flight = 1;
    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    assert_string_equal(host_ask(h, "after 1 2 1"), "after 0");
    /* It waits for the guest, not for the GPU: it does not count as work, and keeps nobody out. */
    assert_int_equal(host_ack(h)->in_flight, 0);
    host_drain(h);
    host_grant(h);
    assert_string_equal(host_ask(h, "status"), "status 1");
    assert_string_equal(host_ask(h, "signal 1"), "signal 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->completions, 1);
    /* What is in flight signals soon enough. */
    assert_string_equal(host_ask(h, "after 2 3 1"), "after 0");
    assert_string_equal(host_ask(h, "after 3 4 1"), "after 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    assert_string_equal(host_ask(h, "idle"), "idle 0");
}

static void test_revoked(void **state)
{
    struct host *h = *state;

    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    host_await_want(h);
    host_tell(h, "wait");
    assert_true(host_is_silent(h));
    host_revoke(h);
    assert_string_equal(host_read(h), "wait " LOST);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit " LOST);
    assert_string_equal(host_ask(h, "status"), "status " LOST);
    assert_string_equal(host_ask(h, "value"), "value " LOST);
    assert_string_equal(host_ask(h, "idle"), "idle " LOST);
    assert_int_equal(host_ack(h)->in_flight, 0);
    assert_string_equal(host_ask(h, "destroy"), "destroy 0");
    assert_int_equal(h->memory->used_bytes, 0);
}

static void test_destroyed_in_flight(void **state)
{
    struct host *h = *state;

    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    for (int i = 0; i < 4; i++)
        assert_string_equal(host_ask(h, "submit 1 2"), "submit 0");
    assert_string_equal(host_ask(h, "destroy"), "destroy 0");
    assert_int_equal(host_ack(h)->in_flight, 0);
    assert_int_equal(host_ack(h)->completions, host_ack(h)->submits);
}

static void test_killed(void **state)
{
    struct host *h = *state;

    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    assert_string_equal(host_ask(h, "submit 1 200"), "submit 0");
    assert_int_equal(host_ack(h)->in_flight, 1);
    host_stop(h);
    lease_yield(&h->broker);
    assert_false(lease_settle(&h->broker));
    lease_slot_forget(&h->broker, HOST_SLOT);
    assert_true(lease_settle(&h->broker));
    assert_int_equal(host_ack(h)->in_flight, 0);
    assert_int_equal(h->memory->slots[HOST_SLOT].memory_bytes, h->memory->used_bytes);
    /* Its slot serves the next. */
    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    assert_string_equal(host_ask(h, "wait"), "wait 0");
}

static void test_without_timelines(void **state)
{
    struct host *h = *state;

    assert_string_equal(host_start(h, HOST_WELCOME, "--without-timelines"), READY);
    assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
    host_await_want(h);
    host_grant(h);
    assert_string_equal(host_ask(h, "wait"), "wait 0");
    host_await_idle(h);
    assert_int_equal(host_ack(h)->completions, 1);
}

/* By timestamps, which lavapipe has; by default its completions are watched. Nothing may be held
 * here: lavapipe gives no result of a query while anything is in its queue. */
static void test_stopwatch(void **state)
{
    struct host *h = *state;

    h->terms.ungated = true;
    setenv("ALIQUOT_LAYER_STOPWATCH", "1", 1);
    host_grant(h);
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    unsetenv("ALIQUOT_LAYER_STOPWATCH");
    for (int i = 0; i < 200; i++)
        assert_string_equal(host_ask(h, "submit2 0"), "submit2 0");
    uint64_t wall_ns = 0;
    assert_int_equal(sscanf(host_ask(h, "busy 2 10"), "ns %" SCNu64, &wall_ns), 1);
    host_await_idle(h);
    assert_true(host_ack(h)->busy_ns > 0);
    assert_int_equal(host_ack(h)->completions, host_ack(h)->submits);
}

/* The layer's own calls keep to the rules of those below it, whichever way a submission takes. */
static void test_valid(void **state)
{
    struct host *h = *state;

    h->validated = true;
    h->terms.max_in_flight = 2;
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(host_ask(h, "submit 3 1"), "submit 0");
        assert_string_equal(host_ask(h, "submit2 1"), "submit2 0");
        assert_string_equal(host_ask(h, "after %d %d 1", 2 * i + 1, 2 * i + 2), "after 0");
        if (i == 0)
            host_grant(h);
        assert_string_equal(host_ask(h, "signal %d", 2 * i + 1), "signal 0");
        assert_string_equal(host_ask(h, "wait"), "wait 0");
        /* lavapipe can tell of the fence's end, and then lose a signal of ours beside its own. */
        assert_string_equal(host_ask(h, "await %d", 2 * i + 2), "await 0");
        lease_set_contended(&h->broker, i % 2 == 0);
    }
    assert_string_equal(host_ask(h, "idle"), "idle 0");
    assert_true(host_is_valid(h));
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

/* The loader's list is what the layer leaves of it. */
static void test_chosen_gpu(void **state)
{
    static const struct {
        const char *gpu, *answer;
    } cases[] = {{"cpu", READY},
                 {"drm:226:128,pci:0:1:0.0", "gpus 0"},
                 {"only", "gpus 0"},
                 {"some", "instance -3"}};
    struct host *h = *state;

    host_grant(h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setenv(LAYER_GPU_ENV, cases[i].gpu, 1);
        assert_string_equal(host_start(h, HOST_WELCOME, NULL), cases[i].answer);
        host_stop(h);
        lease_slot_forget(&h->broker, HOST_SLOT);
    }
    unsetenv(LAYER_GPU_ENV);
}

/* lavapipe has the extension, and its queues take work whatever their priority. */
static void test_priorities(void **state)
{
    static const char *const priorities[] = {"low", "medium", "high"};
    struct host *h = *state;

    h->validated = true;
    host_grant(h);
    for (size_t i = 0; i < sizeof(priorities) / sizeof(priorities[0]); i++) {
        setenv(LAYER_PRIORITY_ENV, priorities[i], 1);
        assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
        assert_string_equal(host_ask(h, "submit 1 1"), "submit 0");
        assert_string_equal(host_ask(h, "wait"), "wait 0");
        assert_true(host_is_valid(h));
        host_stop(h);
        lease_slot_forget(&h->broker, HOST_SLOT);
    }
    unsetenv(LAYER_PRIORITY_ENV);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void test_quota(void **state)
{
    struct host *h = *state;

    h->memory->quota_bytes = 64 * MIB;
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    uint64_t own = h->memory->used_bytes;
    assert_true(own >= 16 * MIB);
    assert_string_equal(host_ask(h, "alloc %" PRIu64 " 0", 64 * MIB), "alloc -2");
    assert_int_equal(h->memory->slots[HOST_SLOT].refused, 1);
    assert_int_equal(h->memory->used_bytes, own);
    for (int i = 0; i < 3; i++) { /* reached, freed, reached again */
        assert_string_equal(host_ask(h, "alloc %" PRIu64 " 0", 64 * MIB - own), "alloc 0");
        assert_int_equal(h->memory->used_bytes, 64 * MIB);
        assert_string_equal(host_ask(h, "alloc 1 0"), "alloc -2");
        assert_string_equal(host_ask(h, "free %d", i), "free 0");
        assert_int_equal(h->memory->used_bytes, own);
    }
    /* Another one of the vGPU takes something, and the operator takes something back. */
    h->memory->used_bytes += 16 * MIB;
    assert_string_equal(host_ask(h, "alloc %" PRIu64 " 0", 64 * MIB - own), "alloc -2");
    h->memory->quota_bytes = 1 * MIB;
    assert_string_equal(host_ask(h, "alloc 1 0"), "alloc -2");
    h->memory->quota_bytes = UINT64_MAX;
    assert_string_equal(host_ask(h, "alloc %" PRIu64 " 0", 64 * MIB), "alloc 0");
    assert_string_equal(host_ask(h, "alloc 0x7fffffffffffffff 0"), "alloc -2");
    h->memory->used_bytes -= 16 * MIB;
    assert_string_equal(host_ask(h, "destroy"), "destroy 0");
    assert_int_equal(h->memory->used_bytes, 0);
    assert_int_equal(h->memory->slots[HOST_SLOT].memory_bytes, 0);
}

static void test_budget(void **state)
{
    struct host *h = *state;
    uint64_t size = 0, budget = 0, used = 0;

    h->memory->quota_bytes = 64 * MIB;
    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    uint64_t own = h->memory->used_bytes;
    h->memory->used_bytes += 8 * MIB; /* another one's */
    assert_int_equal(sscanf(host_ask(h, "budget"), "heap %" SCNu64 " %" SCNu64 " %" SCNu64, &size,
                            &budget, &used),
                     3);
    assert_int_equal(size, 64 * MIB);
    assert_int_equal(budget, 56 * MIB);
    assert_int_equal(used, own);
    h->memory->used_bytes -= 8 * MIB;
}

static void test_exports_are_pages(void **state)
{
    struct host *h = *state;
    long long bytes = 0;
    unsigned word = 0, imported = 0, last = 0;

    assert_string_equal(host_start(h, HOST_WELCOME, NULL), READY);
    uint64_t own = h->memory->used_bytes;
    assert_string_equal(host_ask(h, "alloc 5000 1"), "alloc 0");
    assert_int_equal(h->memory->used_bytes, own + 8192);
    assert_int_equal(
        sscanf(host_ask(h, "export 0"), "bytes %lld %u %u %u", &bytes, &word, &imported, &last), 4);
    /* The memory and nothing else, from its beginning. */
    assert_int_equal(bytes, 8192);
    assert_int_equal(word, 1);
    assert_int_equal(imported, 1);
    assert_int_equal(last, 2);
    /* The client has imported it: no more than before. Freed, it is given back once. */
    assert_string_equal(host_ask(h, "free 1"), "free 0");
    assert_int_equal(h->memory->used_bytes, own + 8192);
    assert_string_equal(host_ask(h, "free 0"), "free 0");
    assert_int_equal(h->memory->used_bytes, own);
    /* What nobody else maps stays as it is. */
    assert_string_equal(host_ask(h, "alloc 5000 0"), "alloc 0");
    assert_int_equal(h->memory->used_bytes, own + 5000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_renderer),
        TEST(test_no_renderer_no_vulkan),
        TEST(test_limits_without_lease),
        TEST(test_work_only_while_granted),
        TEST(test_yield_drains),
        TEST(test_contention_splits),
        TEST(test_few_in_flight),
        TEST(test_wait_before_signal),
        TEST(test_revoked),
        TEST(test_destroyed_in_flight),
        TEST(test_killed),
        TEST(test_without_timelines),
        TEST(test_stopwatch),
        TEST(test_valid),
        TEST(test_chosen_gpu),
        TEST(test_priorities),
        TEST(test_quota),
        TEST(test_budget),
        TEST(test_exports_are_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
