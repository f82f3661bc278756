/* SPDX-License-Identifier: MIT */
/*
 * The client of the display socket, with a real device before it and the test as the front-end. One
 * thread: the event loop runs until it has nothing to do, then the front-end reads.
 */
#include "mediator/renderer/display.h"
#include "protocol/vhost_user_gpu.h"
#include "tests/unit/gpu_fixture.h"

#include <dirent.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA

static sd_event *event;
static struct gpu_display *display;
static int peer; /* the front-end's end */
static unsigned fds_before;

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void pump(void)
{
    int r;

    do
        r = sd_event_run(event, 0);
    while (r > 0);
    assert_int_equal(r, 0);
}

/* A message as the front-end sees it. */
struct seen {
    struct vhost_user_gpu_header header;
    int fd;
    union {
        uint8_t bytes[20];
        uint64_t features;
        struct vhost_user_gpu_edid_request edid;
        struct vhost_user_gpu_scanout scanout;
        struct vhost_user_gpu_update update;
        struct vhost_user_gpu_cursor_pos pos;
        struct vhost_user_gpu_cursor_update cursor;
        struct vhost_user_gpu_dmabuf_scanout2 dmabuf;
    } payload; /* its beginning */
    uint32_t last_word;
};

static bool read_bytes(void *buf, size_t len, int *ret_fd)
{
    size_t done = 0;

    while (done < len) {
        struct iovec iov = {(uint8_t *)buf + done, len - done};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(peer, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0 && errno == ECONNRESET) /* it left something unread */
            return false;
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            pump(); /* a large message comes in pieces */
            n = recvmsg(peer, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
            if (n < 0) {
                assert_int_equal(done, 0);
                return false;
            }
        }
        if (n == 0)
            return false;
        if (ret_fd && msg.msg_controllen >= CMSG_LEN(sizeof(int)))
            memcpy(ret_fd, CMSG_DATA(&control.header), sizeof(int));
        done += (size_t)n;
    }
    return true;
}

/* Takes the next message; false: there is none. */
static bool next_message(struct seen *seen)
{
    uint8_t *all;

    memset(seen, 0, sizeof(*seen));
    seen->fd = -1;
    pump();
    if (!read_bytes(&seen->header, sizeof(seen->header), &seen->fd))
        return false;
    assert_int_equal(seen->header.flags, 0);
    if (seen->header.size == 0)
        return true;
    all = malloc(seen->header.size);
    assert_non_null(all);
    assert_true(read_bytes(all, seen->header.size, NULL));
    memcpy(&seen->payload, all, MIN(seen->header.size, sizeof(seen->payload)));
    memcpy(&seen->last_word, all + seen->header.size - 4, 4);
    free(all);
    return true;
}

static struct seen expect(uint32_t request, uint32_t size)
{
    struct seen seen;

    assert_true(next_message(&seen));
    assert_int_equal(seen.header.request, request);
    assert_int_equal(seen.header.size, size);
    return seen;
}

static void expect_nothing(void)
{
    struct seen seen;
    assert_false(next_message(&seen));
}

