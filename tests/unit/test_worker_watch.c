/* SPDX-License-Identifier: MIT */
/* Sockets that another process made, among our descriptors as virglrenderer has them, and what
 * becomes of their other ends. */
#include "mediator/renderer/worker_watch.h"

#include "mediator/base/util.h"
#include "protocol/msg_socket.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define WORKERS 300 /* more than a lease has slots */
#define WAIT_MS 20000

struct server {
    pid_t pid;
    int control;          /* a byte: which worker is to end */
    int sockets[WORKERS]; /* -1 = closed */
};

/* Makes a pair for each worker, keeps one end and gives the other away, as the render server does.
 */
static void serve(int control, int n)
{
    int kept[WORKERS], pair[2];
    uint16_t which;

    for (int i = 0; i < n; i++) {
        const struct iovec iov = {&i, sizeof(i)};
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
            msg_send(control, &iov, 1, &pair[0], 1, 0) < 0)
            _exit(1);
        close(pair[0]);
        kept[i] = pair[1];
    }
    while (recv(control, &which, sizeof(which), 0) == sizeof(which))
        close(kept[which]);
    _exit(0);
}

static void start(struct server *s, int n)
{
    int pair[2], number;
    size_t n_fds;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        close(pair[0]);
        serve(pair[1], n);
    }
    close(pair[1]);
    s->control = pair[0];
    for (int i = 0; i < WORKERS; i++)
        s->sockets[i] = -1;
    for (int i = 0; i < n; i++) {
        assert_int_equal(msg_recv(s->control, &number, sizeof(number), &s->sockets[i], 1, &n_fds),
                         sizeof(number));
        assert_int_equal(n_fds, 1);
    }
}

static void end_worker(const struct server *s, uint16_t which)
{
    assert_int_equal(send(s->control, &which, sizeof(which), 0), sizeof(which));
}

static void stop(struct server *s)
{
    int status = -1;

    close(s->control);
    for (int i = 0; i < WORKERS; i++)
        close_fd_p(&s->sockets[i]);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_int_equal(status, 0);
}

static bool is_readable(int watch, int timeout_ms)
{
    struct pollfd p = {.fd = watch, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void test_hang_up(void **state)
{
    int watch = worker_watch_create();
    struct server s;

    assert_true(watch >= 0);
    start(&s, 3);
    assert_int_equal(worker_watch_add(watch, s.pid), 3);
    assert_int_equal(worker_watch_add(watch, s.pid), 0);
    assert_false(is_readable(watch, 0));
    assert_false(worker_watch_take(watch));
    end_worker(&s, 1);
    assert_true(is_readable(watch, WAIT_MS));
    assert_true(worker_watch_take(watch));
    /* Told once, though nobody has closed the socket. */
    assert_false(is_readable(watch, 0));
    assert_false(worker_watch_take(watch));
    end_worker(&s, 0);
    assert_true(is_readable(watch, WAIT_MS));
    assert_true(worker_watch_take(watch));
    stop(&s);
    close(watch);
}

/* Whose worker has ended before is told so too. */
static void test_hung_up_before(void **state)
{
    int watch = worker_watch_create();
    struct server s;

    start(&s, 1);
    end_worker(&s, 0);
    assert_true(is_readable(s.sockets[0], WAIT_MS));
    assert_int_equal(worker_watch_add(watch, s.pid), 1);
    assert_true(worker_watch_take(watch));
    stop(&s);
    close(watch);
}

/* What we close is forgotten, and what others made is none of its business. */
static void test_others(void **state)
{
    int watch = worker_watch_create(), pair[2];
    struct server s, other;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    start(&other, 1);
    start(&s, 2);
    assert_int_equal(worker_watch_add(watch, s.pid), 2);
    close(take_fd(&pair[1]));
    end_worker(&other, 0);
    assert_true(is_readable(other.sockets[0], WAIT_MS));
    close(take_fd(&s.sockets[0]));
    end_worker(&s, 0);
    end_worker(&s, 1);
    assert_true(is_readable(s.sockets[1], WAIT_MS));
    assert_true(worker_watch_take(watch));
    assert_false(worker_watch_take(watch));
    assert_int_equal(worker_watch_add(watch, 0), -ESRCH);
    assert_int_equal(worker_watch_add(watch, -1), -ESRCH);
    close(pair[0]);
    stop(&s);
    stop(&other);
    close(watch);
}

/* There is no number of them from which on an end is told that is none, or one is not told. */
static void test_many(void **state)
{
    int watch = worker_watch_create();
    struct server s;

    start(&s, WORKERS);
    assert_int_equal(worker_watch_add(watch, s.pid), WORKERS);
    assert_false(worker_watch_take(watch));
    for (uint16_t i = 0; i < WORKERS; i++) {
        end_worker(&s, i);
        assert_true(is_readable(watch, WAIT_MS));
        assert_true(worker_watch_take(watch));
        assert_false(worker_watch_take(watch));
        close(take_fd(&s.sockets[i]));
    }
    stop(&s);
    close(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_hung_up_before),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
