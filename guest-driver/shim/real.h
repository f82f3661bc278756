/* SPDX-License-Identifier: MIT */
/*
 * The functions that the shim stands in front of, as they would be without it: the next definition
 * in the order of loading, so that other preloaded libraries keep working. Used by all files of the
 * shim; nothing of it may call, say, close() by name, as that is the program's view.
 *
 * They are looked up at the first use, which may be long before our constructor runs.
 */
#ifndef ALIQUOT_SHIM_REAL_H
#define ALIQUOT_SHIM_REAL_H

#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <xf86drm.h>

struct real {
    int (*open)(const char *path, int flags, ...);
    int (*openat)(int dir, const char *path, int flags, ...);
    int (*close)(int fd);
    int (*close_range)(unsigned first, unsigned last, int flags);
    int (*dup)(int fd);
    int (*dup2)(int fd, int to);
    int (*dup3)(int fd, int to, int flags);
    int (*fcntl)(int fd, int command, ...);
    int (*ioctl)(int fd, unsigned long request, ...);
    void *(*mmap)(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
    int (*stat)(const char *path, struct stat *st);
    int (*lstat)(const char *path, struct stat *st);
    int (*fstat)(int fd, struct stat *st);
    int (*fstatat)(int dir, const char *path, struct stat *st, int flags);
    int (*statx)(int dir, const char *path, int flags, unsigned mask, struct statx *st);
    int (*access)(const char *path, int mode);
    int (*faccessat)(int dir, const char *path, int mode, int flags);
    int (*poll)(struct pollfd *fds, nfds_t n, int timeout_ms);
    int (*ppoll)(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *set);
    int (*select)(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *timeout);
    int (*pselect)(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *timeout,
                   const sigset_t *set);
    int (*epoll_ctl)(int epoll, int op, int fd, struct epoll_event *event);
    ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
    int (*clock_nanosleep)(clockid_t clock, int flags, const struct timespec *time,
                           struct timespec *remaining);
    int (*sched_yield)(void);

    /* libdrm's; NULL where the program has none */
    int (*drmGetDevices2)(uint32_t flags, drmDevicePtr devices[], int max);
    int (*drmGetDevice2)(int fd, uint32_t flags, drmDevicePtr *device);
    int (*drmGetDeviceFromDevId)(dev_t id, uint32_t flags, drmDevicePtr *device);
    int (*drmGetNodeTypeFromFd)(int fd);
    char *(*drmGetDeviceNameFromFd2)(int fd);
    char *(*drmGetRenderDeviceNameFromFd)(int fd);
    char *(*drmGetPrimaryDeviceNameFromFd)(int fd);
};

/* All that libc has are there. */
const struct real *real(void);

/* With libdrm's looked up again while they are missing: it may have been loaded since. */
const struct real *real_drm(void);

#endif