static void answer_raw(uint32_t request, uint32_t flags, const void *payload, uint32_t size)
{
    const struct vhost_user_gpu_header header = {request, flags, size};

    assert_int_equal(send(peer, &header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
    if (size > 0)
        assert_int_equal(send(peer, payload, size, MSG_NOSIGNAL), size);
    pump();
}

static void answer(uint32_t request, const void *payload, uint32_t size)
{
    answer_raw(request, VHOST_USER_GPU_REPLY, payload, size);
}

static void negotiate(uint64_t features)
{
    expect(VHOST_USER_GPU_GET_PROTOCOL_FEATURES, 0);
    answer(VHOST_USER_GPU_GET_PROTOCOL_FEATURES, &features, sizeof(features));
    struct seen seen = expect(VHOST_USER_GPU_SET_PROTOCOL_FEATURES, 8);
    assert_true(seen.payload.features == (features & 3));
}

static int setup(void **state)
{
    int pair[2];
    struct fixture *f;

    fds_before = open_fds();
    fixture_setup(state);
    f = *state;
    assert_int_equal(sd_event_new(&event), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    assert_int_equal(display_create(event, pair[0], f->dev, &display), 0);
    gpu_device_set_display(f->dev, display);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    gpu_device_set_display(f->dev, NULL);
    display_destroy(display);
    sd_event_unref(event);
    if (peer >= 0)
        close(peer);
    fixture_teardown(state);
    assert_int_equal(open_fds(), fds_before);
    return 0;
}

static uint32_t ask_info(struct fixture *f)
{
    struct virtio_gpu_ctrl_hdr req = {0};
    return SEND(f, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, &req);
}

static uint32_t ask_edid(struct fixture *f, uint32_t scanout)
{
    struct virtio_gpu_cmd_get_edid req = {.scanout = scanout};
    return SEND(f, VIRTIO_GPU_CMD_GET_EDID, &req);
}

static uint32_t answered_width(const struct fixture *f)
{
    return ((const struct virtio_gpu_resp_display_info *)f->response)->pmodes[0].r.width;
}

static const struct virtio_gpu_resp_display_info info_800 = {
    .hdr.type = VIRTIO_GPU_RESP_OK_DISPLAY_INFO, .pmodes[0] = {{0, 0, 800, 600}, 1, 0}};

static void answer_info(void)
{
    answer(VHOST_USER_GPU_GET_DISPLAY_INFO, &info_800, sizeof(info_800));
}

/* ---- questions ------------------------------------------------------------------------------- */

static void test_questions(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resp_edid edid = {.hdr.type = VIRTIO_GPU_RESP_OK_EDID, .size = 128};

    /* Before the features are known: one can be asked, the other has to wait. */
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_PROTOCOL_FEATURES, 0);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    answer_info();
    assert_int_equal(f->resumed, 1);
    assert_int_equal(answered_width(f), 800);
    assert_int_equal(ask_edid(f, 1), NOT_COMPLETE);
    expect_nothing();
    const uint64_t features = 0xff;
    answer(VHOST_USER_GPU_GET_PROTOCOL_FEATURES, &features, 8);
    struct seen seen = expect(VHOST_USER_GPU_SET_PROTOCOL_FEATURES, 8);
    assert_true(seen.payload.features == 3);
    seen = expect(VHOST_USER_GPU_GET_EDID, 4);
    assert_int_equal(seen.payload.edid.scanout_id, 1);
    edid.edid[7] = 99;
    answer(VHOST_USER_GPU_GET_EDID, &edid, sizeof(edid));
    assert_int_equal(f->resumed, 2);
    assert_int_equal(((struct virtio_gpu_resp_edid *)f->response)->edid[7], 99);
    expect_nothing();
}

static void test_no_edid_feature(void **state)
{
    struct fixture *f = *state;
    const uint64_t none = 0;

    expect(VHOST_USER_GPU_GET_PROTOCOL_FEATURES, 0);
    assert_int_equal(ask_edid(f, 0), NOT_COMPLETE);
    answer(VHOST_USER_GPU_GET_PROTOCOL_FEATURES, &none, 8);
    assert_int_equal(fixture_response(f), VIRTIO_GPU_RESP_OK_EDID); /* own tables */
    assert_int_equal(f->resumed, 1);
    expect(VHOST_USER_GPU_SET_PROTOCOL_FEATURES, 8);
    assert_int_equal(ask_edid(f, 0), VIRTIO_GPU_RESP_OK_EDID);
    expect_nothing();
}

static void test_question_taken_back(void **state)
{
    struct fixture *f = *state;
    struct gpu_cmd *cmd;

    negotiate(3);
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    cmd = gpu_device_take_blocked(f->dev);
    assert_non_null(cmd);
    assert_false(gpu_device_handle(f->dev, cmd));
    expect_nothing(); /* the first question is still on its way */
    answer_info();
    assert_int_equal(answered_width(f), 800);
    /* Taken back for good; the answer goes nowhere. */
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    gpu_device_reset(f->dev);
    answer_info();
    assert_int_equal(f->resumed, 1);
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    answer_info();
    assert_int_equal(f->resumed, 2);
}

static void test_timeout(void **state)
{
    struct fixture *f = *state;

    negotiate(3);
    display_answer_timeout_us = 1;
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    while (f->resumed == 0)
        assert_int_not_equal(sd_event_run(event, 10 * 1000 * 1000), 0);
    display_answer_timeout_us = DISPLAY_ANSWER_TIMEOUT_US;
    assert_int_equal(answered_width(f), 1280); /* own tables */
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    /* While that answer is due, nobody waits for it again. */
    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    expect_nothing();
    /* It comes late and is no mistake; then questions are asked again. */
    answer_info();
    assert_int_equal(f->resumed, 1);
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    answer_info();
    assert_int_equal(answered_width(f), 800);
}

/* ---- pictures -------------------------------------------------------------------------------- */

static void test_copy(void **state)
{
    struct fixture *f = *state;
    struct seen seen;

    negotiate(3);
    fixture_create_2d(f, 1, 64, 32);
    fixture_create_2d(f, 2, 64, 32);
    fixture_fill(f, 1, 64, 32, 0x00123456);
    assert_int_equal(fixture_set_scanout(f, 1, 1, 0, 0, 64, 32), OK);
    seen = expect(VHOST_USER_GPU_SCANOUT, 12);
    assert_int_equal(seen.payload.scanout.scanout_id, 1);
    assert_int_equal(seen.payload.scanout.width, 64);
    assert_int_equal(seen.payload.scanout.height, 32);
    assert_int_equal(fixture_flush(f, 1, 4, 5, 6, 7), OK);
    seen = expect(VHOST_USER_GPU_UPDATE, 20 + 6 * 7 * 4);
    const struct vhost_user_gpu_update want = {1, 4, 5, 6, 7};
    assert_memory_equal(&seen.payload.update, &want, sizeof(want));
    assert_int_equal(seen.last_word, 0x00123456);

    /* A page flip needs no new surface; another size does. */
    assert_int_equal(fixture_set_scanout(f, 1, 2, 0, 0, 64, 32), OK);
    expect_nothing();
    assert_int_equal(fixture_set_scanout(f, 1, 2, 0, 0, 32, 32), OK);
    seen = expect(VHOST_USER_GPU_SCANOUT, 12);
    assert_int_equal(seen.payload.scanout.width, 32);
    assert_int_equal(fixture_set_scanout(f, 1, 0, 0, 0, 0, 0), OK);
    seen = expect(VHOST_USER_GPU_SCANOUT, 12);
    assert_int_equal(seen.payload.scanout.width, 0);
    expect_nothing();

    /* What is in the queue when a flip comes is not lost. */
    assert_int_equal(fixture_set_scanout(f, 1, 1, 0, 0, 64, 32), OK);
    expect(VHOST_USER_GPU_SCANOUT, 12);
    assert_int_equal(fixture_flush(f, 1, 4, 5, 6, 7), OK);
    assert_int_equal(fixture_set_scanout(f, 1, 2, 0, 0, 64, 32), OK);
    expect(VHOST_USER_GPU_UPDATE, 20 + 6 * 7 * 4);
    assert_int_equal(fixture_set_scanout(f, 1, 0, 0, 0, 0, 0), OK);
    expect(VHOST_USER_GPU_SCANOUT, 12);
    expect_nothing();

    /* QEMU crashes on an UPDATE without a surface: none is sent, whatever happens before. */
    display->ops->update(display, 1, 0, 0, 1, 1, &want);
    expect_nothing();
    assert_int_equal(fixture_set_scanout(f, 1, 1, 0, 0, 64, 32), OK);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 64, 32), OK);
    assert_int_equal(fixture_set_scanout(f, 1, 0, 0, 0, 0, 0), OK);
    expect_nothing(); /* all of it was still in the queue */
}

