/* SPDX-License-Identifier: MIT */
/*
 * The device model under the lease: the test is the broker.
 */
#include "tests/unit/gate_fixture.h"
#include "tests/unit/gpu_fixture.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define TIMEOUT_US 10000000

static struct {
    sd_event *event;
    size_t submitted; /* bytes, in all */
    unsigned submits; /* pieces */
    /* When the driver was to be told: how often, and what had been answered, and was in flight. */
    size_t flushes, flushed, in_flight;
} t;

/* ---- the GPU -------------------------------------------------------------------------------- */

static int count_submit(struct backend *b, uint32_t ctx_id, void *buf, size_t bytes)
{
    t.submitted += bytes;
    t.submits++;
    return 0;
}

/* Each word is a draw. */
static size_t words_are_draws(const void *buf, size_t bytes, uint32_t draws)
{
    return MIN(bytes, (size_t)draws * 4);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void run_events(void)
{
    while (sd_event_run(t.event, 0) > 0)
        ;
}

static int set_up(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;

    memset(&t, 0, sizeof(t));
    assert_true(sd_event_new(&t.event) >= 0);
    f->gate = broker_open(t.event);
    f->ops.submit = count_submit;
    f->ops.stream_piece = words_are_draws;
    fixture_make_device(f, &gpu_limits_default, 1);
    fixture_create_ctx(f, 1);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    gpu_device_destroy(f->dev);
    f->dev = NULL;
    broker_close(TAKE_PTR(f->gate));
    sd_event_unref(t.event);
    return fixture_teardown(state);
}

/* ---- requests ------------------------------------------------------------------------------- */

#define WORDS 20

static uint32_t submit(struct fixture *f, uint64_t fence_id)
{
    struct {
        struct virtio_gpu_cmd_submit req;
        uint32_t words[WORDS];
    } cmd = {.req = {.hdr = {.ctx_id = 1}, .size = WORDS * 4}};

    if (fence_id != 0) {
        cmd.req.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
        cmd.req.hdr.fence_id = fence_id;
    }
    return SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &cmd);
}

static bool more_never(void *opaque)
{
    return false;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_work_waits_for_the_grant(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(submit(f, 0), NOT_COMPLETE);
    assert_false(f->go_on);
    assert_int_equal(t.submits, 0);
    assert_int_equal(rings(), 1);
    assert_int_equal(ack()->waiting, 1);
    run_events();
    assert_int_equal(t.submits, 0);

    grant(false);
    run_events();
    assert_int_equal(t.submits, 1);
    assert_int_equal(t.submitted, WORDS * 4);
    assert_int_equal(fixture_response(f), OK);
    assert_int_equal(f->resumed, 1);
    assert_int_equal(ack()->waiting, 0);
    assert_int_equal(rings(), 0);
}

static void test_what_needs_no_gpu_does_not_wait(void **state)
{
    struct fixture *f = *state;

    fixture_create_2d(f, 1, 16, 16);
    fixture_attach(f, 1, FIXTURE_GPA, 4096);
    assert_true(f->go_on);
    assert_int_equal(rings(), 0);
}

static void test_transfers_wait_too(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_transfer_to_host_2d req = {.r = {0, 0, 16, 16}, .resource_id = 1};

    fixture_create_2d(f, 1, 16, 16);
    fixture_attach(f, 1, FIXTURE_GPA, 4096);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), NOT_COMPLETE);
    assert_int_equal(rings(), 1);
    grant(false);
    run_events();
    assert_int_equal(fixture_response(f), OK);
}

static uint32_t submit_vulkan(struct fixture *f, uint64_t fence_id)
{
    struct {
        struct virtio_gpu_cmd_submit req;
        uint32_t words[WORDS];
    } cmd = {.req = {.hdr = {.ctx_id = 2,
                             .fence_id = fence_id,
                             .flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX},
                     .size = WORDS * 4}};

    return SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &cmd);
}

