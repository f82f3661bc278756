/* SPDX-License-Identifier: MIT */
/*
 * Messages with descriptors: what arrives, and above all what is left when something goes wrong.
 * Each test counts the process's descriptors before and after (setup and teardown).
 */
#include "protocol/msg_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 100 /* descriptors: more than MSG_FDS_MAX, fewer than the kernel's limit */

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    if (!dir)
        abort();
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

struct fixture {
    unsigned fds_before;
    int packet[2]; /* SOCK_SEQPACKET */
    int stream[2];
    int file; /* to be sent; its inode says that it is the same one */
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    f->fds_before = open_fds();
    f->file = memfd_create("test", MFD_CLOEXEC);
    if (f->file < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->packet) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->stream) < 0)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close_fds(f->packet, 2);
    close_fds(f->stream, 2);
    close_fds(&f->file, 1);
    return open_fds() == f->fds_before ? 0 : -1;
}

static void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void assert_is_file(const struct fixture *f, int fd)
{
    struct stat want, got;

    assert_int_equal(fstat(f->file, &want), 0);
    assert_int_equal(fstat(fd, &got), 0);
    assert_true(want.st_ino == got.st_ino && want.st_dev == got.st_dev);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* Sends text with n times f->file, past the limits of msg_send. */
static void send_raw(const struct fixture *f, int sock, const char *text, size_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MANY * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    memset(&control, 0, sizeof(control));
    if (n > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
        for (size_t i = 0; i < n; i++)
            ((int *)CMSG_DATA(&control.align))[i] = f->file;
    }
    assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int send_text(int sock, const char *text, int timeout_ms)
{
    struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};

    return msg_send(sock, &iov, 1, NULL, 0, timeout_ms);
}

static void test_close_fds(void **state)
{
    int fds[3] = {dup(0), -1, dup(0)};
    unsigned before = open_fds();

    errno = EXDEV;
    close_fds(fds, 3);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(open_fds(), before - 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fds[i], -1);
    close_fds(fds, 3);
    close_fds(NULL, 0);
}

/* ---- packets -------------------------------------------------------------------------------- */

static void test_packet_round_trip(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {0, 1, 2, 3, MSG_FDS_MAX};
    struct iovec iov[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    int sent[MSG_FDS_MAX];

    for (int i = 0; i < MSG_FDS_MAX; i++)
        sent[i] = f->file;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t n = counts[i], got_n = 77;
        int got[MSG_FDS_MAX];
        char buf[10];

        assert_int_equal(msg_send(f->packet[0], iov, 3, sent, n, -1), 0);
        assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), got, n, &got_n), 5);
        assert_memory_equal(buf, "abcde", 5);
        assert_int_equal(got_n, n);
        for (size_t k = 0; k < n; k++)
            assert_is_file(f, got[k]);
        close_fds(got, n);
    }
    assert_is_file(f, f->file); /* what was sent is still ours */
}

static void test_packet_send_too_many_fds(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {"a", 1};
    int sent[MSG_FDS_MAX + 1];
    char byte;

    for (int i = 0; i <= MSG_FDS_MAX; i++)
        sent[i] = f->file;
    assert_int_equal(msg_send(f->packet[0], &iov, 1, sent, MSG_FDS_MAX + 1, -1), -EINVAL);
    assert_int_equal(recv(f->packet[1], &byte, 1, MSG_DONTWAIT), -1);
}

/* One descriptor too many, for even and odd limits (the kernel's buffer has room for a spare one
 * then), and more than any buffer takes: none stays, the next packet is whole. */
static void test_packet_too_many_fds(void **state)
{
    struct fixture *f = *state;
    static const struct {
        size_t sent, allowed;
    } cases[] = {{1, 0}, {2, 1}, {3, 2}, {4, 1}, {64, 63}, {65, 64}, {MANY, 0}, {MANY, 64}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned before = open_fds();
        int got[MSG_FDS_MAX];
        size_t got_n = 77;
        char buf[10];

        send_raw(f, f->packet[0], "bad", cases[i].sent);
        send_raw(f, f->packet[0], "good", 0);
        assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), got, cases[i].allowed, &got_n),
                         -EMSGSIZE);
        assert_int_equal(got_n, 77); /* untouched */
        assert_int_equal(open_fds(), before);
        assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), NULL, 0, NULL), 4);
        assert_memory_equal(buf, "good", 4);
    }
}

/* The process has no room for all of them: the kernel installs some and sets MSG_CTRUNC. */
static void test_packet_fd_limit(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, low;
    int got[8], first_free;
    size_t got_n = 77;
    unsigned before;
    ssize_t r;
    char buf[10];

    send_raw(f, f->packet[0], "bad", 8);
    before = open_fds();
    first_free = dup(0);
    close(first_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)first_free + 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    r = msg_recv(f->packet[1], buf, sizeof(buf), got, 8, &got_n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, -EMSGSIZE);
    assert_int_equal(got_n, 77);
    assert_int_equal(open_fds(), before);
}