static void test_slow_reader(void **state)
{
    struct fixture *f = *state;
    const uint64_t side = 3000, frame = side * side * 4;
    uint64_t received = 0;
    uint32_t next_row = 0;
    struct seen seen;

    negotiate(3);
    fixture_create_2d(f, 1, side, side);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, side, side), OK);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(fixture_flush(f, 1, 0, 0, side, side), OK);
    assert_false(display->ops->ready(display));
    expect(VHOST_USER_GPU_SCANOUT, 12);
    /* What was queued, the rest of the frame, and no more: flushes merged. */
    while (next_message(&seen)) {
        assert_int_equal(seen.header.request, VHOST_USER_GPU_UPDATE);
        assert_true(seen.header.size <= (1u << 20) + 20);
        received += seen.header.size - 20;
        next_row = seen.payload.update.y + seen.payload.update.height;
    }
    assert_int_equal(next_row, side); /* the last row came */
    assert_true(received >= frame);
    assert_true(received <= frame + DISPLAY_QUEUE_BYTES + (2u << 20));
    assert_true(display->ops->ready(display));
}

static void test_half_sent_message_stays(void **state)
{
    struct fixture *f = *state;
    struct seen seen;

    negotiate(3);
    fixture_create_2d(f, 1, 1000, 1000);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 1000, 1000), OK);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 1000, 1000), OK);
    pump(); /* the socket takes a part of the first band */
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 500, 500), OK);
    expect(VHOST_USER_GPU_SCANOUT, 12);
    assert_true(next_message(&seen));
    assert_int_equal(seen.header.request, VHOST_USER_GPU_UPDATE);
    seen = expect(VHOST_USER_GPU_SCANOUT, 12); /* the other bands are not for it */
    assert_int_equal(seen.payload.scanout.width, 500);
    expect_nothing();
}

