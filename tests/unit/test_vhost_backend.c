/* SPDX-License-Identifier: MIT */
#include "vhost_fixture.h"

#include "mediator/base/util.h"
#include "protocol/msg_socket.h"

#include <linux/sockios.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

static void answers_the_handshake(void **state)
{
    struct front_end *fe = *state;

    uint64_t features = fe_ask_u64(fe, VHOST_USER_GET_FEATURES);
    static const unsigned want[] = {VIRTIO_F_VERSION_1, VIRTIO_RING_F_INDIRECT_DESC,
                                    VIRTIO_RING_F_EVENT_IDX, VHOST_USER_F_PROTOCOL_FEATURES,
                                    VIRTIO_GPU_F_EDID};
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_true((features >> want[i] & 1) != 0);
    uint64_t protocol = fe_ask_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES);
    assert_int_equal(protocol & FE_PROTOCOL_FEATURES, FE_PROTOCOL_FEATURES);
    assert_int_equal(fe_ask_u64(fe, VHOST_USER_GET_QUEUE_NUM), 2);
    assert_int_equal(fe_ask_u64(fe, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
    fe_negotiate(fe);

    struct vhost_user_config config = {.size = 20}; /* as QEMU asks */
    fe_send_msg(fe, VHOST_USER_GET_CONFIG, &config, VHOST_USER_CONFIG_HEADER + 20, -1);
    assert_int_equal(fe_get_answer(fe, VHOST_USER_GET_CONFIG, &config, sizeof(config)),
                     VHOST_USER_CONFIG_HEADER + 20);
    struct virtio_gpu_config space;
    memcpy(&space, config.data, sizeof(space));
    assert_int_equal(space.num_scanouts, 1);

    config = (struct vhost_user_config){.offset = 16, .size = 20}; /* outside: an empty answer */
    fe_send_msg(fe, VHOST_USER_GET_CONFIG, &config, VHOST_USER_CONFIG_HEADER + 20, -1);
    assert_int_equal(fe_get_answer(fe, VHOST_USER_GET_CONFIG, &config, sizeof(config)), 0);
    assert_false(fe->ended);
}

static void serves_requests(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    assert_int_equal(fe->stats.driver_ok, 1);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
    assert_true(fe_called(fe));
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    assert_false(fe->ended);
}

static void serves_more_than_one_go(void **state)
{
    struct front_end *fe = *state;
    const unsigned n = RING_NUM / 2; /* as many as fit, two descriptors each */
    fe_start_driver(fe);
    fe_called(fe);
    for (uint32_t i = 0; i < n; i++) {
        struct virtio_gpu_resource_create_2d create = fe_create_1;
        create.resource_id = i + 1;
        fe_queue_request(fe, i, &create, sizeof(create), sizeof(struct virtio_gpu_ctrl_hdr));
    }
    fe_kick(fe);
    assert_int_equal(fe_take_used(fe), n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(fe_response(fe, i), VIRTIO_GPU_RESP_OK_NODATA);
    assert_true(fe_called(fe));
}

static void waits_until_enabled(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    fe_send_state(fe, VHOST_USER_SET_VRING_ENABLE, 0, 0);
    fe_queue_request(fe, 0, &fe_create_1, sizeof(fe_create_1), sizeof(struct virtio_gpu_ctrl_hdr));
    fe_kick(fe);
    assert_int_equal(fe_take_used(fe), 0);
    fe_send_state(fe, VHOST_USER_SET_VRING_ENABLE, 0, 1);
    assert_int_equal(fe_take_used(fe), 1);
}

static void serves_what_was_queued_before_the_start(void **state)
{
    struct front_end *fe = *state;
    fe_negotiate(fe);
    fe_add_memory(fe);
    fe_make_ring(fe, 0);
    fe_queue_request(fe, 0, &fe_create_1, sizeof(fe_create_1), sizeof(struct virtio_gpu_ctrl_hdr));
    fe_start_ring(fe, 0, 0); /* and no kick */
    assert_int_equal(fe_take_used(fe), 1);
    assert_true(fe_called(fe)); /* though the call descriptor came after the kick's */
}

static void rings_need_no_enable_without_protocol_features(void **state)
{
    struct front_end *fe = *state;
    fe_send_u64(fe, VHOST_USER_SET_FEATURES, 1ull << VIRTIO_F_VERSION_1, -1);
    struct vhost_user_mem_table table = {.nregions = 1, .regions = {fe_whole_memory(fe).region}};
    fe_send_msg(fe, VHOST_USER_SET_MEM_TABLE, &table, 8 + 32, fe->mem_fd);
    fe_make_ring(fe, 0);
    struct vhost_user_vring_addr addr = fe_ring_addr(fe, 0);
    fe_queue_request(fe, 0, &fe_create_1, sizeof(fe_create_1), sizeof(struct virtio_gpu_ctrl_hdr));
    fe_send_state(fe, VHOST_USER_SET_VRING_NUM, 0, RING_NUM);
    fe_send_msg(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
    fe_send_u64(fe, VHOST_USER_SET_VRING_KICK, 0, fe->kick[0]);
    assert_int_equal(fe_take_used(fe), 1);
    /* The driver could not be told; it hears of it as soon as it can. */
    assert_false(fe_called(fe));
    fe_send_u64(fe, VHOST_USER_SET_VRING_CALL, 0, fe->call[0]);
    assert_true(fe_called(fe));
}

static void keeps_state_over_stop_and_cont(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
    assert_int_equal(fe_stop_ring(fe, 0), 1);
    assert_int_equal(fe->stats.driver_ok, 0);
    fe_start_ring(fe, 0, 1);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    assert_int_equal(fe_stop_ring(fe, 0), 2);
}

static void drops_state_for_a_new_driver(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
    fe_stop_ring(fe, 0);
    fe_make_ring(fe, 0);
    fe_start_ring(fe, 0, 0);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
}

static void keeps_state_where_the_index_wrapped_to_zero(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
    fe_stop_ring(fe, 0);
    /* As if the 65 536th request had been answered last: index 0, elements used. */
    fe_make_ring(fe, 0);
    fe->rings[0].used->ring[RING_NUM - 1].len = 24;
    fe_start_ring(fe, 0, 0);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void reset_device_drops_state(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
    assert_int_equal(fe_ask_ack(fe, VHOST_USER_RESET_DEVICE, NULL, 0, -1), 0);
    assert_int_equal(fe->stats.resources, 0);
    fe_make_ring(fe, 0);
    fe_start_ring(fe, 0, 0);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
}

static void rings_run_on_through_table_updates(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);

    struct vhost_user_mem_table table = {.nregions = 1, .regions = {fe_whole_memory(fe).region}};
    fe_send_msg(fe, VHOST_USER_SET_MEM_TABLE, &table, 8 + 32, fe->mem_fd);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);

    /* Removed: requests wait. Back again: they are served. */
    struct vhost_user_mem_reg reg = fe_whole_memory(fe);
    assert_int_equal(fe_ask_ack(fe, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), -1), 0);
    fe_queue_request(fe, 0, &fe_create_1, sizeof(fe_create_1), sizeof(struct virtio_gpu_ctrl_hdr));
    fe_kick(fe);
    assert_int_equal(fe_take_used(fe), 0);
    fe_add_memory(fe);
    assert_int_equal(fe_take_used(fe), 1);
    assert_false(fe->ended);
}

static void refuses_with_an_acknowledgement(void **state)
{
    struct front_end *fe = *state;
    struct vhost_user_mem_reg reg = fe_whole_memory(fe);
    fe_negotiate(fe);

    reg.region.size *= 2;
    assert_int_not_equal(fe_ask_ack(fe, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), fe->mem_fd), 0);
    assert_int_not_equal(fe_ask_ack(fe, 4711, &reg, 8, -1), 0);
    struct vhost_user_vring_state vring = {.index = 0, .num = 3};
    assert_int_not_equal(fe_ask_ack(fe, VHOST_USER_SET_VRING_NUM, &vring, sizeof(vring), -1), 0);
    assert_int_equal(fe->stats.rejected, 3);
    assert_false(fe->ended);

    /* The same without the wish for an answer has no other way to say no. */
    fe_send_msg(fe, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), fe->mem_fd);
    assert_true(fe->ended);
    assert_string_equal(fe->reason, "ADD_MEM_REG: a memory region is longer than its file");
    assert_int_equal(fe->stats.rejected, 4);
}