static void test_packet_too_long(void **state)
{
    struct fixture *f = *state;
    unsigned before = open_fds();
    int got[2];
    size_t got_n = 77;
    char buf[4];

    send_raw(f, f->packet[0], "abcde", 2);
    send_raw(f, f->packet[0], "abcd", 0);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), got, 2, &got_n), -EMSGSIZE);
    assert_int_equal(got_n, 77);
    assert_int_equal(open_fds(), before);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), got, 2, &got_n), 4);
    assert_int_equal(got_n, 0);
}

static void test_packet_empty_with_fds(void **state)
{
    struct fixture *f = *state;
    unsigned before = open_fds();
    int got[4];
    size_t got_n = 77;
    char buf[4];

    send_raw(f, f->packet[0], "", 2);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), got, 4, &got_n), 0);
    assert_int_equal(got_n, 0);
    assert_int_equal(open_fds(), before);
}

static void test_packet_peer_gone(void **state)
{
    struct fixture *f = *state;
    size_t got_n = 77;
    char buf[4];
    int r;

    send_raw(f, f->packet[0], "last", 0);
    close_fds(&f->packet[0], 1);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), NULL, 0, &got_n), 4);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), NULL, 0, &got_n), 0);
    assert_int_equal(got_n, 0);
    r = send_text(f->packet[1], "a", -1); /* no SIGPIPE, or we were not here */
    assert_int_equal(r, -EPIPE);
}

/* The peer leaves without having read what we sent. */
static void test_packet_reset(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(send_text(f->packet[1], "a", -1), 0);
    close_fds(&f->packet[0], 1);
    assert_int_equal(send_text(f->packet[1], "b", -1), -EPIPE);
}

static void test_packet_nonblocking(void **state)
{
    struct fixture *f = *state;
    char buf[10];
    int r, n = 0;

    set_nonblocking(f->packet[0]);
    set_nonblocking(f->packet[1]);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), NULL, 0, NULL), -EAGAIN);
    while ((r = send_text(f->packet[0], "abc", -1)) == 0 && n < 100000)
        n++;
    assert_int_equal(r, -EAGAIN);
    for (; n > 0; n--)
        assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), NULL, 0, NULL), 3);
    assert_int_equal(msg_recv(f->packet[1], buf, sizeof(buf), NULL, 0, NULL), -EAGAIN);
    assert_int_equal(send_text(f->packet[0], "abc", -1), 0);
}

/* On a blocking socket the time limit holds. */
static void test_packet_send_timeout(void **state)
{
    struct fixture *f = *state;
    int r, n = 0;

    while ((r = send_text(f->packet[0], "abc", 0)) == 0 && n < 100000)
        n++;
    assert_int_equal(r, -ETIMEDOUT);
    assert_int_equal(send_text(f->packet[0], "abc", 5), -ETIMEDOUT);
}

static void test_packet_larger_than_socket(void **state)
{
    struct fixture *f = *state;
    size_t size = 64 << 20;
    struct iovec iov = {.iov_base = calloc(1, size), .iov_len = size};

    assert_int_equal(msg_send(f->packet[0], &iov, 1, NULL, 0, 100), -EMSGSIZE);
    free(iov.iov_base);
}

static void test_not_a_socket(void **state)
{
    struct fixture *f = *state;
    size_t n_fds = 0;
    char buf[4];

    assert_int_equal(send_text(f->file, "a", -1), -ENOTSOCK);
    assert_int_equal(msg_recv(f->file, buf, 4, NULL, 0, NULL), -ENOTSOCK);
    assert_int_equal(stream_read(f->file, buf, 4, NULL, 0, &n_fds, -1), -ENOTSOCK);
    assert_int_equal(stream_read(-1, buf, 4, NULL, 0, &n_fds, -1), -EBADF);
}

/* ---- streams -------------------------------------------------------------------------------- */

static void test_stream_header_and_payload(void **state)
{
    struct fixture *f = *state;
    int got[8];
    size_t n = 0;
    char head[4], body[6];

    send_raw(f, f->stream[0], "headpayloadtail", 3);
    assert_int_equal(stream_read(f->stream[1], head, 4, got, 8, &n, 1000), 0);
    assert_int_equal(n, 3);
    assert_int_equal(stream_read(f->stream[1], body, 6, got, 8, &n, 1000), 0);
    assert_memory_equal(head, "head", 4);
    assert_memory_equal(body, "payloa", 6);
    assert_int_equal(n, 3);
    assert_int_equal(stream_read(f->stream[1], NULL, 0, got, 8, &n, 0), 0);
    for (int i = 0; i < 3; i++)
        assert_is_file(f, got[i]);
    close_fds(got, n);
}

