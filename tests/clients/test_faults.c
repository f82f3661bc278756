/* SPDX-License-Identifier: MIT */
/*
 * What libaliquot-guest does with servers that lie, stall or die once they run: the right error, in
 * time, with every descriptor given back. Against the fake server, so that each fault comes where
 * it is wanted.
 */
#include "protocol/virtio_gpu.h"
#include "tests/clients/fake_server.h"
#include "tests/clients/vgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- running -------------------------------------------------------------------------------- */

static void test_ring_faults(void **state)
{
    static const struct {
        enum fake_ring_fault fault;
        int error;
    } cases[] = {
        {RING_CLOSE, -ECONNRESET}, {RING_BAD_HEAD, -EPROTO},  {RING_TWICE, -EPROTO},
        {RING_AHEAD, -EPROTO},     {RING_LONG, -EPROTO},      {RING_SHORT, -EPROTO},
        {RING_UNWRITTEN, -EPROTO}, {RING_NO_FENCE, -EPROTO},  {RING_SPEAK, -EPROTO},
        {RING_ERROR, -EPROTO},     {RING_SILENT, -ETIMEDOUT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int before = count_fds(), fd;
        bool lost = cases[i].error != -ETIMEDOUT;
        struct fake_server *server = fake_server_start(
            &(struct fake_options){.ring_fault = cases[i].fault, .after = 1}, &fd);
        struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, lost ? PATIENT_MS : HASTY_MS);
        struct aliquot_context *context = make_context(vgpu);
        char text[200];

        double start = now_s();
        struct aliquot_fence *fence = submit(context);
        int result = aliquot_fence_wait(fence, ALIQUOT_TIMEOUT_DEFAULT_NS);
        if (result != cases[i].error)
            fail_msg("case %zu: %d instead of %d", i, result, cases[i].error);
        assert_true(now_s() - start < PATIENT_MS / 2e3);
        if (lost) {
            /* For ever, and for all. */
            assert_int_equal(aliquot_sync(vgpu), cases[i].error);
            assert_int_equal(aliquot_submit(context, nop, 4, ALIQUOT_RING_NONE, NULL),
                             cases[i].error);
            assert_true(aliquot_last_error(vgpu, text, sizeof(text)) > 0);
            int event = aliquot_fence_fd(fence);
            assert_true(is_readable(event, 0));
            close(event);
        }
        aliquot_close(vgpu);
        assert_int_equal(aliquot_fence_wait(fence, 0), lost ? cases[i].error : -ECONNRESET);
        aliquot_fence_unref(fence);
        fake_server_stop(server);
        assert_int_equal(count_fds(), before);
    }
}

/* What the device refuses is told to whoever asks, and counted where nobody does. */
static void test_device_errors(void **state)
{
    static const struct {
        uint32_t response;
        int error;
    } cases[] = {
        {VIRTIO_GPU_RESP_ERR_UNSPEC, -EIO},
        {VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, -ENOMEM},
        {VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, -EINVAL},
        {VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, -ENOENT},
        {VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, -ENXIO},
        {VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, -EINVAL},
        {0x7777, -EPROTO},
        {VIRTIO_GPU_RESP_OK_EDID, -EPROTO}, /* an answer to something else */
    };
    const struct aliquot_resource_args args = {
        .target = 2, .format = 1, .width = 4, .height = 4, .backing_bytes = 64};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd;
        struct fake_server *server = fake_server_start(
            &(struct fake_options){
                .ring_fault = RING_REFUSE, .after = 1, .value = cases[i].response},
            &fd);
        struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, PATIENT_MS);
        struct aliquot_context *context = make_context(vgpu), *refused = NULL;
        struct aliquot_resource *resource = NULL;
        struct aliquot_fence *no_fence = NULL;
        struct aliquot_info info;
        char text[200];

        assert_int_equal(aliquot_fence_finish(submit(context)), cases[i].error);
        assert_true(aliquot_last_error(vgpu, text, sizeof(text)) > 0);
        assert_non_null(strstr(text, "SUBMIT_3D"));
        assert_int_equal(aliquot_context_create(vgpu, 2, NULL, &refused), cases[i].error);
        assert_null(refused);
        assert_int_equal(aliquot_get_info(vgpu, &info), 0);
        assert_int_equal(info.errors, 0);

        assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &resource), 0);
        assert_int_equal(aliquot_resource_wait(resource), cases[i].error);
        assert_int_equal(
            aliquot_transfer_to_host(context, resource, &(struct aliquot_transfer){0}, &no_fence),
            cases[i].error);
        assert_null(no_fence);
        assert_int_equal(aliquot_submit(context, nop, 4, ALIQUOT_RING_NONE, NULL), 0);
        aliquot_resource_destroy(resource);
        assert_int_equal(aliquot_sync(vgpu), cases[i].error);
        assert_int_equal(aliquot_get_info(vgpu, &info), 0);
        assert_int_equal(info.errors, 4); /* create, attach, submit, unref */
        assert_int_equal(info.in_flight, 0);
        aliquot_close(vgpu);
        fake_server_stop(server);
    }
}