/* The layer in the process that works for it takes the lease, not the renderer. */
static void test_vulkan_takes_no_lease_here(void **state)
{
    struct fixture *f = *state;

    f->has_venus = true;
    fixture_make_device(f, &gpu_limits_default, 1);
    fixture_create_ctx(f, 1);
    fixture_create_vulkan_ctx(f, 2);
    f->hold_fences = true;
    assert_int_equal(submit_vulkan(f, 1), NOT_COMPLETE); /* its fence is all it waits for */
    assert_true(f->go_on);
    assert_int_equal(t.submits, 1);
    assert_int_equal(rings(), 0);

    /* Vulkan's work does not keep the lease that OpenGL's has taken, nor is it cut. */
    grant(true);
    lease_set_contended(&broker.lease, true);
    t.submitted = 0;
    assert_int_equal(submit_vulkan(f, 2), NOT_COMPLETE);
    assert_int_equal(t.submitted, WORDS * 4);
    assert_int_equal(ack()->in_flight, 0);
    f->ops.stream_piece = NULL;
    assert_int_equal(submit(f, 3), NOT_COMPLETE);
    assert_int_equal(ack()->in_flight, 1);
    assert_int_equal(gpu_device_in_flight(f->dev), 3);
    fixture_fence_done(f, &f->fences[2]);
    assert_int_equal(gpu_device_in_flight(f->dev), 2);
    assert_int_equal(ack()->in_flight, 0);
    fixture_fence_done(f, &f->fences[1]);
}

/* ---- displays ------------------------------------------------------------------------------- */

static unsigned updates(const struct fixture *f, enum fixture_display_call call)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->n_events; i++)
        n += f->events[i].call == call;
    return n;
}

static void show(struct fixture *f)
{
    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 64, 32);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 64, 32), OK);
    assert_int_equal(rings(), 0); /* nothing was read yet */
}

static void test_a_flush_waits_for_the_grant(void **state)
{
    struct fixture *f = *state;

    show(f);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 64, 32), NOT_COMPLETE);
    assert_false(f->go_on);
    assert_int_equal(rings(), 1);
    assert_int_equal(updates(f, CALL_UPDATE), 0);
    grant(false);
    run_events();
    assert_int_equal(fixture_response(f), OK);
    assert_int_equal(updates(f, CALL_UPDATE), 1);
    assert_int_equal(f->resumed, 1);
    assert_int_equal(ack()->submits, 1);
    assert_int_equal(ack()->in_flight, 0);

    /* What nobody shows, or can take now, is not read. */
    lease_yield(&broker.lease);
    assert_true(lease_settle(&broker.lease));
    fixture_create_2d(f, 2, 64, 32);
    assert_int_equal(fixture_flush(f, 2, 0, 0, 64, 32), OK);
    f->room = 0;
    assert_int_equal(fixture_flush(f, 1, 0, 0, 64, 32), OK);
    assert_int_equal(rings(), 0);

    /* Later it can. */
    f->room = 10;
    gpu_device_display_ready(f->dev);
    assert_int_equal(updates(f, CALL_UPDATE), 1);
    assert_int_equal(rings(), 1);
    grant(false);
    run_events();
    assert_int_equal(updates(f, CALL_UPDATE), 2);
    assert_int_equal(ack()->in_flight, 0);
}

static void test_the_lease_goes_between_bands(void **state)
{
    struct fixture *f = *state;

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 4000, 1000); /* 16 bands */
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 4000, 1000), OK);
    grant(false);
    f->room = 3;
    assert_int_equal(fixture_flush(f, 1, 0, 0, 4000, 1000), OK);
    assert_int_equal(updates(f, CALL_UPDATE), 3);
    lease_yield(&broker.lease);
    f->room = 100;
    gpu_device_display_ready(f->dev);
    assert_int_equal(updates(f, CALL_UPDATE), 3);
    assert_true(lease_settle(&broker.lease)); /* it keeps no GPU for what it may not read */
    grant(false);
    run_events();
    assert_int_equal(updates(f, CALL_UPDATE), 16);
    assert_int_equal(ack()->in_flight, 0);
}

static void test_dmabufs_need_no_grant(void **state)
{
    struct fixture *f = *state;

    f->has_dmabuf = f->takes_dmabuf = true;
    show(f);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 64, 32), OK);
    assert_int_equal(updates(f, CALL_DMABUF_UPDATE), 1);
    assert_int_equal(rings(), 0);
}

static void test_the_cursor_waits_by_itself(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_update_cursor req = {.resource_id = 1};

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 64, 64);
    f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, &req), OK);
    assert_true(f->go_on);
    assert_int_equal(updates(f, CALL_CURSOR_UPDATE), 0);
    assert_int_equal(rings(), 1);
    grant(false);
    run_events();
    assert_int_equal(updates(f, CALL_CURSOR_UPDATE), 1);
    assert_int_equal(ack()->in_flight, 0);

    /* A picture that is hidden meanwhile is not read. */
    lease_yield(&broker.lease);
    assert_true(lease_settle(&broker.lease));
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, &req), OK);
    req.resource_id = 0;
    SEND(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, &req);
    grant(false);
    run_events();
    assert_int_equal(updates(f, CALL_CURSOR_UPDATE), 1);
}

