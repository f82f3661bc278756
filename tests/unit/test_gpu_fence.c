/* SPDX-License-Identifier: MIT */
/*
 * Commands that wait for the GPU: timelines, their order, the end of contexts, reset.
 */
#include "tests/unit/gpu_fixture.h"

#include <poll.h>
#include <pthread.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_CONTEXT VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID

static uint32_t send_fenced(struct fixture *f, uint64_t fence_id, uint32_t ctx_id, int ring_idx)
{
    struct virtio_gpu_cmd_submit req = {
        .hdr = {.flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = fence_id, .ctx_id = ctx_id}};

    if (ring_idx >= 0) {
        req.hdr.flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
        req.hdr.ring_idx = (uint8_t)ring_idx;
    }
    return SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req);
}

static bool event_raised(const struct fixture *f)
{
    struct pollfd p = {.fd = gpu_device_event_fd(f->dev), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_fence_at_once(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_ctrl_hdr *resp = (void *)f->response;

    fixture_create_ctx(f, 1);
    assert_int_equal(send_fenced(f, 77, 1, 5), OK);
    assert_false(event_raised(f)); /* no system call on the fast path */
    assert_int_equal(resp->flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
    assert_int_equal(resp->fence_id, 77);
    assert_int_equal(resp->ctx_id, 1);
    assert_int_equal(resp->ring_idx, 5);
    assert_int_equal(atomic_load(&f->stats.fences), 1);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void test_fence_order(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    unsigned done = f->completed;
    for (uint64_t id = 100; id < 104; id++)
        assert_int_equal(send_fenced(f, id, 1, -1), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 200, 1, 3), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 201, 1, 3), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 300, 1, 4), NOT_COMPLETE);
    assert_int_equal(gpu_device_in_flight(f->dev), 7);
    for (unsigned i = 0; i < 4; i++)
        assert_false(f->fences[i].per_context);
    for (unsigned i = 4; i < 7; i++) {
        assert_true(f->fences[i].per_context);
        assert_int_equal(f->fences[i].ctx_id, 1);
    }
    assert_int_equal(f->fences[6].ring_idx, 4);

    /* Timelines are independent; on one, a fence completes those before it. */
    gpu_fence_queue_events.fence_done(f->queue, 1, 4, f->fences[6].fence_id);
    assert_true(event_raised(f));
    assert_int_equal(f->completed, done); /* not before the dispatch */
    gpu_device_dispatch(f->dev);
    assert_false(event_raised(f));
    assert_int_equal(f->completed, done + 1);
    assert_int_equal(f->order[done], 300);
    fixture_fence_done(f, &f->fences[2]);
    assert_int_equal(f->completed, done + 4);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(f->order[done + 1 + i], 100 + i);
    fixture_fence_done(f, &f->fences[1]); /* late, says nothing new */
    assert_int_equal(f->completed, done + 4);
    fixture_fence_done(f, &f->fences[5]);
    assert_int_equal(f->completed, done + 6);
    assert_int_equal(f->order[done + 4], 200);
    assert_int_equal(f->order[done + 5], 201);
    fixture_fence_done(f, &f->fences[3]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
    assert_int_equal(atomic_load(&f->stats.fences), 7);
}

static void test_fence_wrap(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    /* A number that was never given out says nothing. */
    assert_int_equal(send_fenced(f, 9, 1, -1), NOT_COMPLETE);
    fixture_fence_done(f, &(struct fixture_fence){.fence_id = 0x123456});
    assert_int_equal(gpu_device_in_flight(f->dev), 1);
    fixture_fence_done(f, &f->fences[0]);
    f->n_fences = 0;

    f->dev->fence_seq = 0x7ffffffd;
    unsigned done = f->completed;
    for (uint64_t id = 0; id < 5; id++)
        assert_int_equal(send_fenced(f, id, 1, -1), NOT_COMPLETE);
    assert_int_equal(f->fences[1].fence_id, 0x7fffffff);
    assert_int_equal(f->fences[2].fence_id, 1); /* 0 is left out */
    for (unsigned i = 0; i < 5; i++)
        assert_true(f->fences[i].fence_id < 1u << 31);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(f->completed, done + 1);
    fixture_fence_done(f, &f->fences[3]);
    assert_int_equal(f->completed, done + 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(f->order[done + i], i);
    fixture_fence_done(f, &f->fences[2]);
    assert_int_equal(f->completed, done + 4);
    fixture_fence_done(f, &f->fences[4]);
    assert_int_equal(f->completed, done + 5);
}

static void test_fence_and_errors(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_ctrl_hdr *resp = (void *)f->response;
    struct virtio_gpu_resource_unref unref = {
        .hdr = {.flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 9}, .resource_id = 1};

    /* A refused command waits for its turn: its answer would say that earlier fences are done. */
    f->hold_fences = true;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &unref), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 1);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(resp->type, BAD_RESOURCE);
    assert_int_equal(resp->flags, VIRTIO_GPU_FLAG_FENCE);
    assert_int_equal(resp->fence_id, 9);
    assert_int_equal(send_fenced(f, 1, 7, 0), NOT_COMPLETE); /* of a context that is not there */
    assert_false(f->fences[1].per_context);
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(resp->type, BAD_CONTEXT);

    /* The backend can not make a fence. */
    fixture_create_ctx(f, 1);
    f->fence_result = -ENOMEM;
    assert_int_equal(send_fenced(f, 10, 1, -1), UNSPEC);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
    f->fence_result = 0;

    /* A resource goes away while a fence is pending. */
    fixture_create_2d(f, 1, 8, 8);
    assert_int_equal(send_fenced(f, 11, 1, -1), NOT_COMPLETE);
    unref.hdr.flags = 0;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &unref), OK);
    fixture_fence_done(f, &f->fences[2]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);

    /* Without CONTEXT_INIT the ring means nothing. */
    gpu_device_set_features(f->dev, 1u << VIRTIO_GPU_F_VIRGL);
    assert_int_equal(send_fenced(f, 12, 1, 3), NOT_COMPLETE);
    assert_false(f->fences[3].per_context);
    fixture_fence_done(f, &f->fences[3]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void test_fence_context_destroyed(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_ctx_destroy destroy = {
        .hdr = {.ctx_id = 1,
                .flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX,
                .fence_id = 9}};

    fixture_create_ctx(f, 1);
    fixture_create_ctx(f, 2);
    f->hold_fences = true;
    unsigned done = f->completed;
    assert_int_equal(send_fenced(f, 1, 1, 0), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 2, 2, 0), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 3, 1, 1), NOT_COMPLETE);
    SEND(f, VIRTIO_GPU_CMD_CTX_DESTROY, &destroy); /* its own fence has no timeline any more */
    assert_int_equal(f->completed, done + 2);
    assert_int_equal(f->order[done], 1);
    assert_int_equal(f->order[done + 1], 3);
    assert_false(f->fences[3].per_context);
    fixture_fence_done(f, &f->fences[3]);
    assert_int_equal(f->order[done + 2], 9);

    /* A late report is not taken for a fence of a new context of that id. */
    fixture_create_ctx(f, 1);
    done = f->completed;
    assert_int_equal(send_fenced(f, 4, 1, 0), NOT_COMPLETE);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(f->completed, done);
    fixture_fence_done(f, &f->fences[4]);
    assert_int_equal(f->completed, done + 1);
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void *fence_thread(void *arg)
{
    struct fixture *f = arg;

    for (unsigned i = 0; i < f->n_fences; i++)
        gpu_fence_queue_events.fence_done(f->queue, f->fences[i].ctx_id, f->fences[i].ring_idx,
                                          f->fences[i].fence_id);
    return NULL;
}

