/* SPDX-License-Identifier: MIT */
/*
 * What of the vtest server Venus needs and the GPU's time, or its memory, decides: sync objects
 * that fences raise, and blobs whose memory the client can't map.
 */
#include "mediator/base/util.h"
#include "protocol/virtio_gpu.h"
#include "tests/unit/vtest_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

static void hear(uint32_t *ret, unsigned words)
{
    size_t bytes = words * sizeof(*ret);
    assert_int_equal(recv(server.sock, ret, bytes, MSG_DONTWAIT), bytes);
}

static int hear_fd(void)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    int fd;

    assert_int_equal(recvmsg(server.sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 1);
    assert_non_null(CMSG_FIRSTHDR(&msg));
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
    return fd;
}

/* ---- sync objects -----------------------------------------------------------------------------
 */

static uint32_t make_sync(uint32_t value)
{
    const uint32_t message[] = {2, VTEST_SYNC_CREATE, value, 0};
    uint32_t answer[3];

    say(message, sizeof(message));
    hear(answer, 3);
    assert_int_equal(answer[1], VTEST_SYNC_CREATE);
    return answer[2];
}

static void assert_value(uint32_t sync, uint32_t value)
{
    const uint32_t message[] = {1, VTEST_SYNC_READ, sync};
    uint32_t answer[4];

    say(message, sizeof(message));
    hear(answer, 4);
    assert_int_equal(answer[2], value);
    assert_int_equal(answer[3], 0);
}

static int wait_for(uint32_t sync, uint32_t value)
{
    const uint32_t message[] = {5, VTEST_SYNC_WAIT, 0, ~0u, sync, value, 0};
    uint32_t answer[2];

    say(message, sizeof(message));
    hear(answer, 2);
    assert_int_equal(answer[1], VTEST_SYNC_WAIT);
    return hear_fd();
}

static bool is_readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    return poll(&pfd, 1, 0) == 1;
}

/* A batch without commands, in version 3. */
static void submit(uint32_t ring, uint32_t sync, uint32_t value)
{
    const uint32_t message[] = {
        10, VTEST_SUBMIT_CMD2, 1, VTEST_BATCH_RING_IDX, 0, 0, 7, 1, ring, sync, value, 0};
    say(message, sizeof(message));
}

static void complete(uint32_t ring, uint64_t fence)
{
    gpu_fence_queue_events.fence_done(server.queue, server.last_ctx_id, ring, fence);
    turn();
}

static void test_fences_raise_values(void **state)
{
    uint32_t a = make_sync(1), b = make_sync(1);
    int wait_a, wait_b;
    uint64_t fence_a;

    submit(3, a, 5);
    assert_true(server.last_per_context && server.last_ring_idx == 3);
    fence_a = server.last_fence;
    submit(4, b, 7);
    wait_a = wait_for(a, 5);
    wait_b = wait_for(b, 6);
    assert_false(is_readable(wait_a) || is_readable(wait_b));
    complete(4, server.last_fence);
    assert_true(is_readable(wait_b));
    assert_false(is_readable(wait_a));
    assert_value(a, 1);
    assert_value(b, 7);
    complete(3, fence_a);
    assert_true(is_readable(wait_a));
    assert_value(a, 5);
    close(wait_a);
    close(wait_b);
    assert_int_equal(server.stats.fences, 2);
    assert_int_equal(server.stats.rejected, 0);
}

/* An object that is given up is still raised, for who waits for it. */
static void test_unref_meanwhile(void **state)
{
    uint32_t sync = make_sync(0);
    const uint32_t unref[] = {1, VTEST_SYNC_UNREF, sync};
    int fd;

    submit(1, sync, 2);
    fd = wait_for(sync, 2);
    say(unref, sizeof(unref));
    assert_false(is_readable(fd));
    complete(1, server.last_fence);
    assert_true(is_readable(fd));
    close(fd);
}

static void test_client_goes_meanwhile(void **state)
{
    uint32_t sync = make_sync(0);
    int fd;

    submit(1, sync, 2);
    fd = wait_for(sync, 2);
    close(server.sock);
    server.sock = -1;
    turn();
    assert_true(server.ended);
    assert_false(is_readable(fd));
    close(fd);
}

static void test_no_fence(void **state)
{
    uint32_t sync = make_sync(0);

    server.fence_result = -EIO;
    submit(1, sync, 2);
    turn();
    assert_true(server.ended && server.broken);
    assert_non_null(strstr(server.reason, "fence"));
}

/* ---- blobs ------------------------------------------------------------------------------------
 */

static uint32_t make_blob(uint32_t bytes, uint32_t blob_id, int *ret_fd)
{
    const uint32_t message[] = {
        6, VTEST_RESOURCE_CREATE_BLOB, VIRTIO_GPU_BLOB_MEM_HOST3D, 1, bytes, 0, blob_id, 0};
    uint32_t answer[3];

    say(message, sizeof(message));
    hear(answer, 3);
    assert_int_equal(answer[0], 1);
    assert_int_equal(answer[1], VTEST_RESOURCE_CREATE_BLOB);
    assert_int_not_equal(answer[2], 0);
    *ret_fd = hear_fd();
    return answer[2];
}

static void assert_unmappable(int fd)
{
    assert_true(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
    close(fd);
}

static void unref(uint32_t id)
{
    const uint32_t message[] = {1, VTEST_RESOURCE_UNREF, id};
    say(message, sizeof(message));
    assert_silent();
    assert_false(server.ended);
}

static int map_result;

static int map_elsewhere(struct backend *b, uint32_t resource_id, struct backend_blob_map *ret)
{
    int r = map_result;
    if (r == 0)
        r = backend_null.blob_map(b, resource_id, ret);
    if (r == 0)
        ret->offset = 0x1000;
    return r;
}

/* The client would map it from the start of the descriptor. */
static void test_memory_that_begins_elsewhere(void **state)
{
    int fd;

    server.ops.blob_map = map_elsewhere;
    map_result = 0;
    uint32_t id = make_blob(5000, 1, &fd);
    assert_unmappable(fd);
    assert_int_equal(server.stats.resources, 1);
    unref(id);
    assert_int_equal(server.stats.resources, 0);
    map_result = -EOPNOTSUPP;
    id = make_blob(5000, 1, &fd);
    assert_unmappable(fd);
    assert_int_equal(server.stats.resources, 1);
    unref(id);
    /* An error is another matter: there is no such blob then. */
    map_result = -ENOMEM;
    id = make_blob(5000, 1, &fd);
    assert_unmappable(fd);
    assert_int_equal(server.stats.resources, 0);
    unref(id);
}

/* What can't be made has an id all the same, which stands for nothing and is never another's. */
static void test_blob_that_can_not_be(void **state)
{
    static const uint32_t busy[] = {2, VTEST_RESOURCE_BUSY_WAIT, 1, 0};
    int fd;

    uint32_t id = make_blob(5000, 0, &fd);
    assert_int_equal(id, 1);
    assert_unmappable(fd);
    assert_int_equal(server.stats.resources, 0);
    assert_int_equal(server.stats.rejected, 1);
    id = make_blob(5000, 1, &fd);
    assert_int_equal(id, 2);
    close(fd);
    unref(1);
    unref(2);
    say(busy, sizeof(busy));
    turn();
    assert_true(server.ended && server.broken);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, vtest_set_up, vtest_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_fences_raise_values),          TEST(test_unref_meanwhile),
        TEST(test_client_goes_meanwhile),        TEST(test_no_fence),
        TEST(test_memory_that_begins_elsewhere), TEST(test_blob_that_can_not_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