/* ---- the end of work ------------------------------------------------------------------------ */

static void note_flush(struct fixture *f)
{
    t.flushes++;
    t.flushed = f->completed;
    t.in_flight = ack()->in_flight;
}

/* And the driver is told of that before others are let on, who may take our processor. */
static void test_given_back_when_all_is_complete(void **state)
{
    struct fixture *f = *state;
    size_t before = f->completed;

    f->on_flush = note_flush;
    grant(false);
    f->hold_fences = true;
    gpu_device_defer_fences(f->dev);
    assert_int_equal(submit(f, 7), NOT_COMPLETE);
    assert_int_equal(ack()->in_flight, 1);
    lease_set_contended(&broker.lease, true);
    f->finish_result = 0;
    gpu_device_settle(f->dev, more_never, NULL);
    assert_int_equal(ack()->in_flight, 1);
    assert_int_equal(rings(), 0);
    assert_int_equal(t.flushes, 0);
    fixture_fence_done(f, &f->fences[(f->n_fences - 1) % FIXTURE_LOG]);
    assert_int_equal(ack()->in_flight, 0);
    assert_int_equal(t.flushes, 1);
    assert_int_equal(t.flushed, before + 1);
    assert_int_equal(t.in_flight, 1);
    assert_int_equal(ack()->completions, ack()->submits);
    assert_int_equal(rings(), 1); /* others wait, and there is nothing more to do */

    /* The same where the main thread sees the end itself. */
    f->finish_result = 1;
    f->dev->settle_skip = 0;
    gpu_device_defer_fences(f->dev);
    assert_int_equal(submit(f, 8), NOT_COMPLETE);
    gpu_device_settle(f->dev, more_never, NULL);
    assert_int_equal(ack()->in_flight, 0);
    assert_int_equal(rings(), 1);
    assert_int_equal(t.flushes, 2);
    assert_int_equal(t.flushed, before + 2);
    assert_int_equal(t.in_flight, 1);
}

static void test_work_without_a_fence_is_covered(void **state)
{
    struct fixture *f = *state;

    grant(false);
    f->hold_fences = true;
    unsigned done = f->completed;
    gpu_device_defer_fences(f->dev);
    assert_int_equal(submit(f, 0), OK);
    gpu_device_settle(f->dev, more_never, NULL);
    assert_int_equal(f->n_fences, 1); /* the device's own */
    assert_int_equal(ack()->in_flight, 1);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(ack()->in_flight, 0);
    assert_int_equal(f->completed, done + 1); /* that fence answers nobody */
    assert_int_equal(atomic_load(&f->stats.commands), f->completed);
}

/* Also if it came while the fence for earlier work was under way, and what comes next is blocked by
 * the end of the slice: else both would wait for each other. */
static void test_work_behind_a_cover_is_covered(void **state)
{
    struct fixture *f = *state;

    grant(false);
    f->hold_fences = true;
    for (unsigned i = 0; i < 2; i++) {
        gpu_device_defer_fences(f->dev);
        assert_int_equal(submit(f, 0), OK);
        gpu_device_settle(f->dev, more_never, NULL);
        assert_int_equal(f->n_fences, 1);
    }
    lease_yield(&broker.lease);
    gpu_device_defer_fences(f->dev);
    assert_int_equal(submit(f, 7), NOT_COMPLETE);
    assert_false(f->go_on);
    gpu_device_settle(f->dev, NULL, NULL);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(f->n_fences, 2);
    assert_false(lease_settle(&broker.lease));
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(ack()->in_flight, 0);
    assert_true(lease_settle(&broker.lease));
    run_events();
    grant(false);
    run_events();
    assert_int_equal(t.submits, 3);
    fixture_fence_done(f, &f->fences[2]);
    assert_int_equal(f->order[f->completed - 1], 7);
}

/* Before a command that waits for the display, which may take as long as it likes. */
static void test_work_before_a_blocked_command_is_covered(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_cmd_get_edid req = {.scanout = 0};

    f->can_ask = true;
    gpu_device_set_display(f->dev, &f->display);
    grant(false);
    f->hold_fences = true;
    gpu_device_defer_fences(f->dev);
    assert_int_equal(submit(f, 0), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_EDID, &req), NOT_COMPLETE);
    assert_false(f->go_on);
    gpu_device_settle(f->dev, NULL, NULL);
    assert_int_equal(f->n_fences, 1);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(ack()->in_flight, 0);
}

