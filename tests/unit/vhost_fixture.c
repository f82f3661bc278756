/* SPDX-License-Identifier: MIT */
#include "vhost_fixture.h"

#include "mediator/base/util.h"
#include "protocol/msg_socket.h"

#include <dirent.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

static unsigned count_fds(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

uint64_t fe_mapped_bytes(void)
{
    char line[512];
    uint64_t start, end, sum = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strstr(line, "memfd:vhost-backend-test") != NULL &&
            sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2)
            sum += end - start;
    fclose(f);
    return sum;
}

static void on_ended(void *opaque, bool broken, const char *reason)
{
    struct front_end *fe = opaque;
    assert_false(fe->ended);
    fe->ended = true;
    snprintf(fe->reason, sizeof(fe->reason), "%s", reason);
    vhost_backend_destroy(TAKE_PTR(fe->be));
}

void fe_turn(struct front_end *fe)
{
    int r;
    for (unsigned i = 0; i < 10000; i++) {
        r = sd_event_run(fe->event, 0);
        assert_true(r >= 0);
        if (r == 0)
            return;
    }
    fail_msg("the back-end never comes to rest");
}

void fe_connect_back_end(struct front_end *fe)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const struct connection_config config = {
        .event = fe->event,
        .backend = fe->backend,
        .fences = fe->fences,
        .limits = gpu_limits_default,
        .scanouts = 1,
        .width = 1280,
        .height = 800,
        .hostmem_bytes = fe->hostmem_bytes,
        .completions_fd = fe->completions_fd,
        .stats = &fe->stats,
        .ended = on_ended,
        .opaque = fe,
    };
    assert_int_equal(vhost_backend_create(&config, pair[0], &fe->be), 0);
    fe->sock = pair[1];
    fe->ended = false;
}

int fe_set_up(void **state)
{
    struct front_end *fe = calloc(1, sizeof(*fe));
    const char *error;

    fe->fds_before = count_fds();
    assert_true(sd_event_new(&fe->event) >= 0);
    assert_int_equal(gpu_fence_queue_create(&fe->fences), 0);
    const struct backend_config config = {
        .gpu = "auto", .events = &gpu_fence_queue_events, .opaque = fe->fences};
    assert_int_equal(backend_null.create(&config, &fe->backend, &error), 0);

    fe->mem_fd = memfd_create("vhost-backend-test", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fe->mem_fd, MEM_BYTES), 0);
    fe->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fe->mem_fd, 0);
    assert_ptr_not_equal(fe->mem, MAP_FAILED);
    for (int i = 0; i < VIRTIO_GPU_QUEUES; i++) {
        fe->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        fe->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    fe->completions_fd = -1;
    fe_connect_back_end(fe);
    *state = fe;
    return 0;
}

int fe_tear_down(void **state)
{
    struct front_end *fe = *state;

    close(fe->sock);
    fe_turn(fe);
    assert_true(fe->ended);
    assert_int_equal(fe_mapped_bytes(), MEM_BYTES); /* ours alone: the back-end keeps nothing */
    for (int i = 0; i < VIRTIO_GPU_QUEUES; i++) {
        vring_drv_finish(&fe->rings[i]);
        close(fe->kick[i]);
        close(fe->call[i]);
    }
    munmap(fe->mem, MEM_BYTES);
    close(fe->mem_fd);
    fe->backend->ops->destroy(fe->backend);
    gpu_fence_queue_destroy(fe->fences);
    sd_event_unref(fe->event);
    assert_int_equal(count_fds(), fe->fds_before);
    free(fe);
    return 0;
}

/* ---- messages ------------------------------------------------------------------------------- */

void fe_send_raw(struct front_end *fe, uint32_t request, uint32_t flags, const void *payload,
                 uint32_t size, const int *fds, size_t n_fds)
{
    struct vhost_user_header hdr = {.request = request, .flags = flags, .size = size};
    struct iovec iov[] = {{&hdr, sizeof(hdr)}, {(void *)payload, size}};
    assert_int_equal(msg_send(fe->sock, iov, ARRAY_SIZE(iov), fds, n_fds, 1000), 0);
    fe_turn(fe);
}

void fe_send_msg(struct front_end *fe, uint32_t request, const void *payload, uint32_t size, int fd)
{
    fe_send_raw(fe, request, VHOST_USER_VERSION, payload, size, &fd, fd >= 0 ? 1 : 0);
}

uint32_t fe_get_answer(struct front_end *fe, uint32_t request, void *payload, uint32_t size)
{
    struct vhost_user_header hdr;
    size_t n_fds = 0;
    assert_int_equal(stream_read(fe->sock, &hdr, sizeof(hdr), NULL, 0, &n_fds, 1000), 0);
    assert_int_equal(hdr.request, request);
    assert_int_equal(hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
    assert_true(hdr.size <= size);
    assert_int_equal(stream_read(fe->sock, payload, hdr.size, NULL, 0, &n_fds, 1000), 0);
    return hdr.size;
}

uint64_t fe_ask_u64(struct front_end *fe, uint32_t request)
{
    uint64_t value;
    fe_send_msg(fe, request, NULL, 0, -1);
    assert_int_equal(fe_get_answer(fe, request, &value, sizeof(value)), sizeof(value));
    return value;
}

uint64_t fe_ask_ack(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
                    int fd)
{
    uint64_t value;
    fe_send_raw(fe, request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, payload, size, &fd,
                fd >= 0 ? 1 : 0);
    assert_int_equal(fe_get_answer(fe, request, &value, sizeof(value)), sizeof(value));
    return value;
}

void fe_send_u64(struct front_end *fe, uint32_t request, uint64_t value, int fd)
{
    fe_send_msg(fe, request, &value, sizeof(value), fd);
}

void fe_send_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num)
{
    struct vhost_user_vring_state state = {index, num};
    fe_send_msg(fe, request, &state, sizeof(state), -1);
}

