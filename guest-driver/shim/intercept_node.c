/* SPDX-License-Identifier: MIT */
/*
 * What is done with descriptors of ours: ioctl, mmap, stat; and with the render node's path.
 */
#include "guest-driver/shim/intercept.h"

#include "guest-driver/shim/ioctl.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/sync_file.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- ioctl ---------------------------------------------------------------------------------- */

INTERCEPT int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    struct fd_object *object = NULL;

    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    switch (_IOC_TYPE(request)) {
    case DRM_IOCTL_BASE:
        object = fd_table_find(fd, FD_DRM_FILE);
        break;
    case SYNC_IOC_MAGIC:
        object = fd_table_get(fd, FD_SYNC_FILE);
        break;
    case DMA_BUF_BASE:
        object = fd_table_find(fd, FD_PRIME);
        break;
    }
    if (!object)
        return real()->ioctl(fd, request, arg);
    int result;
    if (object->kind == FD_DRM_FILE)
        result = drm_ioctl(drm_file_of(object), request, arg);
    else if (object->kind == FD_SYNC_FILE)
        result = sync_file_ioctl(sync_file_of(object), request, arg);
    else
        result = prime_ioctl(prime_of(object), request, arg);
    fd_object_unref(object);
    return errno_result(result);
}

/* ---- mmap ----------------------------------------------------------------------------------- */

/* The object that fd maps from, with a reference, or NULL. The descriptor is checked again: a wrong
 * mapping would be a silent disaster. */
static struct fd_object *mappable(int fd)
{
    struct stat st;

    if (fd < 0 || (!fd_table_has(FD_DRM_FILE) && !fd_table_has(FD_PRIME)))
        return NULL;
    struct fd_object *object = fd_table_find(fd, FD_DRM_FILE);
    if (!object)
        object = fd_table_find(fd, FD_PRIME);
    if (object && (real()->fstat(fd, &st) < 0 || !fd_table_verify(fd, object, &st))) {
        fd_object_unref(object);
        object = NULL;
    }
    return object;
}

static void *map_object(struct fd_object *object, void *addr, size_t length, int prot, int flags,
                        off_t offset)
{
    void *mapped = MAP_FAILED;

    if (object->kind == FD_PRIME) {
        mapped = bo_map(prime_of(object)->bo, addr, length, prot, flags, (uint64_t)offset);
    } else {
        struct bo *bo = drm_file_find_mapped(drm_file_of(object), (uint64_t)offset);
        errno = EINVAL;
        if (bo) {
            mapped = bo_map(bo, addr, length, prot, flags, 0);
            bo_unref(bo);
        }
    }
    return mapped;
}

static void *map(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    struct fd_object *object = flags & MAP_ANONYMOUS ? NULL : mappable(fd);

    if (!object)
        return real()->mmap(addr, length, prot, flags, fd, offset);
    void *mapped = map_object(object, addr, length, prot, flags, offset);
    int saved = errno;
    fd_object_unref(object);
    errno = saved;
    return mapped;
}

INTERCEPT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return map(addr, length, prot, flags, fd, offset);
}

INTERCEPT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
    return map(addr, length, prot, flags, fd, offset);
}

/* ---- stat ----------------------------------------------------------------------------------- */

/* On 64-bit machines, the only ones that we are for, struct stat and struct stat64 are the same. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "struct stat");

#define NODE_MODE (S_IFCHR | 0666)

static void describe_node(struct stat *st, const struct node *node)
{
    st->st_mode = NODE_MODE;
    st->st_rdev = makedev(NODE_MAJOR, node->minor);
    st->st_size = 0;
    st->st_blocks = 0;
    st->st_nlink = 1;
}

/* The node that path names, if a vGPU is wanted. */
static const struct node *wanted_node(const char *path)
{
    const struct node *node = node_by_path(path);
    return node && device_wanted_quietly() ? node : NULL;
}

/* Fills st if path names a node of ours. */
static bool stat_path(const char *path, struct stat *st)
{
    const struct node *node = wanted_node(path);

    if (!node)
        return false;
    memset(st, 0, sizeof(*st));
    st->st_ino = node->minor + 1;
    st->st_blksize = 4096;
    describe_node(st, node);
    return true;
}