static void ends_on_malformed_messages(void **state)
{
    struct front_end *fe = *state;
    static const struct {
        uint32_t request, flags, size, n_fds;
    } bad[] = {
        {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 7, 0},
        {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 9, 0},
        {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8, 1},
        {VHOST_USER_SET_FEATURES, 0, 8, 0},
        {VHOST_USER_SET_FEATURES, 2, 8, 2},
        {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION | VHOST_USER_REPLY, 8, 0},
        {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION | 0x100, 8, 0},
        {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 8, 0},
        {VHOST_USER_GET_SHMEM_CONFIG, VHOST_USER_VERSION, 0, 0},
        {VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, 0, 0},
        {VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, 0, 1}, /* no socket */
        {VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, 0, 2},
        {VHOST_USER_GPU_SET_SOCKET, VHOST_USER_VERSION, 0, 1},
        {VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 8, 1},
        {VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 8 + 32, 2},
        {VHOST_USER_SET_VRING_KICK, VHOST_USER_VERSION, 8, 1}, /* no eventfd */
        {VHOST_USER_SET_VRING_KICK, VHOST_USER_VERSION, 8, 0},
        {VHOST_USER_SET_LOG_BASE, VHOST_USER_VERSION, 16, 1},
        {0, VHOST_USER_VERSION, 0, 0},
        {UINT32_MAX, VHOST_USER_VERSION, 8, 0},
        {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 4096, 2}, /* more than any message has */
    };
    static const uint8_t zeros[4096];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t rejected = fe->stats.rejected;
        int fds[] = {fe->mem_fd, fe->mem_fd};
        fe_send_raw(fe, bad[i].request, bad[i].flags, zeros, bad[i].size, fds, bad[i].n_fds);
        assert_true(fe->ended);
        assert_int_equal(fe->stats.rejected, rejected + 1);
        assert_int_equal(fe->stats.connected, 0);
        close(fe->sock);
        fe_connect_back_end(fe);
    }
}

