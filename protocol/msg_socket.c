/* SPDX-License-Identifier: MIT */
#include "protocol/msg_socket.h"

#include "protocol/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* iovecs of one sendmsg(2) that sends the rest of a stream message. */
#define REST_IOVECS 16

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))];
};

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until sock is ready for events or the deadline (-1 = none) is over: 0 or negative errno. */
static int wait_until(int sock, short events, int64_t deadline_ms)
{
    struct pollfd pfd = {.fd = sock, .events = events};
    int r;

    do {
        int timeout_ms = -1;

        if (deadline_ms >= 0) {
            int64_t left = deadline_ms - now_ms();

            timeout_ms = left > 0 ? (int)left : 0;
        }
        r = poll(&pfd, 1, timeout_ms);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    return r == 0 ? -ETIMEDOUT : 0;
}

static int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

void close_fds(int *fds, size_t n)
{
    int saved = errno;

    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
    errno = saved;
}

/* ---- sending -------------------------------------------------------------------------------- */

/* iovecs for what is left behind the first done bytes, as many as fit into rest. */
static size_t rest_of(const struct iovec *iov, size_t count, size_t done, struct iovec *rest)
{
    size_t n = 0;

    for (size_t i = 0; i < count && n < REST_IOVECS; i++) {
        if (done >= iov[i].iov_len) {
            done -= iov[i].iov_len;
            continue;
        }
        rest[n].iov_base = (char *)iov[i].iov_base + done;
        rest[n].iov_len = iov[i].iov_len - done;
        done = 0;
        n++;
    }
    return n;
}

static bool is_nonblocking(int sock)
{
    int flags = fcntl(sock, F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK);
}

int msg_send(int sock, const struct iovec *iov, size_t iov_count, const int *fds, size_t n_fds,
             int timeout_ms)
{
    union control control;
    struct iovec rest[REST_IOVECS];
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count};
    int64_t deadline_ms = deadline_after(timeout_ms);
    size_t total = iov_total(iov, iov_count), done = 0;

    if (n_fds > MSG_FDS_MAX)
        return -EINVAL;
    if (n_fds > 0) {
        struct cmsghdr *cmsg = &control.align;

        memset(&control, 0, sizeof(control));
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }

    /* Never blocks inside sendmsg(), where no time limit would reach. */
    for (;;) {
        ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            done += (size_t)n;
            if (done >= total)
                return 0;
            msg.msg_control = NULL; /* the descriptors went with the first byte */
            msg.msg_controllen = 0;
            msg.msg_iov = rest;
            msg.msg_iovlen = rest_of(iov, iov_count, done, rest);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            int r;

            if (done == 0 && is_nonblocking(sock))
                return -EAGAIN;
            r = wait_until(sock, POLLOUT, deadline_ms);
            if (r < 0)
                return r;
        } else if (errno == ECONNRESET) {
            return -EPIPE;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

/* ---- receiving ------------------------------------------------------------------------------ */

/*
 * One recvmsg(2). New descriptors go to fds[*n_fds … max_fds). If they do not all fit, or the
 * kernel could not install them all, the new ones are closed and the result is -EMSGSIZE.
 */
static ssize_t recv_some(int sock, void *buf, size_t size, int flags, int *fds, size_t max_fds,
                         size_t *n_fds, int *ret_flags)
{
    union control control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    int got[MSG_FDS_MAX];
    size_t n_got = 0;
    ssize_t n;

    do
        n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        size_t count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); /* the kernel's: fits our buffer */
        memcpy(got + n_got, CMSG_DATA(c), count * sizeof(int));
        n_got += count;
    }
    if ((msg.msg_flags & MSG_CTRUNC) || n_got > max_fds - *n_fds) {
        close_fds(got, n_got);
        return -EMSGSIZE;
    }
    if (n_got > 0) /* fds may be NULL where none can come */
        memcpy(fds + *n_fds, got, n_got * sizeof(int));
    *n_fds += n_got;
    *ret_flags = msg.msg_flags;
    return n;
}

ssize_t msg_recv(int sock, void *buf, size_t size, int *fds, size_t max_fds, size_t *ret_n_fds)
{
    size_t n_fds = 0;
    int flags = 0;
    ssize_t n = recv_some(sock, buf, size, 0, fds, max_fds, &n_fds, &flags);

    if (n < 0)
        return n;
    if (flags & MSG_TRUNC) {
        close_fds(fds, n_fds);
        return -EMSGSIZE;
    }
    if (n == 0) {
        /* An empty packet looks like the end, and is one: nothing can be made of it. */
        close_fds(fds, n_fds);
        n_fds = 0;
    }
    if (ret_n_fds)
        *ret_n_fds = n_fds;
    return n;
}

static int read_all(int sock, char *buf, size_t size, int *fds, size_t max_fds, size_t *n_fds,
                    int64_t deadline_ms)
{
    size_t done = 0;

    while (done < size) {
        int flags;
        ssize_t n =
            recv_some(sock, buf + done, size - done, MSG_DONTWAIT, fds, max_fds, n_fds, &flags);

        if (n > 0) {
            done += (size_t)n;
        } else if (n == -EAGAIN) {
            int r = wait_until(sock, POLLIN, deadline_ms);

            if (r < 0)
                return r;
        } else if (n == 0 || n == -ECONNRESET) {
            return done == 0 ? -ENODATA : -ECONNRESET;
        } else {
            return (int)n;
        }
    }
    return 0;
}

int stream_read(int sock, void *buf, size_t size, int *fds, size_t max_fds, size_t *n_fds,
                int timeout_ms)
{
    int r = read_all(sock, buf, size, fds, max_fds, n_fds, deadline_after(timeout_ms));

    if (r < 0) {
        close_fds(fds, *n_fds);
        *n_fds = 0;
    }
    return r;
}
