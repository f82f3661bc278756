/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/fd_table.h"
#include "guest-driver/shim/private_fd.h"
#include "guest-driver/shim/real.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KINDS (FD_SYNCOBJ + 1)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Written under the lock. Read without it to find out that a descriptor is not ours. */
static struct fd_object *_Atomic table[SHIM_FD_MAX];
static atomic_uint highest; /* number ever entered */
static struct fd_object *objects;
static atomic_uint alive[KINDS];

void fd_table_lock(void)
{
    pthread_mutex_lock(&lock);
}

void fd_table_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* ---- objects -------------------------------------------------------------------------------- */

void fd_object_init(struct fd_object *object, enum fd_kind kind,
                    void (*release)(struct fd_object *base))
{
    *object = (struct fd_object){.kind = kind, .refs = 1, .release = release};
    pthread_mutex_lock(&lock);
    object->next = objects;
    if (objects)
        objects->prev = object;
    objects = object;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&alive[kind], 1);
}

struct fd_object *fd_object_ref(struct fd_object *object)
{
    pthread_mutex_lock(&lock);
    object->refs++;
    pthread_mutex_unlock(&lock);
    return object;
}

/* Under the lock; true if the caller has to release it, without the lock. */
static bool unref_locked(struct fd_object *object)
{
    if (--object->refs > 0)
        return false;
    if (object->prev)
        object->prev->next = object->next;
    else
        objects = object->next;
    if (object->next)
        object->next->prev = object->prev;
    return true;
}

static void release(struct fd_object *object)
{
    atomic_fetch_sub(&alive[object->kind], 1);
    object->release(object);
}

void fd_object_unref(struct fd_object *object)
{
    if (!object)
        return;
    pthread_mutex_lock(&lock);
    bool last = unref_locked(object);
    pthread_mutex_unlock(&lock);
    if (last)
        release(object);
}

int fd_object_open_token(struct fd_object *object, bool cloexec, off_t bytes)
{
    struct stat st = {0};
    long fd;

    /* Not by name: that would make them private. */
    if (bytes > 0)
        fd = syscall(SYS_memfd_create, "aliquot-dmabuf", cloexec ? MFD_CLOEXEC : 0);
    else
        fd = syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | (cloexec ? SOCK_CLOEXEC : 0), 0);
    if (fd < 0)
        return -errno;
    int result = 0;
    if ((bytes > 0 && ftruncate((int)fd, bytes) < 0) || real()->fstat((int)fd, &st) < 0)
        result = -errno;
    if (result == 0) {
        pthread_mutex_lock(&lock);
        object->dev = st.st_dev;
        object->ino = st.st_ino;
        pthread_mutex_unlock(&lock);
        result = fd_table_enter((int)fd, object);
    }
    if (result < 0) {
        real()->close((int)fd);
        return result;
    }
    return (int)fd;
}

/* ---- the table ------------------------------------------------------------------------------ */

static bool in_range(int fd)
{
    return fd >= 0 && fd < SHIM_FD_MAX;
}

struct fd_object *fd_table_get_any(int fd)
{
    if (!in_range(fd) || !atomic_load_explicit(&table[fd], memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&lock);
    struct fd_object *object = table[fd];
    if (object)
        object->refs++;
    pthread_mutex_unlock(&lock);
    return object;
}

struct fd_object *fd_table_get(int fd, enum fd_kind kind)
{
    struct fd_object *object = fd_table_get_any(fd);

    if (object && object->kind != kind) {
        fd_object_unref(object);
        return NULL;
    }
    return object;
}

static bool is_inode(const struct fd_object *object, const struct stat *st)
{
    return object->ino && object->ino == st->st_ino && object->dev == st->st_dev;
}

struct fd_object *fd_table_find(int fd, enum fd_kind kind)
{
    struct fd_object *object = fd_table_get(fd, kind);
    struct stat st;

    if (object || !in_range(fd) || !fd_table_has(kind) || real()->fstat(fd, &st) < 0)
        return object;
    pthread_mutex_lock(&lock);
    for (object = objects; object; object = object->next) {
        if (object->kind == kind && is_inode(object, &st))
            break;
    }
    if (object)
        object->refs++;
    pthread_mutex_unlock(&lock);
    if (object)
        fd_table_enter(fd, object);
    return object;
}

bool fd_table_verify(int fd, const struct fd_object *object, const struct stat *st)
{
    if (!object->ino || is_inode(object, st))
        return true;
    fd_table_drop(fd);
    return false;
}

static void replace(int fd, struct fd_object *object)
{
    pthread_mutex_lock(&lock);
    struct fd_object *old = table[fd];
    if (object)
        object->refs++;
    table[fd] = object;
    if (object && (unsigned)fd > highest)
        highest = (unsigned)fd;
    bool last = old && unref_locked(old);
    pthread_mutex_unlock(&lock);
    if (last)
        release(old);
}

int fd_table_enter(int fd, struct fd_object *object)
{
    if (!in_range(fd))
        return -EMFILE;
    replace(fd, object);
    return 0;
}

void fd_table_drop(int fd)
{
    if (in_range(fd) && atomic_load_explicit(&table[fd], memory_order_relaxed))
        replace(fd, NULL);
}

void fd_table_drop_range(unsigned first, unsigned last)
{
    for (unsigned fd = first; fd <= last && fd <= highest; fd++)
        fd_table_drop((int)fd);
}

void fd_table_dup(int from, int to)
{
    struct fd_object *object = fd_table_get_any(from);

    if (!object)
        fd_table_drop(to);
    else if (from != to)
        fd_table_enter(to, object);
    fd_object_unref(object);
}

int fd_table_highest(void)
{
    return (int)highest;
}

bool fd_table_has(enum fd_kind kind)
{
    return atomic_load_explicit(&alive[kind], memory_order_relaxed) > 0;
}
