/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/private_fd.h"
#include "guest-driver/shim/real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where the numbers start: the last eighth of what the process may have, but not so high that the
 * kernel's table of descriptors grows large for it. */
#define TABLE_MAX 8192u

static atomic_bool is_private[SHIM_FD_MAX];

static int first_number(void)
{
    struct rlimit limit;
    rlim_t table = TABLE_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < table)
        table = limit.rlim_cur;
    return (int)(table - table / 8);
}

int private_fd_take(int fd)
{
    if (fd < 0)
        return fd;
    int high = real()->fcntl(fd, F_DUPFD_CLOEXEC, first_number());
    if (high >= 0) {
        real()->close(fd);
        fd = high;
    }
    if (fd < SHIM_FD_MAX)
        atomic_store(&is_private[fd], true);
    return fd;
}

bool private_fd_is(int fd)
{
    return fd >= 0 && fd < SHIM_FD_MAX &&
           atomic_load_explicit(&is_private[fd], memory_order_relaxed);
}

int private_fd_next(unsigned first, unsigned last)
{
    for (unsigned fd = first; fd <= last && fd < SHIM_FD_MAX; fd++) {
        if (private_fd_is((int)fd))
            return (int)fd;
    }
    return -1;
}

/* ---- what the library calls ------------------------------------------------------------------ */

int __wrap_close(int fd);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_epoll_create1(int flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_socketpair(int domain, int type, int protocol, int pair[2]);
ssize_t __wrap_recvmsg(int sock, struct msghdr *msg, int flags);

int __real_socket(int domain, int type, int protocol);
int __real_eventfd(unsigned value, int flags);
int __real_epoll_create1(int flags);
int __real_memfd_create(const char *name, unsigned flags);
int __real_socketpair(int domain, int type, int protocol, int pair[2]);
ssize_t __real_recvmsg(int sock, struct msghdr *msg, int flags);

int __wrap_close(int fd)
{
    if (fd >= 0 && fd < SHIM_FD_MAX)
        atomic_store(&is_private[fd], false);
    return real()->close(fd);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return real()->fcntl(fd, command, arg);
}

/* The same under the name that a 64-bit off_t gives it. */
int __wrap_fcntl64(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return real()->fcntl(fd, command, arg);
}

int __wrap_socket(int domain, int type, int protocol)
{
    return private_fd_take(__real_socket(domain, type, protocol));
}

int __wrap_eventfd(unsigned value, int flags)
{
    return private_fd_take(__real_eventfd(value, flags));
}

int __wrap_epoll_create1(int flags)
{
    return private_fd_take(__real_epoll_create1(flags));
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    return private_fd_take(__real_memfd_create(name, flags));
}

int __wrap_socketpair(int domain, int type, int protocol, int pair[2])
{
    int result = __real_socketpair(domain, type, protocol, pair);

    for (int i = 0; i < 2 && result == 0; i++)
        pair[i] = private_fd_take(pair[i]);
    return result;
}

ssize_t __wrap_recvmsg(int sock, struct msghdr *msg, int flags)
{
    ssize_t n = __real_recvmsg(sock, msg, flags);

    if (n < 0)
        return n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, (uint8_t *)c + at, sizeof(fd));
            fd = private_fd_take(fd);
            memcpy((uint8_t *)c + at, &fd, sizeof(fd));
        }
    }
    return n;
}
