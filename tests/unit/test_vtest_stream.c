/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a vtest connection: alignment and growth of what comes in, order and pieces of what
 * goes out.
 */
#include "mediator/renderer/vtest_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    int ours, theirs;
    struct vtest_input in;
    struct vtest_output out;
};

static int set_up(void **state)
{
    static struct pair p;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    p = (struct pair){.ours = fds[0], .theirs = fds[1]};
    vtest_output_init(&p.out);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    vtest_input_finish(&p->in);
    vtest_output_finish(&p->out);
    close(p->ours);
    if (p->theirs >= 0)
        close(p->theirs);
    return 0;
}

/* ---- in -------------------------------------------------------------------------------------- */

static void feed(struct pair *p, const char *text)
{
    assert_int_equal(write(p->theirs, text, strlen(text)), strlen(text));
    assert_int_equal(vtest_input_fill(&p->in, p->ours), strlen(text));
}

static void test_input_is_kept_in_order(void **state)
{
    struct pair *p = *state;

    assert_int_equal(vtest_input_reserve(&p->in, 8), 0);
    assert_int_equal(vtest_input_fill(&p->in, p->ours), -EAGAIN);
    feed(p, "abc");
    feed(p, "defgh");
    vtest_input_consume(&p->in, 2);
    assert_int_equal(vtest_input_bytes(&p->in), 6);
    assert_memory_equal(p->in.data + p->in.start, "cdefgh", 6);
    close(p->theirs);
    p->theirs = -1;
    assert_int_equal(vtest_input_fill(&p->in, p->ours), 0);
}

static void test_input_is_aligned(void **state)
{
    struct pair *p = *state;

    for (size_t odd = 0; odd <= 16; odd++) {
        assert_int_equal(vtest_input_reserve(&p->in, 40), 0);
        feed(p, "0123456789abcdefghijklmnopqrstuvwxyz");
        vtest_input_consume(&p->in, odd);
        assert_int_equal(vtest_input_reserve(&p->in, 36 - odd), 0);
        assert_int_equal((uintptr_t)(p->in.data + p->in.start) % 8, 0);
        assert_memory_equal(p->in.data + p->in.start, &"0123456789abcdefghijklmnopqrstuvwxyz"[odd],
                            36 - odd);
        vtest_input_consume(&p->in, 36 - odd);
    }
}

static void test_input_grows_and_shrinks(void **state)
{
    struct pair *p = *state;

    assert_int_equal(vtest_input_reserve(&p->in, 8), 0);
    feed(p, "begin");
    assert_int_equal(vtest_input_reserve(&p->in, 8 << 20), 0);
    assert_true(p->in.capacity - p->in.start >= 8 << 20);
    assert_memory_equal(p->in.data + p->in.start, "begin", 5);
    vtest_input_consume(&p->in, 5);
    assert_true(p->in.capacity <= VTEST_BUFFER_KEEP);
    assert_int_equal(vtest_input_reserve(&p->in, 8), 0);
    feed(p, "again");
    assert_memory_equal(p->in.data + p->in.start, "again", 5);
}

/* ---- out ------------------------------------------------------------------------------------- */

static void add(struct pair *p, const void *data, size_t size)
{
    void *to = vtest_output_add(&p->out, size);

    assert_non_null(to);
    memcpy(to, data, size);
}

/* Bytes received; *ret_fd is a descriptor that came with them, or -1. */
static ssize_t receive(struct pair *p, void *data, size_t size, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(p->theirs, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *cmsg = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    *ret_fd = -1;
    if (cmsg)
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    return n;
}

static void test_output_starts_zeroed(void **state)
{
    struct pair *p = *state;
    static const char zeros[100];

    add(p, "old contents of the buffer", 26);
    assert_int_equal(vtest_output_send(&p->out, p->ours), 0);
    assert_true(vtest_output_empty(&p->out));
    assert_memory_equal(vtest_output_add(&p->out, 100), zeros, 100);
}

/* As Mesa reads it: the answer in two reads without room for descriptors, then the byte. */
static void test_descriptor_after_its_answer(void **state)
{
    struct pair *p = *state;
    char answer[12];
    int fd;

    for (size_t size = 12; size <= 1200; size += 1188) {
        static char data[1200];
        add(p, data, size);
        vtest_output_fd(&p->out, open("/dev/null", O_RDONLY | O_CLOEXEC));
        assert_false(vtest_output_empty(&p->out));
        assert_int_equal(vtest_output_send(&p->out, p->ours), 0);
        assert_true(vtest_output_empty(&p->out));
        for (size_t got = 0; got < size; got += 12)
            assert_int_equal(read(p->theirs, answer, 12), 12);
        assert_int_equal(receive(p, answer, 12, &fd), 1);
        assert_true(fd >= 0);
        close(fd);
    }
}

static void test_output_in_pieces(void **state)
{
    struct pair *p = *state;
    const size_t size = 4 << 20;
    uint8_t *data = vtest_output_add(&p->out, size), piece[65536];
    size_t got = 0;
    unsigned pauses = 0;
    int fd = -1, r;

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    vtest_output_fd(&p->out, open("/dev/null", O_RDONLY | O_CLOEXEC));
    do {
        r = vtest_output_send(&p->out, p->ours);
        assert_true(r == 0 || r == -EAGAIN);
        pauses += r == -EAGAIN;
        while (fd < 0) {
            ssize_t n = receive(p, piece, sizeof(piece), &fd);
            if (n < 0)
                break;
            n -= fd >= 0; /* the byte that carries it is the last one */
            for (ssize_t i = 0; i < n; i++, got++)
                assert_int_equal(piece[i], (uint8_t)(got * 7 + got / 256));
        }
    } while (r != 0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(got, size);
    assert_true(pauses > 0);
    assert_true(p->out.capacity <= VTEST_BUFFER_KEEP);
}

static void test_output_to_nobody(void **state)
{
    struct pair *p = *state;

    close(p->theirs);
    p->theirs = -1;
    add(p, "text", 4);
    assert_int_equal(vtest_output_send(&p->out, p->ours), -EPIPE); /* and no signal */
}

static void test_descriptor_that_is_not_sent_is_closed(void **state)
{
    struct pair *p = *state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    vtest_output_fd(&p->out, fd);
    vtest_output_finish(&p->out);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_input_is_kept_in_order),
        TEST(test_input_is_aligned),
        TEST(test_input_grows_and_shrinks),
        TEST(test_output_starts_zeroed),
        TEST(test_descriptor_after_its_answer),
        TEST(test_output_in_pieces),
        TEST(test_output_to_nobody),
        TEST(test_descriptor_that_is_not_sent_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
