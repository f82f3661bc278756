/* SPDX-License-Identifier: MIT */
/*
 * Which of the program's descriptors are ours, and what is behind them. Everything that the kernel
 * would give out as a descriptor (the opened render node, an exported buffer, a sync_file, an
 * exported syncobj) is a struct fd_object; the program holds it by descriptors that are real ones,
 * of a mute socket, an empty file or an eventfd, so that numbers, dup, fork and exec stay the
 * kernel's business.
 *
 * A descriptor that was duplicated behind our back (SCM_RIGHTS, a raw system call) is recognised by
 * its inode, where the object has one of its own. One that was closed behind our back leaves a
 * stale entry until its number is used again.
 */
#ifndef ALIQUOT_SHIM_FD_TABLE_H
#define ALIQUOT_SHIM_FD_TABLE_H

#include <stdbool.h>
#include <sys/types.h>

struct stat;

enum fd_kind {
    FD_DRM_FILE,
    FD_PRIME,
    FD_SYNC_FILE,
    FD_SYNCOBJ,
};

struct fd_object {
    enum fd_kind kind;
    unsigned refs; /* under the table's lock: each descriptor's, and each user's at work */
    dev_t dev;
    ino_t ino;                               /* 0 = not recognised by inode */
    void (*release)(struct fd_object *base); /* frees it; called without the lock */
    struct fd_object *prev, *next;           /* in the list of all */
};

/* A new object, with the caller's reference. */
void fd_object_init(struct fd_object *object, enum fd_kind kind,
                    void (*release)(struct fd_object *base));
struct fd_object *fd_object_ref(struct fd_object *object);
void fd_object_unref(struct fd_object *object); /* NULL is fine */

/* Makes a descriptor for the object, recognised by its inode, and enters it: returns it, or a
 * negative errno. With bytes it is an empty file of that size, as dma-bufs tell theirs; with 0 a
 * socket that nothing ever comes in on, so that polling for events is right and reading waits. */
int fd_object_open_token(struct fd_object *object, bool cloexec, off_t bytes);

/* The object behind fd, with a reference, or NULL. Does not look at inodes. */
struct fd_object *fd_table_get(int fd, enum fd_kind kind);
/* The same, and enters fd if its inode is an object's. */
struct fd_object *fd_table_find(int fd, enum fd_kind kind);
/* Whatever it is. */
struct fd_object *fd_table_get_any(int fd);
/* False means that a stale entry has been dropped: fd is somebody else's by now. */
bool fd_table_verify(int fd, const struct fd_object *object, const struct stat *st);

/* fd is now of the object: a reference is taken, an older entry dropped. -EMFILE: too high. */
int fd_table_enter(int fd, struct fd_object *object);
/* The descriptor is being closed, or is used by others now. */
void fd_table_drop(int fd);
void fd_table_drop_range(unsigned first, unsigned last);
/* fd "to" is a duplicate of "from": whatever that is. */
void fd_table_dup(int from, int to);

/* No descriptor above it was ever entered. */
int fd_table_highest(void);
/* Some object of the kind exists: a look without a lock. */
bool fd_table_has(enum fd_kind kind);

/* Around fork(). */
void fd_table_lock(void);
void fd_table_unlock(void);

#endif