void fe_negotiate(struct front_end *fe)
{
    fe_send_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, FE_PROTOCOL_FEATURES, -1);
    /* RING_RESET was not offered; QEMU takes it all the same. */
    fe_send_u64(fe, VHOST_USER_SET_FEATURES,
                1ull << VHOST_USER_F_PROTOCOL_FEATURES | 1ull << VIRTIO_F_VERSION_1 |
                    1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_F_RING_RESET,
                -1);
    assert_false(fe->ended);
}

struct vhost_user_mem_reg fe_whole_memory(struct front_end *fe)
{
    return (struct vhost_user_mem_reg){
        .region = {.gpa = MEM_GPA, .size = MEM_BYTES, .uva = (uintptr_t)fe->mem}};
}

void fe_add_memory(struct front_end *fe)
{
    struct vhost_user_mem_reg reg = fe_whole_memory(fe);
    assert_int_equal(fe_ask_ack(fe, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), fe->mem_fd), 0);
}

struct vhost_user_vring_addr fe_ring_addr(struct front_end *fe, uint32_t i)
{
    uint64_t ring = (uintptr_t)fe->mem + RING_AT(i);
    return (struct vhost_user_vring_addr){
        .index = i,
        .desc_uva = ring,
        .avail_uva = ring + fe->avail_at[i],
        .used_uva = ring + fe->used_at[i],
    };
}

void fe_make_ring(struct front_end *fe, uint32_t i)
{
    vring_drv_finish(&fe->rings[i]);
    memset(fe->mem + RING_AT(i), 0, vring_drv_bytes(RING_NUM));
    assert_int_equal(vring_drv_init(&fe->rings[i], fe->mem + RING_AT(i), RING_NUM, true,
                                    &fe->avail_at[i], &fe->used_at[i]),
                     0);
}

void fe_start_ring(struct front_end *fe, uint32_t i, uint16_t base)
{
    struct vhost_user_vring_addr addr = fe_ring_addr(fe, i);
    fe_send_state(fe, VHOST_USER_SET_VRING_NUM, i, RING_NUM);
    fe_send_state(fe, VHOST_USER_SET_VRING_BASE, i, base);
    fe_send_msg(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
    fe_send_u64(fe, VHOST_USER_SET_VRING_KICK, i, fe->kick[i]);
    fe_send_u64(fe, VHOST_USER_SET_VRING_CALL, i, fe->call[i]);
    fe_send_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 1);
    assert_false(fe->ended);
}

uint32_t fe_stop_ring(struct front_end *fe, uint32_t i)
{
    struct vhost_user_vring_state state = {.index = i};
    fe_send_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 0);
    fe_send_msg(fe, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), -1);
    assert_int_equal(fe_get_answer(fe, VHOST_USER_GET_VRING_BASE, &state, sizeof(state)),
                     sizeof(state));
    assert_int_equal(state.index, i);
    return state.num;
}

void fe_start_driver(struct front_end *fe)
{
    fe_negotiate(fe);
    fe_add_memory(fe);
    fe_start_rings(fe);
}

void fe_start_rings(struct front_end *fe)
{
    for (uint32_t i = 0; i < VIRTIO_GPU_QUEUES; i++) {
        fe_make_ring(fe, i);
        fe_start_ring(fe, i, 0);
    }
}

/* ---- requests ------------------------------------------------------------------------------- */

void fe_queue_request(struct front_end *fe, uint32_t slot, const void *request, uint32_t size,
                      uint32_t response_size)
{
    struct vring_seg segs[] = {
        {MEM_GPA + REQUEST_AT + slot * SLOT_BYTES, size},
        {MEM_GPA + RESPONSE_AT + slot * SLOT_BYTES, response_size},
    };
    memcpy(fe->mem + REQUEST_AT + slot * SLOT_BYTES, request, size);
    memset(fe->mem + RESPONSE_AT + slot * SLOT_BYTES, 0, SLOT_BYTES);
    assert_int_equal(vring_drv_add(&fe->rings[0], segs, 1, 1, fe), 0);
}

void fe_kick(struct front_end *fe)
{
    if (vring_drv_should_kick(&fe->rings[0]))
        eventfd_write(fe->kick[0], 1);
    fe_turn(fe);
}

unsigned fe_take_used(struct front_end *fe)
{
    void *token;
    uint32_t len;
    unsigned n = 0;
    while (vring_drv_get_used(&fe->rings[0], &token, &len) == 1)
        n++;
    return n;
}

uint32_t fe_response(const struct front_end *fe, uint32_t slot)
{
    struct virtio_gpu_ctrl_hdr hdr;
    memcpy(&hdr, fe->mem + RESPONSE_AT + slot * SLOT_BYTES, sizeof(hdr));
    return hdr.type;
}

const struct virtio_gpu_resource_create_2d fe_create_1 = {
    .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
    .resource_id = 1,
    .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
    .width = 16,
    .height = 16,
};

uint32_t fe_create_resource(struct front_end *fe)
{
    fe_queue_request(fe, 0, &fe_create_1, sizeof(fe_create_1), sizeof(struct virtio_gpu_ctrl_hdr));
    fe_kick(fe);
    assert_int_equal(fe_take_used(fe), 1);
    return fe_response(fe, 0);
}

bool fe_called(struct front_end *fe)
{
    eventfd_t count;
    return eventfd_read(fe->call[0], &count) == 0;
}