static void test_fences_of_another_thread(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(send_fenced(f, i, 1, (int)(i % 3) - 1), NOT_COMPLETE);
    assert_int_equal(pthread_create(&thread, NULL, fence_thread, f), 0);
    while (gpu_device_in_flight(f->dev) > 0) {
        struct pollfd p = {.fd = gpu_device_event_fd(f->dev), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        gpu_device_dispatch(f->dev);
    }
    pthread_join(thread, NULL);
    gpu_device_dispatch(f->dev);
}

/* ---- deferred ------------------------------------------------------------------------------- */

static bool nothing_more(void *opaque)
{
    return false;
}

static bool more(void *opaque)
{
    ++*(unsigned *)opaque;
    return true;
}

static void test_deferred_and_done_soon(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    f->finish_result = 1;
    unsigned done = f->completed;
    /* One that the backend was asked for before, and the answer is still on its way. */
    assert_int_equal(send_fenced(f, 1, 1, -1), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 1);
    gpu_device_defer_fences(f->dev);
    assert_int_equal(send_fenced(f, 2, 1, 0), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 1);
    gpu_device_settle(f->dev, nothing_more, NULL);
    assert_int_equal(f->n_fences, 1);
    assert_int_equal(f->n_finish, 1);
    assert_int_equal(f->completed, done + 2);
    assert_int_equal(f->order[done], 1);
    assert_int_equal(f->order[done + 1], 2);
    assert_int_equal(atomic_load(&f->stats.fences), 2);
    fixture_fence_done(f, &f->fences[0]); /* late */
    assert_int_equal(f->completed, done + 2);

    /* It ends with gpu_device_settle(). */
    assert_int_equal(send_fenced(f, 3, 1, -1), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 2);
    fixture_fence_done(f, &f->fences[1]);
}

static void test_deferred_until_more_work(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    gpu_device_defer_fences(f->dev);
    assert_int_equal(send_fenced(f, 1, 1, -1), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 0);
    assert_int_equal(send_fenced(f, 2, 1, -1), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 1); /* of the first: the second's work is not in it */
    gpu_device_settle(f->dev, NULL, NULL);
    assert_int_equal(f->n_finish, 0);
    assert_int_equal(f->n_fences, 2);
    assert_true(f->fences[0].fence_id < f->fences[1].fence_id);
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

/* Defers one fence, and settles. */
static void settle_one(struct fixture *f, bool (*more_fn)(void *), void *opaque)
{
    gpu_device_defer_fences(f->dev);
    assert_int_equal(send_fenced(f, 1, 1, -1), NOT_COMPLETE);
    gpu_device_settle(f->dev, more_fn, opaque);
}

static void test_settling_in_vain(void **state)
{
    struct fixture *f = *state;
    unsigned asked = 0;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    settle_one(f, more, &asked);
    assert_int_equal(f->n_finish, 1);
    assert_int_equal(asked, 1);
    assert_int_equal(f->n_fences, 1);
    /* Next times it does not try, and then does again, in bounded time. */
    for (unsigned i = 0; i < 8; i++)
        settle_one(f, more, &asked);
    assert_int_equal(f->n_finish, 1);
    assert_int_equal(f->n_fences, 9);
    settle_one(f, nothing_more, NULL);
    assert_in_range(f->n_finish, 2, 100);
    assert_int_equal(f->n_fences, 10);
    fixture_fence_done(f, &f->fences[9]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void test_settling_where_only_a_fence_can_tell(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    f->finish_result = -EAGAIN;
    settle_one(f, nothing_more, NULL);
    settle_one(f, nothing_more, NULL);
    assert_int_equal(f->n_finish, 2); /* each time, since it costs nothing */
    assert_int_equal(f->n_fences, 2);
    fixture_fence_done(f, &f->fences[1]);
}

static void test_deferred_and_refused(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    gpu_device_defer_fences(f->dev);
    assert_int_equal(send_fenced(f, 7, 1, -1), NOT_COMPLETE);
    f->fence_result = -EIO;
    unsigned done = f->completed;
    gpu_device_settle(f->dev, NULL, NULL);
    assert_int_equal(f->completed, done + 1);
    assert_int_equal(fixture_response(f), UNSPEC);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void test_deferred_and_reset(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    gpu_device_defer_fences(f->dev);
    assert_int_equal(send_fenced(f, 7, 1, -1), NOT_COMPLETE);
    unsigned done = f->completed;
    gpu_device_reset(f->dev);
    assert_int_equal(f->completed, done + 1);
    gpu_device_settle(f->dev, nothing_more, NULL);
    assert_int_equal(f->n_finish, 0);
}

/* ---- reset ----------------------------------------------------------------------------------- */

static bool more_never(void *opaque)
{
    return false;
}

static void test_vulkan_is_on_its_own(void **state)
{
    struct fixture *f = *state;

    f->has_venus = true;
    fixture_make_device(f, &gpu_limits_default, 1);
    fixture_create_ctx(f, 1);
    fixture_create_vulkan_ctx(f, 2);
    f->hold_fences = true;
    unsigned done = f->completed;
    gpu_device_defer_fences(f->dev);
    assert_int_equal(send_fenced(f, 10, 1, -1), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 0);
    /* Its fence is asked for at once, and what was put off before it. */
    assert_int_equal(send_fenced(f, 20, 2, 7), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 2);
    assert_int_equal(f->fences[0].ctx_id, 0);
    assert_int_equal(f->fences[1].ctx_id, 2);
    assert_int_equal(f->fences[1].ring_idx, 7);
    assert_int_equal(send_fenced(f, 11, 1, -1), NOT_COMPLETE);

    /* All of OpenGL's work is complete, which says nothing about Vulkan's. */
    f->finish_result = 1;
    gpu_device_settle(f->dev, more_never, NULL);
    assert_int_equal(f->completed, done + 2);
    assert_int_equal(f->order[done], 10);
    assert_int_equal(f->order[done + 1], 11);
    assert_int_equal(gpu_device_in_flight(f->dev), 1);
    fixture_fence_done(f, &f->fences[1]);
    assert_int_equal(f->order[done + 2], 20);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void test_rings_have_a_bound(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    f->hold_fences = true;
    assert_int_equal(send_fenced(f, 1, 1, 63), NOT_COMPLETE);
    assert_true(f->fences[0].per_context);
    /* Refused, and in its place on the timeline that there is always. */
    for (int ring = 64; ring < 256; ring += 191) {
        unsigned n = f->n_fences;
        assert_int_equal(send_fenced(f, 2, 1, ring), NOT_COMPLETE);
        assert_int_equal(f->n_fences, n + 1);
        assert_false(f->fences[n].per_context);
        fixture_fence_done(f, &f->fences[n]);
        assert_int_equal(fixture_response(f), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    }
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    fixture_create_2d(f, 1, 16, 16);
    fixture_attach(f, 1, FIXTURE_GPA, 4096);
    gpu_device_set_display(f->dev, &f->display);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 16, 16), OK);
    f->hold_fences = true;
    unsigned done = f->completed;
    assert_int_equal(send_fenced(f, 1, 1, -1), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 2, 1, 0), NOT_COMPLETE);
    assert_int_equal(send_fenced(f, 3, 1, -1), NOT_COMPLETE);
    gpu_fence_queue_events.fence_done(f->queue, 0, 0, f->fences[2].fence_id);

    gpu_device_reset(f->dev);
    assert_int_equal(f->completed, done + 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(f->order[done + i], i + 1);
    assert_int_equal(f->refs, 0);
    assert_int_equal(atomic_load(&f->stats.resources), 0);
    assert_int_equal(atomic_load(&f->stats.contexts), 0);
    assert_int_equal(f->events[f->n_events - 1].call, CALL_SCANOUT);
    assert_int_equal(f->events[f->n_events - 1].w, 0);

    /* The same ids are free again, the backend has dropped its side, no old fence counts. */
    fixture_create_2d(f, 1, 16, 16);
    fixture_create_ctx(f, 1);
    assert_int_equal(send_fenced(f, 4, 1, -1), NOT_COMPLETE);
    gpu_device_dispatch(f->dev);
    assert_int_equal(gpu_device_in_flight(f->dev), 1);
    gpu_device_set_display(f->dev, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_fence_at_once),
        TEST(test_fence_order),
        TEST(test_fence_wrap),
        TEST(test_fence_and_errors),
        TEST(test_fence_context_destroyed),
        TEST(test_fences_of_another_thread),
        TEST(test_deferred_and_done_soon),
        TEST(test_deferred_until_more_work),
        TEST(test_settling_in_vain),
        TEST(test_settling_where_only_a_fence_can_tell),
        TEST(test_deferred_and_refused),
        TEST(test_deferred_and_reset),
        TEST(test_vulkan_is_on_its_own),
        TEST(test_rings_have_a_bound),
        TEST(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