static void ends_on_bad_state(void **state)
{
    struct front_end *fe = *state;
    static const struct {
        uint32_t request;
        struct vhost_user_vring_state state;
    } bad[] = {
        {VHOST_USER_SET_VRING_NUM, {2, 256}},  {VHOST_USER_SET_VRING_NUM, {UINT32_MAX, 256}},
        {VHOST_USER_SET_VRING_NUM, {0, 0}},    {VHOST_USER_SET_VRING_NUM, {0, 100}},
        {VHOST_USER_SET_VRING_NUM, {0, 2048}}, {VHOST_USER_SET_VRING_NUM, {0, 1u << 31}},
        {VHOST_USER_SET_VRING_BASE, {2, 0}},   {VHOST_USER_SET_VRING_BASE, {0, 65536}},
        {VHOST_USER_SET_VRING_ENABLE, {2, 1}}, {VHOST_USER_SET_VRING_ENABLE, {0, 2}},
        {VHOST_USER_GET_VRING_BASE, {2, 0}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fe_send_state(fe, bad[i].request, bad[i].state.index, bad[i].state.num);
        assert_true(fe->ended);
        close(fe->sock);
        fe_connect_back_end(fe);
    }
    /* A kick for a ring that was never set up. */
    fe_send_u64(fe, VHOST_USER_SET_VRING_KICK, 0, fe->kick[0]);
    assert_true(fe->ended);
}

static void ends_on_bad_ring_addresses(void **state)
{
    struct front_end *fe = *state;
    for (int i = 0; i < 9; i++) {
        fe_negotiate(fe);
        fe_add_memory(fe);
        fe_make_ring(fe, 0);
        struct vhost_user_vring_addr addr = fe_ring_addr(fe, 0);
        uint64_t end = (uintptr_t)fe->mem + MEM_BYTES;
        switch (i) {
        case 0:
            addr.desc_uva += 8; /* misaligned */
            break;
        case 1:
            addr.avail_uva += 1;
            break;
        case 2:
            addr.used_uva += 2;
            break;
        case 3:
            addr.desc_uva = end - vring_desc_bytes(RING_NUM) + 16; /* one entry too far */
            break;
        case 4:
            addr.avail_uva = end - vring_avail_bytes(RING_NUM) + 2;
            break;
        case 5:
            addr.used_uva = end - 4;
            break;
        case 6:
            addr.desc_uva = 0;
            break;
        case 7:
            addr.used_uva = UINT64_MAX - 3;
            break;
        default:
            addr.flags = VHOST_USER_VRING_LOG;
            break;
        }
        fe_send_state(fe, VHOST_USER_SET_VRING_NUM, 0, RING_NUM);
        assert_false(fe->ended);
        fe_send_msg(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
        assert_true(fe->ended);
        close(fe->sock);
        fe_connect_back_end(fe);
    }
}

static void ends_on_a_broken_ring(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    fe_queue_request(fe, 0, &fe_create_1, sizeof(fe_create_1), sizeof(struct virtio_gpu_ctrl_hdr));
    fe->rings[0].avail->ring[0] = 0x7fff;
    uint64_t rejected = fe->stats.rejected;
    fe_kick(fe);
    assert_true(fe->ended);
    assert_non_null(strstr(fe->reason, "virtqueue 0: "));
    assert_int_equal(fe->stats.rejected, rejected + 1);
}

static void ends_when_the_front_end_dies_in_a_message(void **state)
{
    struct front_end *fe = *state;
    struct vhost_user_header hdr = {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8};
    assert_int_equal(send(fe->sock, &hdr, sizeof(hdr), 0), sizeof(hdr));
    assert_int_equal(shutdown(fe->sock, SHUT_WR), 0);
    fe_turn(fe);
    assert_true(fe->ended);
    assert_int_equal(fe->stats.rejected, 1);
}

static void takes_back_what_waits_for_the_display(void **state)
{
    struct front_end *fe = *state;
    static const struct virtio_gpu_ctrl_hdr get_info = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fe_start_driver(fe);
    fe_send_msg(fe, VHOST_USER_GPU_SET_SOCKET, NULL, 0, pair[0]);
    close(pair[0]);

    /* The display does not answer, so the queue stands, and what follows waits with it. */
    struct vring_seg segs[] = {
        {MEM_GPA + REQUEST_AT, sizeof(get_info)},
        {MEM_GPA + RESPONSE_AT, sizeof(struct virtio_gpu_resp_display_info)},
    };
    memcpy(fe->mem + REQUEST_AT, &get_info, sizeof(get_info));
    assert_int_equal(vring_drv_add(&fe->rings[0], segs, 1, 1, fe), 0);
    fe_kick(fe);
    assert_int_equal(fe_take_used(fe), 0);
    assert_int_equal(fe_stop_ring(fe, 0), 0);

    /* The display goes, and the request is served from the device's own tables. */
    close(pair[1]);
    fe_turn(fe);
    fe_start_ring(fe, 0, 0);
    assert_int_equal(fe_take_used(fe), 1);
    assert_int_equal(fe_response(fe, 0), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    assert_false(fe->ended);
}

/* ---- requests in flight: a backend whose fences are done when the test says so ---- */

static struct {
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
} held_fence;

static int hold_fence(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                      uint64_t fence_id)
{
    held_fence.ctx_id = ctx_id;
    held_fence.ring_idx = ring_idx;
    held_fence.fence_id = fence_id;
    return 0;
}

static void release_fence(struct front_end *fe)
{
    gpu_fence_queue_events.fence_done(fe->fences, held_fence.ctx_id, held_fence.ring_idx,
                                      held_fence.fence_id);
}

/* On running rings: leaves one fenced request in flight. */
static void start_fenced(struct front_end *fe)
{
    static struct backend_ops slow;
    struct virtio_gpu_resource_create_2d create = fe_create_1;

    slow = backend_null;
    slow.fence = hold_fence;
    fe->backend->ops = &slow;
    create.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
    create.hdr.fence_id = 1;
    fe_queue_request(fe, 0, &create, sizeof(create), sizeof(struct virtio_gpu_ctrl_hdr));
    fe_kick(fe);
    assert_int_equal(fe_take_used(fe), 0);
}

static void answers_when_the_fence_is_done(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    start_fenced(fe);
    assert_false(fe_called(fe));
    release_fence(fe);
    fe_turn(fe);
    assert_int_equal(fe_take_used(fe), 1);
    assert_true(fe_called(fe));
}

static void *release_when_stopping(void *opaque)
{
    struct front_end *fe = opaque;
    int unread;
    /* The back-end has read the last message: it waits, or is about to. */
    while (ioctl(fe->sock, SIOCOUTQ, &unread) == 0 && unread > 0)
        sched_yield();
    release_fence(fe);
    return NULL;
}

static void stop_waits_for_what_is_in_flight(void **state)
{
    struct front_end *fe = *state;
    struct vhost_user_vring_state vring = {.index = 0};
    struct vhost_user_header hdr = {VHOST_USER_GET_VRING_BASE, VHOST_USER_VERSION, sizeof(vring)};
    struct iovec iov[] = {{&hdr, sizeof(hdr)}, {&vring, sizeof(vring)}};
    pthread_t thread;

    fe_start_driver(fe);
    start_fenced(fe);
    assert_int_equal(msg_send(fe->sock, iov, ARRAY_SIZE(iov), NULL, 0, 1000), 0);
    assert_int_equal(pthread_create(&thread, NULL, release_when_stopping, fe), 0);
    fe_turn(fe);
    pthread_join(thread, NULL);
    assert_int_equal(fe_get_answer(fe, VHOST_USER_GET_VRING_BASE, &vring, sizeof(vring)),
                     sizeof(vring));
    assert_int_equal(vring.num, 1);
    assert_int_equal(fe_take_used(fe), 1); /* not lost */
}

static void memory_stays_while_it_is_in_flight(void **state)
{
    struct front_end *fe = *state;
    struct vhost_user_mem_reg rings = fe_whole_memory(fe), buffers = rings;

    /* The rings keep their own memory, so the buffers lie elsewhere. */
    rings.region.size = REQUEST_AT;
    buffers.region.gpa += REQUEST_AT;
    buffers.region.uva += REQUEST_AT;
    buffers.region.mmap_offset += REQUEST_AT;
    buffers.region.size -= REQUEST_AT;
    fe_negotiate(fe);
    fe_send_msg(fe, VHOST_USER_ADD_MEM_REG, &rings, sizeof(rings), fe->mem_fd);
    fe_send_msg(fe, VHOST_USER_ADD_MEM_REG, &buffers, sizeof(buffers), fe->mem_fd);
    fe_start_rings(fe);
    start_fenced(fe);

    assert_int_equal(fe_ask_ack(fe, VHOST_USER_REM_MEM_REG, &buffers, sizeof(buffers), -1), 0);
    assert_int_equal(fe_mapped_bytes(), 2 * MEM_BYTES);
    release_fence(fe);
    fe_turn(fe);
    assert_int_equal(fe_take_used(fe), 1);
    assert_int_equal(fe_mapped_bytes(), MEM_BYTES + REQUEST_AT);

    assert_int_equal(fe_ask_ack(fe, VHOST_USER_REM_MEM_REG, &rings, sizeof(rings), -1), 0);
    assert_int_equal(fe_mapped_bytes(), MEM_BYTES + REQUEST_AT);
    for (uint32_t i = 0; i < VIRTIO_GPU_QUEUES; i++)
        fe_stop_ring(fe, i);
    assert_int_equal(fe_mapped_bytes(), MEM_BYTES);
}

static void ends_with_requests_in_flight(void **state)
{
    struct front_end *fe = *state;
    fe_start_driver(fe);
    start_fenced(fe);
    close(fe->sock);
    fe_turn(fe);
    assert_true(fe->ended);
    assert_int_equal(fe_mapped_bytes(), MEM_BYTES);
    fe_connect_back_end(fe);
    release_fence(fe); /* late, and nobody's */
    fe_turn(fe);
    fe_start_driver(fe);
    assert_int_equal(fe_create_resource(fe), VIRTIO_GPU_RESP_OK_NODATA);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fe_set_up, fe_tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(answers_the_handshake),
        TEST(serves_requests),
        TEST(serves_more_than_one_go),
        TEST(waits_until_enabled),
        TEST(serves_what_was_queued_before_the_start),
        TEST(rings_need_no_enable_without_protocol_features),
        TEST(keeps_state_over_stop_and_cont),
        TEST(drops_state_for_a_new_driver),
        TEST(keeps_state_where_the_index_wrapped_to_zero),
        TEST(reset_device_drops_state),
        TEST(rings_run_on_through_table_updates),
        TEST(refuses_with_an_acknowledgement),
        TEST(ends_on_malformed_messages),
        TEST(ends_on_bad_state),
        TEST(ends_on_bad_ring_addresses),
        TEST(ends_on_a_broken_ring),
        TEST(ends_when_the_front_end_dies_in_a_message),
        TEST(takes_back_what_waits_for_the_display),
        TEST(answers_when_the_fence_is_done),
        TEST(stop_waits_for_what_is_in_flight),
        TEST(memory_stays_while_it_is_in_flight),
        TEST(ends_with_requests_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