struct wait_thread {
    pthread_t thread;
    struct aliquot_fence *fence;
    int result;
};

static void *wait_for_fence(void *arg)
{
    struct wait_thread *w = arg;

    w->result = aliquot_fence_finish(w->fence);
    return NULL;
}

/* Many threads wait, each for its own fence; the server dies: all return at once. */
static void test_death_wakes_everybody(void **state)
{
    struct wait_thread waits[8];
    int before = count_fds(), fd;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_HOLD_FENCES}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, 60000);
    struct aliquot_context *context = make_context(vgpu);

    double start = now_s();
    struct aliquot_fence *polled = submit(context);
    int event = aliquot_fence_fd(polled);
    assert_false(is_readable(event, 0));
    for (unsigned i = 0; i < 8; i++) {
        waits[i].fence = submit(context);
        pthread_create(&waits[i].thread, NULL, wait_for_fence, &waits[i]);
    }
    fake_server_kill(server);
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(waits[i].thread, NULL);
        assert_int_equal(waits[i].result, -ECONNRESET);
    }
    assert_true(is_readable(event, PATIENT_MS));
    assert_int_equal(aliquot_fence_finish(polled), -ECONNRESET);
    assert_true(now_s() - start < 30);
    close(event);
    aliquot_close(vgpu);
    fake_server_stop(server);
    assert_int_equal(count_fds(), before);
}

/* So does aliquot_close(), which must not pull the ground from under them. */
static void test_close_wakes_everybody(void **state)
{
    struct wait_thread waits[4];
    int fd;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_HOLD_FENCES}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, 60000);
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_fence *polled = submit(context);
    int event = aliquot_fence_fd(polled);

    for (unsigned i = 0; i < 4; i++) {
        waits[i].fence = submit(context);
        pthread_create(&waits[i].thread, NULL, wait_for_fence, &waits[i]);
    }
    aliquot_close(vgpu);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(waits[i].thread, NULL);
        assert_int_equal(waits[i].result, -ECONNRESET);
    }
    assert_true(is_readable(event, 0));
    assert_int_equal(aliquot_fence_finish(polled), -ECONNRESET);
    close(event);
    fake_server_stop(server);
}

/* A fence's descriptor becomes readable with nobody in the library, and outlives the fence. */
static void test_fence_descriptor(void **state)
{
    int before = count_fds(), fd;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_HOLD_FENCES}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, PATIENT_MS);
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_fence *a = submit(context), *b = submit(context);

    int event_a = aliquot_fence_fd(a), again = aliquot_fence_fd(a), event_b = aliquot_fence_fd(b);
    assert_true(event_a >= 0 && again >= 0 && event_b >= 0 && event_a != again);
    assert_int_equal(fcntl(event_a, F_GETFD), FD_CLOEXEC);
    aliquot_fence_unref(b);
    assert_int_equal(aliquot_fence_wait(a, 0), -ETIMEDOUT);
    assert_int_equal(aliquot_fence_wait(a, 1000000), -ETIMEDOUT);
    assert_false(is_readable(event_a, 0) || is_readable(event_b, 0));
    fake_server_release(server);
    assert_true(is_readable(event_a, PATIENT_MS));
    assert_true(is_readable(event_b, PATIENT_MS));
    assert_true(is_readable(again, 0));
    assert_int_equal(aliquot_fence_wait(a, 0), 0);

    /* And once more after the thread has gone. */
    struct aliquot_fence *c = submit(context);
    int event_c = aliquot_fence_fd(c);
    assert_true(is_readable(event_c, PATIENT_MS));
    aliquot_fence_unref(c);
    aliquot_fence_unref(a);
    close(event_a);
    close(again);
    close(event_b);
    close(event_c);
    aliquot_close(vgpu);
    fake_server_stop(server);
    assert_int_equal(count_fds(), before);
}