/* Byte by byte, some with a descriptor: all of them arrive, in order. */
static void test_stream_pieces(void **state)
{
    struct fixture *f = *state;
    int got[8];
    size_t n = 0;
    char buf[5];

    send_raw(f, f->stream[0], "a", 1);
    send_raw(f, f->stream[0], "b", 0);
    send_raw(f, f->stream[0], "c", 2);
    send_raw(f, f->stream[0], "de", 0);
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 3, &n, 1000), 0);
    assert_memory_equal(buf, "abcde", 5);
    assert_int_equal(n, 3);
    close_fds(got, n);
}

static void test_stream_too_many_fds(void **state)
{
    struct fixture *f = *state;
    unsigned before = open_fds();
    int got[8];
    size_t n = 0;
    char buf[5];

    /* All at once; a second helping; and none allowed at all. */
    send_raw(f, f->stream[0], "abcde", 3);
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 2, &n, 1000), -EMSGSIZE);
    assert_int_equal(n, 0);
    assert_int_equal(open_fds(), before);

    send_raw(f, f->stream[0], "ab", 2);
    send_raw(f, f->stream[0], "cde", 1);
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 2, &n, 1000), -EMSGSIZE);
    assert_int_equal(n, 0);
    assert_int_equal(open_fds(), before);

    send_raw(f, f->stream[0], "abcde", 1);
    assert_int_equal(stream_read(f->stream[1], buf, 5, NULL, 0, &n, 1000), -EMSGSIZE);
    assert_int_equal(open_fds(), before);

    send_raw(f, f->stream[0], "abcde", MANY);
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 8, &n, 1000), -EMSGSIZE);
    assert_int_equal(n, 0);
    assert_int_equal(open_fds(), before);
}

static void test_stream_closed_before(void **state)
{
    struct fixture *f = *state;
    int got[2] = {dup(f->file), -1}; /* came with the header */
    size_t n = 1;
    unsigned before = open_fds();
    char buf[5];

    close_fds(&f->stream[0], 1);
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 2, &n, 1000), -ENODATA);
    assert_int_equal(n, 0);
    assert_int_equal(got[0], -1);
    assert_int_equal(open_fds(), before - 2);
}

static void test_stream_closed_in_the_middle(void **state)
{
    struct fixture *f = *state;
    int got[2];
    size_t n = 0;
    unsigned before;
    char buf[5];

    send_raw(f, f->stream[0], "abcd", 2);
    close_fds(&f->stream[0], 1);
    before = open_fds();
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 2, &n, 1000), -ECONNRESET);
    assert_int_equal(n, 0);
    assert_int_equal(open_fds(), before);
}

/* The kernel says ECONNRESET if the peer left without reading everything: at the start of a message
 * that is an end like any other. */
static void test_stream_reset(void **state)
{
    struct fixture *f = *state;
    size_t n = 0;
    char buf[5];

    assert_int_equal(send_text(f->stream[1], "unread", -1), 0);
    close_fds(&f->stream[0], 1);
    assert_int_equal(stream_read(f->stream[1], buf, 5, NULL, 0, &n, 1000), -ENODATA);
}

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void test_stream_timeout(void **state)
{
    struct fixture *f = *state;
    int got[2];
    size_t n = 0;
    unsigned before = open_fds();
    double start;
    char buf[5];

    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 2, &n, 0), -ETIMEDOUT);
    send_raw(f, f->stream[0], "abcd", 1);
    start = now_s();
    assert_int_equal(stream_read(f->stream[1], buf, 5, got, 2, &n, 30), -ETIMEDOUT);
    assert_true(now_s() - start >= 0.028);
    assert_int_equal(n, 0);
    assert_int_equal(open_fds(), before);
}

/* Sends one byte after another, each soon enough for a limit per byte, none for the whole. */
static void *drip(void *arg)
{
    int sock = *(int *)arg;
    struct pollfd pfd = {.fd = sock, .events = 0};

    for (int i = 0; i < 500 && send(sock, "x", 1, MSG_NOSIGNAL) == 1; i++)
        poll(&pfd, 1, 5); /* ends at once when the other side hangs up */
    return NULL;
}

static void test_stream_timeout_is_for_the_whole(void **state)
{
    struct fixture *f = *state;
    double start = now_s();
    pthread_t thread;
    char buf[500];
    size_t n = 0;
    int r;

    assert_int_equal(pthread_create(&thread, NULL, drip, &f->stream[0]), 0);
    r = stream_read(f->stream[1], buf, sizeof(buf), NULL, 0, &n, 50);
    close_fds(&f->stream[1], 1);
    pthread_join(thread, NULL);
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(now_s() - start < 2);
}