static uint64_t latencies(const struct fixture *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < BROKER_LATENCY_BUCKETS; i++)
        n += atomic_load(&f->stats.latency[i]);
    return n;
}

/* What Vulkan's contexts are told here wakes a ring; its layer knows of the work. */
static void test_no_time_of_vulkan(void **state)
{
    struct fixture *f = *state;

    f->has_venus = true;
    f->hold_fences = true;
    fixture_make_device(f, &gpu_limits_default, 1);
    fixture_create_ctx(f, 1);
    fixture_create_vulkan_ctx(f, 2);
    assert_int_equal(submit_vulkan(f, 1), NOT_COMPLETE);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(latencies(f), 0);
    grant(false);
    assert_int_equal(submit(f, 2), NOT_COMPLETE);
    run_events();
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(latencies(f), 1);
}

/* From taking it up, before the wait for the grant, to the fence. */
static void test_time_to_completion(void **state)
{
    static struct work_ring ring;
    struct fixture *f = *state;
    struct work work;
    uint64_t cursor = 0, lost = 0;

    f->hold_fences = true;
    f->ring = &ring;
    fixture_make_device(f, &gpu_limits_default, 1);
    fixture_create_ctx(f, 1);
    assert_int_equal(submit(f, 7), NOT_COMPLETE);
    uint64_t before_ns = latency_clock_ns();
    while (latency_clock_ns() - before_ns < 2000000) /* no grant meanwhile */
        ;
    grant(false);
    run_events();
    assert_int_equal(t.submits, 1);
    assert_int_equal(latencies(f), 0);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(latencies(f), 1);
    for (size_t i = 0; i < 11; i++) /* below 1024 µs */
        assert_int_equal(atomic_load(&f->stats.latency[i]), 0);
    assert_true(atomic_load(&f->stats.latency_sum_ns) >= 2000000);
    assert_int_equal(atomic_load(&f->stats.latency_sum_ns), atomic_load(&f->stats.latency_max_ns));
    /* The trace has the same. */
    assert_int_equal(work_ring_take(&ring, &cursor, &work, 1, &lost), 1);
    assert_true(work.begin_ns <= before_ns && work.end_ns <= latency_clock_ns());
    assert_int_equal(work.end_ns - work.begin_ns, atomic_load(&f->stats.latency_sum_ns));
    assert_int_equal(work.submits, 1);

    /* Nobody hears of the end of what has no fence; other commands are none of its business. */
    assert_int_equal(submit(f, 0), OK);
    struct virtio_gpu_ctrl_hdr info = {.flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 9};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, &info), NOT_COMPLETE);
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(latencies(f), 1);
    assert_int_equal(work_ring_take(&ring, &cursor, &work, 1, &lost), 0);
}

static void test_taken_away_in_between(void **state)
{
    struct fixture *f = *state;

    grant(false);
    f->hold_fences = true;
    assert_int_equal(submit(f, 1), NOT_COMPLETE);
    lease_yield(&broker.lease);
    assert_false(lease_settle(&broker.lease));
    assert_int_equal(submit(f, 2), NOT_COMPLETE);
    assert_false(f->go_on);
    assert_int_equal(t.submits, 1);
    fixture_fence_done(f, &f->fences[0]);
    assert_true(rings() >= 1);
    assert_true(lease_settle(&broker.lease));
    run_events(); /* asks again */
    assert_true(lease_wants(&broker.lease));
    assert_int_equal(t.submits, 1);
    grant(false);
    run_events();
    assert_int_equal(t.submits, 2);
    fixture_fence_done(f, &f->fences[(f->n_fences - 1) % FIXTURE_LOG]);
    assert_int_equal(ack()->in_flight, 0);
}

static void test_streams_are_cut_while_others_wait(void **state)
{
    struct fixture *f = *state;

    grant(true);
    f->finish_result = 1;
    assert_int_equal(submit(f, 0), OK);
    assert_true(t.submits > 1);
    assert_int_equal(t.submitted, WORDS * 4);
    assert_int_equal(ack()->cuts, t.submits - 1);

    /* Nobody waits: in larger pieces. */
    f->dev->draw_ns = 500000; /* as if measured */
    unsigned contended = t.submits = 0;
    assert_int_equal(submit(f, 0), OK);
    contended = t.submits;
    gpu_device_settle(f->dev, more_never, NULL);
    lease_set_contended(&broker.lease, false);
    f->dev->draw_ns = 500000;
    t.submits = 0;
    assert_int_equal(submit(f, 0), OK);
    assert_true(t.submits <= contended);
}

