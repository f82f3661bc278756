/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/sync_file.h"
#include "guest-driver/shim/private_fd.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sync_file.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sync_file *sync_file_of(struct fd_object *base)
{
    return (struct sync_file *)base;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void release_sync_file(struct fd_object *base)
{
    struct sync_file *file = sync_file_of(base);

    fence_set_clear(&file->set);
    if (file->event_fd >= 0)
        close(file->event_fd);
    free(file);
}

int sync_file_create(struct device *device, struct sync_file **ret)
{
    struct sync_file *file = calloc(1, sizeof(*file));

    if (!file)
        return -ENOMEM;
    file->device = device;
    file->event_fd = -1;
    fd_object_init(&file->base, FD_SYNC_FILE, release_sync_file);
    /* Not by name: that would make it private. */
    int fd = (int)syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = fd < 0 ? -errno : fd_table_enter(fd, &file->base);
    if (result < 0) {
        if (fd >= 0)
            real()->close(fd);
        fd_object_unref(&file->base);
        return result;
    }
    *ret = file;
    return fd;
}

void sync_file_add(struct sync_file *file, const struct fence_set *set)
{
    state_lock();
    fence_set_add_all(&file->set, set);
    state_unlock();
}

bool sync_file_fences(int fd, struct fence_set *ret)
{
    struct fd_object *base = fd_table_get(fd, FD_SYNC_FILE);

    if (!base)
        return false;
    state_lock();
    fence_set_add_all(ret, &sync_file_of(base)->set);
    state_unlock();
    fd_object_unref(base);
    return true;
}

/* ---- waiting -------------------------------------------------------------------------------- */

bool sync_file_wait(struct sync_file *file, int64_t deadline_ns)
{
    struct fence_set set = {0};

    state_lock();
    bool done = fence_set_done(&file->set);
    if (!done && deadline_ns != 0)
        fence_set_add_all(&set, &file->set);
    state_unlock();
    if (!done && deadline_ns != 0)
        done = fence_set_wait(&set, deadline_ns);
    fence_set_clear(&set);
    return done;
}

static void *arm_main(void *arg)
{
    struct sync_file *file = arg;

    sync_file_wait(file, INT64_MAX);
    eventfd_write(file->event_fd, 1);
    fd_object_unref(&file->base);
    return NULL;
}

/* A thread of its own, detached: the program's signals are none of its business. */
static int start_thread(struct sync_file *file)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, arm_main, file);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* fd is one of the program's descriptors of it. */
static void arm(struct sync_file *file, int fd)
{
    state_lock();
    bool armed = file->armed;
    file->armed = true;
    bool done = fence_set_done(&file->set);
    if (!armed && !done)
        file->event_fd = private_fd_take(real()->fcntl(fd, F_DUPFD_CLOEXEC, 0));
    state_unlock();
    if (armed)
        return;
    if (done) {
        eventfd_write(fd, 1);
        return;
    }
    fd_object_ref(&file->base);
    if (file->event_fd < 0 || start_thread(file) != 0) {
        /* Late is better than never. */
        sync_file_wait(file, INT64_MAX);
        eventfd_write(fd, 1);
        fd_object_unref(&file->base);
    }
}

void sync_file_arm_fd(int fd)
{
    struct fd_object *base = fd_table_get(fd, FD_SYNC_FILE);

    if (base && !device_is_foreign(sync_file_of(base)->device))
        arm(sync_file_of(base), fd);
    fd_object_unref(base);
}

void sync_file_arm_all(void)
{
    if (!fd_table_has(FD_SYNC_FILE))
        return;
    for (int fd = 0; fd <= fd_table_highest(); fd++)
        sync_file_arm_fd(fd);
}

/* ---- ioctls --------------------------------------------------------------------------------- */

static int merge(struct sync_file *file, struct sync_merge_data *data)
{
    struct fence_set set = {0};
    struct sync_file *merged;

    if (data->flags || data->pad)
        return -EINVAL;
    if (!sync_file_fences(data->fd2, &set))
        return -ENOENT;
    state_lock();
    fence_set_add_all(&set, &file->set);
    state_unlock();
    int fd = sync_file_create(file->device, &merged);
    if (fd >= 0) {
        sync_file_add(merged, &set);
        fd_object_unref(&merged->base);
        data->fence = fd;
    }
    fence_set_clear(&set);
    return fd < 0 ? fd : 0;
}

static int file_info(struct sync_file *file, struct sync_file_info *info)
{
    if (info->flags || info->pad)
        return -EINVAL;
    bool done = sync_file_wait(file, 0);
    if (info->num_fences > 0) {
        struct sync_fence_info *fence = (void *)(uintptr_t)info->sync_fence_info;
        if (!fence)
            return -EFAULT;
        memset(fence, 0, sizeof(*fence));
        memcpy(fence->obj_name, "aliquot", sizeof("aliquot"));
        memcpy(fence->driver_name, "virtio_gpu", sizeof("virtio_gpu"));
        fence->status = done;
        fence->timestamp_ns = done ? (uint64_t)fence_clock_ns() : 0;
    }
    memset(info->name, 0, sizeof(info->name));
    memcpy(info->name, "aliquot", sizeof("aliquot"));
    info->status = done;
    info->num_fences = 1;
    return 0;
}

int sync_file_ioctl(struct sync_file *file, unsigned long request, void *arg)
{
    if (device_is_foreign(file->device))
        return -EOWNERDEAD;
    if (request != SYNC_IOC_MERGE && request != SYNC_IOC_FILE_INFO)
        return -ENOTTY;
    if (!arg)
        return -EFAULT;
    return request == SYNC_IOC_MERGE ? merge(file, arg) : file_info(file, arg);
}