static void test_small_messages_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct seen seen;
    unsigned count = 0, cursors = 0;

    negotiate(3);
    fixture_create_2d(f, 1, 64, 64);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 64, 64), OK);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(fixture_flush(f, 1, i % 64, 0, 1, 1), OK);
        struct virtio_gpu_update_cursor req = {.pos = {i % 2, i, i, 0}, .resource_id = 1};
        f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;
        SEND(f, i % 3 ? VIRTIO_GPU_CMD_MOVE_CURSOR : VIRTIO_GPU_CMD_UPDATE_CURSOR, &req);
        f->queue_index = VIRTIO_GPU_QUEUE_CONTROL;
        assert_int_equal(fixture_set_scanout(f, 1, 1, 0, 0, 32 + i % 2, 32), OK);
    }
    while (next_message(&seen)) {
        count++;
        if (seen.header.request == VHOST_USER_GPU_CURSOR_POS)
            cursors++;
        if (seen.header.request == VHOST_USER_GPU_CURSOR_POS && seen.payload.pos.scanout_id == 1)
            assert_int_equal(seen.payload.pos.x, 4999); /* the last state */
    }
    assert_true(count < 300);
    assert_true(cursors > 0 && cursors <= 2);
}

static void test_cursor(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_update_cursor req = {
        .pos = {1, 30, 40, 0}, .resource_id = 1, .hot_x = 5, .hot_y = 6};
    struct seen seen;

    negotiate(3);
    fixture_create_2d(f, 1, 64, 64);
    fixture_fill(f, 1, 64, 64, 0x80aabbcc);
    f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, &req), OK);
    seen = expect(VHOST_USER_GPU_CURSOR_UPDATE, sizeof(struct vhost_user_gpu_cursor_update));
    assert_int_equal(seen.payload.cursor.pos.scanout_id, 1);
    assert_int_equal(seen.payload.cursor.pos.x, 30);
    assert_int_equal(seen.payload.cursor.hot_y, 6);
    assert_int_equal(seen.payload.cursor.data[0], 0x80aabbcc);
    assert_int_equal(seen.last_word, 0x80aabbcc);
    req.pos.x = 31;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_MOVE_CURSOR, &req), OK);
    seen = expect(VHOST_USER_GPU_CURSOR_POS, 12);
    assert_int_equal(seen.payload.pos.x, 31);
    req.resource_id = 0;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, &req), OK);
    expect(VHOST_USER_GPU_CURSOR_POS_HIDE, 12);
    expect_nothing();
    f->queue_index = VIRTIO_GPU_QUEUE_CONTROL;
}

/* ---- dma-buf --------------------------------------------------------------------------------- */