#define BIG (3u << 20)
#define PIECES 41 /* more than one sendmsg of the rest takes */

struct reader {
    int sock;
    char *buf;
    int fds[4];
    size_t n_fds;
    int result;
};

static void *read_big(void *arg)
{
    struct reader *r = arg;

    r->result = stream_read(r->sock, r->buf, BIG, r->fds, 4, &r->n_fds, 20000);
    return NULL;
}

/* A message far larger than the socket: sent in parts, with the descriptors once. */
static void send_big(struct fixture *f)
{
    struct reader r = {.sock = f->stream[1], .buf = malloc(BIG)};
    char *data = malloc(BIG);
    struct iovec iov[PIECES];
    int small = 4096, sent[2] = {f->file, f->file};
    size_t pos = 0;
    pthread_t thread;

    assert_int_equal(setsockopt(f->stream[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (char)(i * 7 + i / 256);
    for (size_t i = 0; i < PIECES; i++) {
        size_t len = i % 5 == 1 ? 0 : i < PIECES - 1 ? 1000 + i * 37 : BIG - pos;

        iov[i] = (struct iovec){.iov_base = data + pos, .iov_len = len};
        pos += len;
    }
    assert_int_equal(pos, BIG);
    assert_int_equal(pthread_create(&thread, NULL, read_big, &r), 0);
    assert_int_equal(msg_send(f->stream[0], iov, PIECES, sent, 2, 20000), 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.result, 0);
    assert_int_equal(r.n_fds, 2);
    assert_is_file(f, r.fds[0]);
    assert_is_file(f, r.fds[1]);
    assert_memory_equal(r.buf, data, BIG);
    close_fds(r.fds, r.n_fds);
    free(r.buf);
    free(data);
}

static void test_stream_partial_writes(void **state)
{
    send_big(*state);
}

static void test_stream_partial_writes_nonblocking(void **state)
{
    struct fixture *f = *state;

    set_nonblocking(f->stream[0]);
    set_nonblocking(f->stream[1]);
    send_big(f);
}

/* Nobody reads: a part is taken, then the time is over; a full socket takes nothing. */
static void test_stream_send_timeout(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {.iov_base = calloc(1, BIG), .iov_len = BIG};
    char byte;

    set_nonblocking(f->stream[0]);
    assert_int_equal(msg_send(f->stream[0], &iov, 1, NULL, 0, 20), -ETIMEDOUT);
    assert_int_equal(recv(f->stream[1], &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
    while (send(f->stream[0], "x", 1, MSG_DONTWAIT) == 1)
        ;
    assert_int_equal(send_text(f->stream[0], "abc", -1), -EAGAIN);
    free(iov.iov_base);
}

static void *read_little_and_close(void *arg)
{
    int *sock = arg;
    char buf[1000];
    size_t n = 0;

    stream_read(*sock, buf, sizeof(buf), NULL, 0, &n, 20000);
    close_fds(sock, 1);
    return NULL;
}

static void test_stream_peer_dies_while_we_send(void **state)
{
    struct fixture *f = *state;
    struct iovec iov = {.iov_base = calloc(1, BIG), .iov_len = BIG};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, read_little_and_close, &f->stream[1]), 0);
    assert_int_equal(msg_send(f->stream[0], &iov, 1, NULL, 0, 20000), -EPIPE);
    pthread_join(thread, NULL);
    free(iov.iov_base);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_close_fds),
        TEST(test_packet_round_trip),
        TEST(test_packet_send_too_many_fds),
        TEST(test_packet_too_many_fds),
        TEST(test_packet_fd_limit),
        TEST(test_packet_too_long),
        TEST(test_packet_empty_with_fds),
        TEST(test_packet_peer_gone),
        TEST(test_packet_reset),
        TEST(test_packet_nonblocking),
        TEST(test_packet_send_timeout),
        TEST(test_packet_larger_than_socket),
        TEST(test_not_a_socket),
        TEST(test_stream_header_and_payload),
        TEST(test_stream_pieces),
        TEST(test_stream_too_many_fds),
        TEST(test_stream_closed_before),
        TEST(test_stream_closed_in_the_middle),
        TEST(test_stream_reset),
        TEST(test_stream_timeout),
        TEST(test_stream_timeout_is_for_the_whole),
        TEST(test_stream_partial_writes),
        TEST(test_stream_partial_writes_nonblocking),
        TEST(test_stream_send_timeout),
        TEST(test_stream_peer_dies_while_we_send),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
