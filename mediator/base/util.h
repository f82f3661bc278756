/* SPDX-License-Identifier: MIT */
/*
 * Clean-up attributes and arithmetic that does not wrap: what every program of the mediator uses.
 */
#ifndef ALIQUOT_BASE_UTIL_H
#define ALIQUOT_BASE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static inline void close_fd_p(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}
static inline void free_p(void *p)
{
    free(*(void **)p);
}
#define _cleanup_close_ __attribute__((cleanup(close_fd_p)))
#define _cleanup_free_ __attribute__((cleanup(free_p)))

/* Gives the value away, leaving fd = -1 or pointer = NULL behind. */
static inline int take_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}
#define TAKE_PTR(ptr)                                                                              \
    ({                                                                                             \
        __typeof__(ptr) taken_ = (ptr);                                                            \
        (ptr) = NULL;                                                                              \
        taken_;                                                                                    \
    })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* True if [start, start + len) lies inside [0, size); never wraps. */
static inline bool range_inside(uint64_t start, uint64_t len, uint64_t size)
{
    return start <= size && len <= size - start;
}

/* The process at the other end of a Unix socket, or, of a pair, that made it; 0 = it can't be told.
 */
static inline pid_t peer_pid(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 ? cred.pid : 0;
}

#endif