/* A thread that waits must get on while the helper thread sleeps on a descriptor's behalf. */
static void test_waiting_beside_a_descriptor(void **state)
{
    int fd;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_HOLD_FENCES, .after = 1}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, PATIENT_MS);
    struct aliquot_fence *held = submit(make_context(vgpu));

    int event = aliquot_fence_fd(held);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(aliquot_sync(vgpu), 0);
    fake_server_release(server);
    assert_true(is_readable(event, PATIENT_MS));
    assert_int_equal(aliquot_fence_finish(held), 0);
    close(event);
    aliquot_close(vgpu);
    fake_server_stop(server);
}

/* More commands than slots: sending waits for room, and gives up in time where none comes. */
static void test_full_ring(void **state)
{
    int fd;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_SILENT, .after = 301}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, HASTY_MS);
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_info info;
    int result = 0;
    unsigned sent;

    for (sent = 0; sent < 1000 && result == 0; sent++)
        result = aliquot_submit(context, nop, sizeof(nop), ALIQUOT_RING_NONE, NULL);
    assert_int_equal(result, -ETIMEDOUT);
    assert_in_range(sent, 300 + 100, 300 + 130);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_int_equal(info.in_flight, sent - 1 - 300);
    aliquot_close(vgpu);
    fake_server_stop(server);
}

/* Submits too large for the memory left wait for those in flight, and no longer than allowed. */
static void test_full_memory(void **state)
{
    int fd;
    const size_t bytes = 700 << 10;
    void *commands = calloc(1, bytes);
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_HOLD_FENCES}, &fd);
    struct aliquot_vgpu *vgpu = NULL;
    struct aliquot_open_args args = {
        .fd = fd, .timeout_ms = HASTY_MS, .memory_bytes = ALIQUOT_MEMORY_MIN_BYTES};
    struct aliquot_fence *first, *second, *none = NULL;
    struct aliquot_info info;

    assert_int_equal(aliquot_open(&args, &vgpu), 0);
    struct aliquot_context *context = make_context(vgpu);
    assert_int_equal(aliquot_submit(context, commands, 64u << 20, ALIQUOT_RING_NONE, &none),
                     -EMSGSIZE);
    assert_int_equal(aliquot_submit(context, commands, bytes, ALIQUOT_RING_NONE, &first), 0);
    assert_int_equal(aliquot_submit(context, commands, bytes, ALIQUOT_RING_NONE, &second), 0);
    assert_int_equal(aliquot_submit(context, commands, bytes, ALIQUOT_RING_NONE, &none),
                     -ETIMEDOUT);
    assert_null(none);
    fake_server_release(server);
    assert_int_equal(aliquot_submit(context, commands, bytes, ALIQUOT_RING_NONE, &none), 0);
    assert_int_equal(aliquot_fence_finish(none), 0);
    assert_int_equal(aliquot_fence_finish(first), 0);
    assert_int_equal(aliquot_fence_finish(second), 0);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_int_equal(info.memory_free_bytes, info.memory_bytes);
    aliquot_close(vgpu);
    fake_server_stop(server);
    free(commands);
}

/* Backing goes back to the heap when the device has let go, not before. */
static void test_backing_waits_for_the_device(void **state)
{
    int fd;
    const struct aliquot_resource_args args = {
        .target = 2, .format = 1, .width = 64, .height = 64, .backing_bytes = 16384};
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_SILENT, .after = 3}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, HASTY_MS);
    struct aliquot_resource *resource;
    struct aliquot_info info;
    size_t bytes = 0;

    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &resource), 0);
    assert_int_equal(aliquot_resource_wait(resource), 0);
    memset(aliquot_resource_map(resource, &bytes), 0xff, 16384);
    assert_int_equal(bytes, 16384);
    assert_int_equal(aliquot_sync(vgpu), 0);
    aliquot_resource_destroy(resource);
    assert_int_equal(aliquot_sync(vgpu), -ETIMEDOUT);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_int_equal(info.memory_free_bytes, info.memory_bytes - 16384);
    aliquot_close(vgpu);
    fake_server_stop(server);
}