static bool show_dmabuf(int fd, uint64_t modifier, uint32_t offset)
{
    const struct backend_dmabuf buf = {.fd = fd,
                                       .width = 640,
                                       .height = 480,
                                       .stride = 2560,
                                       .offset = offset,
                                       .fourcc = 0x34325258,
                                       .modifier = modifier,
                                       .y_0_top = true};

    return display->ops->dmabuf_scanout(display, 0, 1, 2, 300, 200, &buf);
}

static void test_dmabuf(void **state)
{
    struct fixture *f = *state;
    int fd = memfd_create("picture", MFD_CLOEXEC);
    struct stat a, b;
    struct seen seen;

    assert_false(show_dmabuf(fd, 0, 0)); /* nothing is negotiated yet */
    negotiate(3);
    assert_false(show_dmabuf(fd, 0, 64)); /* no word for an offset */
    expect_nothing();
    assert_true(show_dmabuf(fd, 7, 0));
    seen = expect(VHOST_USER_GPU_DMABUF_SCANOUT2, 48);
    assert_true(seen.fd >= 0);
    assert_int_equal(fstat(fd, &a) | fstat(seen.fd, &b), 0);
    assert_true(a.st_ino == b.st_ino);
    close(seen.fd);
    const struct vhost_user_gpu_dmabuf_scanout2 want = {
        {0, 1, 2, 300, 200, 640, 480, 2560, 1, 0x34325258}, 7};
    assert_memory_equal(&seen.payload.dmabuf, &want, sizeof(want));

    /* One update at a time. */
    assert_true(display->ops->ready(display));
    display->ops->dmabuf_update(display, 0, 3, 4, 5, 6);
    assert_false(display->ops->ready(display));
    seen = expect(VHOST_USER_GPU_DMABUF_UPDATE, 20);
    assert_int_equal(seen.payload.update.width, 5);
    answer(VHOST_USER_GPU_DMABUF_UPDATE, NULL, 0);
    assert_true(display->ops->ready(display));

    /* Back to copies: the buffer is taken away first. An update that was not sent is not waited
     * for. */
    display->ops->dmabuf_update(display, 0, 3, 4, 5, 6);
    fixture_create_2d(f, 1, 64, 32);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 64, 32), OK);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 1, 1), OK);
    seen = expect(VHOST_USER_GPU_DMABUF_SCANOUT, 40);
    assert_int_equal(seen.fd, -1);
    expect(VHOST_USER_GPU_SCANOUT, 12);
    expect(VHOST_USER_GPU_UPDATE, 24);

    /* To a dma-buf and off. */
    assert_true(show_dmabuf(fd, 7, 0));
    seen = expect(VHOST_USER_GPU_DMABUF_SCANOUT2, 48);
    close(seen.fd);
    display->ops->scanout(display, 0, 0, 0);
    seen = expect(VHOST_USER_GPU_DMABUF_SCANOUT, 40);
    assert_int_equal(seen.fd, -1);
    expect_nothing();
    close(fd);
}

static void test_dmabuf_without_modifiers(void **state)
{
    int fd = memfd_create("picture", MFD_CLOEXEC);
    struct seen seen;

    negotiate(1);
    assert_false(show_dmabuf(fd, 7, 0));
    assert_true(show_dmabuf(fd, 0, 0));
    seen = expect(VHOST_USER_GPU_DMABUF_SCANOUT, 40);
    assert_true(seen.fd >= 0);
    close(seen.fd);
    /* Left in the queue: the descriptor must not leak. */
    assert_true(show_dmabuf(fd, 0, 0));
    close(fd);
}

/* ---- a front-end that misbehaves ------------------------------------------------------------- */

/* The display is gone, the guest served all the same. */
static void check_dropped(struct fixture *f)
{
    struct seen seen;

    while (next_message(&seen))
        ;
    assert_int_equal(recv(peer, &seen, 1, MSG_DONTWAIT), 0);
    assert_false(display->ops->ready(display));
    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    assert_int_equal(answered_width(f), 1280);
    assert_int_equal(ask_edid(f, 0), VIRTIO_GPU_RESP_OK_EDID);
    fixture_create_2d(f, 99, 8, 8);
    assert_int_equal(fixture_set_scanout(f, 0, 99, 0, 0, 8, 8), OK);
    assert_int_equal(fixture_flush(f, 99, 0, 0, 8, 8), OK);
    pump();
}