/* After the real call has filled st. */
static int stat_fd(int result, int fd, struct stat *st)
{
    if (result < 0)
        return result;
    int saved = errno;
    struct fd_object *object = S_ISSOCK(st->st_mode) ? fd_table_find(fd, FD_DRM_FILE) : NULL;
    if (object && fd_table_verify(fd, object, st))
        describe_node(st, drm_file_of(object)->node);
    fd_object_unref(object);
    errno = saved;
    return result;
}

INTERCEPT int stat(const char *path, struct stat *st)
{
    return stat_path(path, st) ? 0 : real()->stat(path, st);
}

INTERCEPT int stat64(const char *path, struct stat64 *st)
{
    return stat_path(path, (void *)st) ? 0 : real()->stat(path, (void *)st);
}

INTERCEPT int lstat(const char *path, struct stat *st)
{
    return stat_path(path, st) ? 0 : real()->lstat(path, st);
}

INTERCEPT int lstat64(const char *path, struct stat64 *st)
{
    return stat_path(path, (void *)st) ? 0 : real()->lstat(path, (void *)st);
}

INTERCEPT int fstat(int fd, struct stat *st)
{
    return stat_fd(real()->fstat(fd, st), fd, st);
}

INTERCEPT int fstat64(int fd, struct stat64 *st)
{
    return stat_fd(real()->fstat(fd, (void *)st), fd, (void *)st);
}

static int stat_at(int dir, const char *path, struct stat *st, int flags)
{
    if (stat_path(path, st))
        return 0;
    int result = real()->fstatat(dir, path, st, flags);
    return flags & AT_EMPTY_PATH ? stat_fd(result, dir, st) : result;
}

INTERCEPT int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    return stat_at(dir, path, st, flags);
}

INTERCEPT int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
    return stat_at(dir, path, (void *)st, flags);
}

/* What programs call that were linked with a glibc before 2.33. */
INTERCEPT int __xstat(int version, const char *path, struct stat *st);
INTERCEPT int __xstat64(int version, const char *path, struct stat64 *st);
INTERCEPT int __fxstat(int version, int fd, struct stat *st);
INTERCEPT int __fxstat64(int version, int fd, struct stat64 *st);

int __xstat(int version, const char *path, struct stat *st)
{
    return stat(path, st);
}

int __xstat64(int version, const char *path, struct stat64 *st)
{
    return stat64(path, st);
}

int __fxstat(int version, int fd, struct stat *st)
{
    return fstat(fd, st);
}

int __fxstat64(int version, int fd, struct stat64 *st)
{
    return fstat64(fd, st);
}

INTERCEPT int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st)
{
    struct stat plain;

    if (stat_path(path, &plain)) {
        memset(st, 0, sizeof(*st));
        st->stx_mask = STATX_BASIC_STATS;
        st->stx_ino = plain.st_ino;
    } else {
        int result = real()->statx(dir, path, flags, mask, st);
        if (result < 0 || !(flags & AT_EMPTY_PATH) || !S_ISSOCK(st->stx_mode) ||
            fstat(dir, &plain) < 0 || !S_ISCHR(plain.st_mode))
            return result;
    }
    st->stx_mode = NODE_MODE;
    st->stx_nlink = 1;
    st->stx_size = st->stx_blocks = 0;
    st->stx_rdev_major = major(plain.st_rdev);
    st->stx_rdev_minor = minor(plain.st_rdev);
    return 0;
}

/* ---- access --------------------------------------------------------------------------------- */

static int may_access(int mode)
{
    return errno_result(mode & X_OK ? -EACCES : 0);
}

INTERCEPT int access(const char *path, int mode)
{
    return wanted_node(path) ? may_access(mode) : real()->access(path, mode);
}

INTERCEPT int faccessat(int dir, const char *path, int mode, int flags)
{
    return wanted_node(path) ? may_access(mode) : real()->faccessat(dir, path, mode, flags);
}
