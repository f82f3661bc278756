/* SPDX-License-Identifier: MIT */
/*
 * The life of descriptors: opening the render node, duplicating and closing.
 */
#include "guest-driver/shim/intercept.h"

#include "guest-driver/shim/drm_file.h"
#include "guest-driver/shim/private_fd.h"
#include "guest-driver/shim/real.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <unistd.h>

/* ---- opening -------------------------------------------------------------------------------- */

/* A descriptor that has come from elsewhere: if its number was one of ours, that was closed behind
 * our back. */
static int foreign(int fd)
{
    if (fd >= 0)
        fd_table_drop(fd);
    return fd;
}

static int open_path(const char *path, int flags, mode_t mode)
{
    const struct node *node = node_by_path(path);

    if (node && device_wanted())
        return errno_result(drm_file_open(node, flags & O_CLOEXEC));
    return foreign(real()->open(path, flags, mode));
}

static int open_path_at(int dir, const char *path, int flags, mode_t mode)
{
    const struct node *node = node_by_path(path);

    if (node && device_wanted())
        return errno_result(drm_file_open(node, flags & O_CLOEXEC));
    return foreign(real()->openat(dir, path, flags, mode));
}

/* The mode is there only with the flags that need it. */
static mode_t read_mode(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

INTERCEPT int open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = read_mode(flags, args);
    va_end(args);
    return open_path(path, flags, mode);
}

INTERCEPT int open64(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = read_mode(flags, args);
    va_end(args);
    return open_path(path, flags | O_LARGEFILE, mode);
}

INTERCEPT int openat(int dir, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = read_mode(flags, args);
    va_end(args);
    return open_path_at(dir, path, flags, mode);
}

INTERCEPT int openat64(int dir, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = read_mode(flags, args);
    va_end(args);
    return open_path_at(dir, path, flags | O_LARGEFILE, mode);
}

/* What fortified programs call where no mode is given. */
INTERCEPT int __open_2(const char *path, int flags);
INTERCEPT int __open64_2(const char *path, int flags);
INTERCEPT int __openat_2(int dir, const char *path, int flags);
INTERCEPT int __openat64_2(int dir, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return open_path(path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_path(path, flags | O_LARGEFILE, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
    return open_path_at(dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags)
{
    return open_path_at(dir, path, flags | O_LARGEFILE, 0);
}

/* ---- duplicating ---------------------------------------------------------------------------- */

INTERCEPT int dup(int fd)
{
    if (private_fd_is(fd))
        return errno_result(-EBADF);
    int copy = real()->dup(fd);
    if (copy >= 0)
        fd_table_dup(fd, copy);
    return copy;
}

/* Our own descriptors can't give way to a program that wants their number: it gets the error that
 * Linux has for a number which is being opened elsewhere. */
static int check_dup_to(int fd, int to)
{
    return private_fd_is(fd) ? -EBADF : private_fd_is(to) ? -EBUSY : 0;
}

INTERCEPT int dup2(int fd, int to)
{
    int result = check_dup_to(fd, to);

    if (result < 0)
        return errno_result(result);
    int copy = real()->dup2(fd, to);
    if (copy >= 0)
        fd_table_dup(fd, copy);
    return copy;
}

INTERCEPT int dup3(int fd, int to, int flags)
{
    int result = check_dup_to(fd, to);

    if (result < 0)
        return errno_result(result);
    int copy = real()->dup3(fd, to, flags);
    if (copy >= 0)
        fd_table_dup(fd, copy);
    return copy;
}

static int control(int fd, int command, void *arg)
{
    if (private_fd_is(fd))
        return errno_result(-EBADF);
    int result = real()->fcntl(fd, command, arg);
    if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        fd_table_dup(fd, result);
    return result;
}

INTERCEPT int fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return control(fd, command, arg);
}

INTERCEPT int fcntl64(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return control(fd, command, arg);
}

/* ---- closing -------------------------------------------------------------------------------- */

INTERCEPT int close(int fd)
{
    if (private_fd_is(fd))
        return errno_result(-EBADF);
    fd_table_drop(fd);
    return real()->close(fd);
}

/* Closes the range in parts, around what is ours. */
static int close_around(unsigned first, unsigned last, int flags)
{
    int result = 0;

    for (;;) {
        int ours = private_fd_next(first, last);
        unsigned end = ours < 0 ? last : (unsigned)ours - 1;
        if (ours < 0 || (unsigned)ours > first) {
            fd_table_drop_range(first, end);
            result = real()->close_range(first, end, flags);
        }
        if (ours < 0 || (unsigned)ours == last || result < 0)
            return result;
        first = (unsigned)ours + 1;
    }
}

INTERCEPT int close_range(unsigned first, unsigned last, int flags)
{
    /* Only marks them, and ours are marked. Or it is wrong. */
    if ((flags & CLOSE_RANGE_CLOEXEC) || first > last)
        return real()->close_range(first, last, flags);
    return close_around(first, last, flags);
}

INTERCEPT void closefrom(int first)
{
    close_around(first < 0 ? 0 : (unsigned)first, UINT_MAX, 0);
}