static void test_bad_arguments(void **state)
{
    int fd, fd2;
    struct fake_server *server = fake_server_start(&(struct fake_options){0}, &fd);
    struct fake_server *server2 = fake_server_start(&(struct fake_options){0}, &fd2);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, PATIENT_MS),
                        *other = open_vgpu(NULL, fd2, PATIENT_MS);
    struct aliquot_context *context = make_context(vgpu), *none = NULL;
    struct aliquot_resource *foreign, *bare;
    struct aliquot_resource_args args = {.backing_bytes = 4096};
    const struct aliquot_transfer outside = {.offset = 4096};
    struct aliquot_capset_info capset;
    uint8_t data[256];
    size_t bytes = 0;

    assert_int_equal(aliquot_submit(context, nop, 0, ALIQUOT_RING_NONE, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 3, ALIQUOT_RING_NONE, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 4, 64, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 4, -2, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 4, 63, NULL), 0);
    assert_int_equal(aliquot_context_create(vgpu, 256, NULL, &none), -EINVAL);
    assert_int_equal(aliquot_capset_info(vgpu, 1, &capset), -EINVAL);
    assert_int_equal(aliquot_capset(vgpu, 2, 1, data, 0, &bytes), -EINVAL);
    assert_int_equal(aliquot_capset(vgpu, 2, 1, data, SIZE_MAX, &bytes), -EINVAL);
    assert_int_equal(aliquot_capset(vgpu, 2, 1, data, sizeof(data), &bytes), 0);
    assert_int_equal(bytes, 64);
    assert_int_equal(data[63], 0x5a);

    assert_int_equal(aliquot_resource_create_3d(other, &args, &foreign), 0);
    assert_int_equal(aliquot_context_attach(context, foreign), -EINVAL);
    assert_int_equal(aliquot_transfer_to_host(context, foreign, &outside, NULL), -EINVAL);
    assert_int_equal(aliquot_transfer_to_host(NULL, foreign, &outside, NULL), -EINVAL);
    args.backing_bytes = 1ull << 40;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &bare), -EINVAL);
    args.backing_bytes = 0;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &bare), 0);
    assert_null(aliquot_resource_map(bare, NULL));
    assert_int_equal(aliquot_transfer_to_host(NULL, bare, &(struct aliquot_transfer){0}, NULL),
                     -EINVAL);
    aliquot_context_destroy(NULL);
    aliquot_resource_destroy(NULL);
    aliquot_fence_unref(NULL);
    aliquot_close(NULL);
    aliquot_close(vgpu);
    aliquot_close(other);
    fake_server_stop(server);
    fake_server_stop(server2);
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* In the child: 0 if all is as it should be, or the line that is not. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__ % 255 + 1;                                                             \
    } while (0)

static int child_of_fork(struct aliquot_vgpu *vgpu, struct aliquot_context *context,
                         struct aliquot_resource *resource, struct aliquot_fence *fence)
{
    struct aliquot_info info;
    char text[10];

    EXPECT(aliquot_sync(vgpu) == -EOWNERDEAD);
    EXPECT(aliquot_get_info(vgpu, &info) == -EOWNERDEAD);
    EXPECT(aliquot_last_error(vgpu, text, sizeof(text)) == -EOWNERDEAD);
    EXPECT(aliquot_submit(context, nop, 4, ALIQUOT_RING_NONE, NULL) == -EOWNERDEAD);
    EXPECT(aliquot_fence_wait(fence, 0) == -EOWNERDEAD);
    EXPECT(aliquot_fence_fd(fence) == -EOWNERDEAD);
    aliquot_resource_destroy(resource);
    aliquot_context_destroy(context);
    aliquot_close(vgpu);
    aliquot_fence_unref(fence);
    return 0;
}

static void test_fork(void **state)
{
    int fd, status;
    struct fake_server *server =
        fake_server_start(&(struct fake_options){.ring_fault = RING_HOLD_FENCES}, &fd);
    struct aliquot_vgpu *vgpu = open_vgpu(NULL, fd, PATIENT_MS);
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_resource *resource;
    const struct aliquot_resource_args args = {.backing_bytes = 4096};
    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &resource), 0);
    struct aliquot_fence *fence = submit(context);

    pid_t child = fork();
    if (child == 0)
        _exit(child_of_fork(vgpu, context, resource, fence));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);

    /* The child's close was its own affair. */
    fake_server_release(server);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(aliquot_sync(vgpu), 0);
    aliquot_close(vgpu);
    fake_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_faults),
        cmocka_unit_test(test_device_errors),
        cmocka_unit_test(test_death_wakes_everybody),
        cmocka_unit_test(test_close_wakes_everybody),
        cmocka_unit_test(test_fence_descriptor),
        cmocka_unit_test(test_waiting_beside_a_descriptor),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_full_memory),
        cmocka_unit_test(test_backing_waits_for_the_device),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