static void drop_with(struct fixture *f, uint32_t request, uint32_t flags, const void *payload,
                      uint32_t size)
{
    negotiate(3);
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    answer_raw(request, flags, payload, size);
    assert_int_equal(f->resumed, 1); /* the open question is answered */
    assert_int_equal(answered_width(f), 1280);
    check_dropped(f);
}

static void test_unasked_answer(void **state)
{
    const struct virtio_gpu_resp_edid edid = {0};
    drop_with(*state, VHOST_USER_GPU_GET_EDID, VHOST_USER_GPU_REPLY, &edid, sizeof(edid));
}

static void test_second_answer(void **state)
{
    const uint64_t features = 3;
    drop_with(*state, VHOST_USER_GPU_GET_PROTOCOL_FEATURES, VHOST_USER_GPU_REPLY, &features, 8);
}

static void test_unknown_answer(void **state)
{
    drop_with(*state, 0xffffffff, VHOST_USER_GPU_REPLY, NULL, 0);
}

static void test_not_an_answer(void **state)
{
    drop_with(*state, VHOST_USER_GPU_GET_DISPLAY_INFO, 0, &info_800, sizeof(info_800));
}

static void test_short_answer(void **state)
{
    drop_with(*state, VHOST_USER_GPU_GET_DISPLAY_INFO, VHOST_USER_GPU_REPLY, &info_800,
              sizeof(info_800) - 1);
}

static void test_long_answer(void **state)
{
    uint8_t long_info[sizeof(info_800) + 1] = {0};
    drop_with(*state, VHOST_USER_GPU_GET_DISPLAY_INFO, VHOST_USER_GPU_REPLY, long_info,
              sizeof(long_info));
}

static void test_answer_in_pieces_then_hang_up(void **state)
{
    struct fixture *f = *state;
    const struct vhost_user_gpu_header header = {VHOST_USER_GPU_GET_DISPLAY_INFO,
                                                 VHOST_USER_GPU_REPLY, sizeof(info_800)};
    uint8_t bytes[sizeof(header) + sizeof(info_800)];

    negotiate(3);
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &info_800, sizeof(info_800));
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(f->resumed, 0);
        assert_int_equal(send(peer, bytes + i, 1, MSG_NOSIGNAL), 1);
        pump();
    }
    assert_int_equal(f->resumed, 1);
    assert_int_equal(answered_width(f), 800);

    assert_int_equal(ask_info(f), NOT_COMPLETE);
    expect(VHOST_USER_GPU_GET_DISPLAY_INFO, 0);
    assert_int_equal(send(peer, bytes, 20, MSG_NOSIGNAL), 20);
    pump();
    shutdown(peer, SHUT_WR);
    pump();
    assert_int_equal(f->resumed, 2);
    assert_int_equal(answered_width(f), 1280);
    check_dropped(f);
}

static void test_hang_up_while_sending(void **state)
{
    struct fixture *f = *state;

    negotiate(3);
    fixture_create_2d(f, 1, 1000, 1000);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 1000, 1000), OK);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 1000, 1000), OK);
    assert_int_equal(ask_info(f), NOT_COMPLETE); /* behind more than the socket takes */
    pump();
    close(peer);
    peer = -1;
    pump();
    assert_int_equal(f->resumed, 1);
    assert_int_equal(answered_width(f), 1280);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 1000, 1000), OK);
    pump();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_questions),
        TEST(test_no_edid_feature),
        TEST(test_question_taken_back),
        TEST(test_timeout),
        TEST(test_copy),
        TEST(test_slow_reader),
        TEST(test_half_sent_message_stays),
        TEST(test_small_messages_are_bounded),
        TEST(test_cursor),
        TEST(test_dmabuf),
        TEST(test_dmabuf_without_modifiers),
        TEST(test_unasked_answer),
        TEST(test_second_answer),
        TEST(test_unknown_answer),
        TEST(test_not_an_answer),
        TEST(test_short_answer),
        TEST(test_long_answer),
        TEST(test_answer_in_pieces_then_hang_up),
        TEST(test_hang_up_while_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
