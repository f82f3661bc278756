/* SPDX-License-Identifier: MIT */
/*
 * Waiting for descriptors: a poll() of one sync_file is answered from the ring; where a sync_file
 * comes to be waited for by the kernel, it gets armed.
 */
#include "guest-driver/shim/intercept.h"

#include "guest-driver/shim/real.h"
#include "guest-driver/shim/sync_file.h"

#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

/* ---- poll ----------------------------------------------------------------------------------- */

/* The one sync_file of ours that is polled for, with a reference; or NULL, and then those among
 * others are armed. */
static struct sync_file *lone_sync_file(struct pollfd *fds, nfds_t n)
{
    if (!fds || !fd_table_has(FD_SYNC_FILE))
        return NULL;
    if (n == 1 && (fds->events & POLLIN)) {
        struct fd_object *base = fd_table_get(fds->fd, FD_SYNC_FILE);
        if (base && !device_is_foreign(sync_file_of(base)->device))
            return sync_file_of(base);
        fd_object_unref(base);
    }
    for (nfds_t i = 0; i < n; i++)
        sync_file_arm_fd(fds[i].fd);
    return NULL;
}

/* Consumes the reference. */
static int poll_one(struct sync_file *file, struct pollfd *fd, int64_t timeout_ns)
{
    int64_t deadline_ns = 0;

    if (timeout_ns < 0)
        deadline_ns = INT64_MAX;
    else if (timeout_ns > 0)
        deadline_ns = fence_clock_ns() + timeout_ns;
    bool done = sync_file_wait(file, deadline_ns);
    fd_object_unref(&file->base);
    fd->revents = done ? POLLIN : 0;
    return done;
}

INTERCEPT int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct sync_file *file = lone_sync_file(fds, n);

    if (!file)
        return real()->poll(fds, n, timeout_ms);
    return poll_one(file, fds, timeout_ms < 0 ? -1 : timeout_ms * 1000000ll);
}

INTERCEPT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size);

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size)
{
    if (size / sizeof(*fds) < n)
        __builtin_trap();
    return poll(fds, n, timeout_ms);
}

/* Longer than any program lives, and far from overflow. */
#define TIMEOUT_SECONDS_MAX 1000000000ll

INTERCEPT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                    const sigset_t *set)
{
    struct sync_file *file = lone_sync_file(fds, n);
    int64_t timeout_ns = -1;

    if (!file)
        return real()->ppoll(fds, n, timeout, set);
    if (timeout && timeout->tv_sec < TIMEOUT_SECONDS_MAX)
        timeout_ns = timeout->tv_sec * 1000000000ll + timeout->tv_nsec;
    return poll_one(file, fds, timeout_ns);
}

INTERCEPT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                          const sigset_t *set, size_t size);

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *set,
                size_t size)
{
    if (size / sizeof(*fds) < n)
        __builtin_trap();
    return ppoll(fds, n, timeout, set);
}

/* ---- the others ----------------------------------------------------------------------------- */

static void arm_set(int n, const fd_set *set)
{
    if (!set || !fd_table_has(FD_SYNC_FILE))
        return;
    for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++) {
        if (FD_ISSET(fd, set))
            sync_file_arm_fd(fd);
    }
}

INTERCEPT int select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *timeout)
{
    arm_set(n, r);
    return real()->select(n, r, w, x, timeout);
}

INTERCEPT int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *timeout,
                      const sigset_t *set)
{
    arm_set(n, r);
    return real()->pselect(n, r, w, x, timeout, set);
}

INTERCEPT int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (op != EPOLL_CTL_DEL)
        sync_file_arm_fd(fd);
    return real()->epoll_ctl(epoll, op, fd, event);
}

/* Another process, or another copy of this library, can't ask us. */
INTERCEPT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (msg && fd_table_has(FD_SYNC_FILE)) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
                c->cmsg_len < CMSG_LEN(0))
                continue;
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int passed;
                memcpy(&passed, CMSG_DATA(c) + i * sizeof(int), sizeof(passed));
                sync_file_arm_fd(passed);
            }
        }
    }
    return real()->sendmsg(fd, msg, flags);
}