static void test_not_cut_where_it_is_no_use(void **state)
{
    struct fixture *f = *state;
    const struct lease_terms terms = {.max_in_flight = 8, .max_predicted_us = UINT32_MAX};
    uint32_t wakes;

    assert_int_equal(lease_grant(&broker.lease, &terms, NULL, false, &wakes), 0);
    assert_int_equal(submit(f, 0), OK);
    assert_int_equal(t.submits, 1);
    assert_int_equal(ack()->cuts, 0);
}

static void test_interrupted_after_a_piece(void **state)
{
    struct fixture *f = *state;

    grant(true);
    f->hold_fences = true;
    f->finish_result = 0; /* each piece takes long */
    assert_int_equal(submit(f, 9), NOT_COMPLETE);
    assert_false(f->go_on);
    assert_int_equal(t.submits, 1);
    assert_null(gpu_device_take_blocked(f->dev)); /* its ring can't have it back */
    assert_true(gpu_device_is_halfway(f->dev));

    lease_yield(&broker.lease);
    fixture_fence_done(f, &f->fences[(f->n_fences - 1) % FIXTURE_LOG]);
    run_events();
    assert_true(lease_settle(&broker.lease));
    assert_int_equal(t.submits, 1);
    for (unsigned i = 0; gpu_device_is_halfway(f->dev); i++) {
        assert_in_range(i, 0, WORDS);
        unsigned before = t.submits;
        grant(true);
        run_events();
        assert_int_equal(t.submits, before + 1);
        lease_yield(&broker.lease);
        if (gpu_device_in_flight(f->dev) > 0)
            fixture_fence_done(f, &f->fences[(f->n_fences - 1) % FIXTURE_LOG]);
        run_events();
        assert_true(lease_settle(&broker.lease));
    }
    assert_int_equal(t.submitted, WORDS * 4);
    assert_int_equal(fixture_response(f), OK);
    assert_int_equal(f->order[f->completed - 1], 9);
    assert_int_equal(atomic_load(&f->stats.submits), 1);
}

static void test_context_gone_halfway(void **state)
{
    struct fixture *f = *state;

    grant(true);
    f->hold_fences = true;
    assert_int_equal(submit(f, 0), NOT_COMPLETE);
    assert_true(gpu_device_is_halfway(f->dev));
    gpu_device_reset(f->dev);
    assert_false(gpu_device_is_halfway(f->dev));
    assert_int_equal(ack()->in_flight, 0);
    run_events();
    assert_int_equal(t.submits, 1);
}

static void test_popped_again(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(submit(f, 0), NOT_COMPLETE);
    struct gpu_cmd *cmd = gpu_device_take_blocked(f->dev);
    assert_non_null(cmd);
    /* The grant that it asked for comes, is not used, and is given back. */
    grant(false);
    run_events();
    assert_int_equal(t.submits, 0);
    assert_int_equal(ack()->in_flight, 0);
    assert_int_equal(ack()->waiting, 0);
    (void)gpu_device_handle(f->dev, cmd);
    assert_true(t.submitted == WORDS * 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_work_waits_for_the_grant),
        TEST(test_what_needs_no_gpu_does_not_wait),
        TEST(test_transfers_wait_too),
        TEST(test_vulkan_takes_no_lease_here),
        TEST(test_no_time_of_vulkan),
        TEST(test_a_flush_waits_for_the_grant),
        TEST(test_the_lease_goes_between_bands),
        TEST(test_dmabufs_need_no_grant),
        TEST(test_the_cursor_waits_by_itself),
        TEST(test_given_back_when_all_is_complete),
        TEST(test_work_without_a_fence_is_covered),
        TEST(test_work_behind_a_cover_is_covered),
        TEST(test_work_before_a_blocked_command_is_covered),
        TEST(test_time_to_completion),
        TEST(test_taken_away_in_between),
        TEST(test_streams_are_cut_while_others_wait),
        TEST(test_not_cut_where_it_is_no_use),
        TEST(test_interrupted_after_a_piece),
        TEST(test_context_gone_halfway),
        TEST(test_popped_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
