/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/ioctl.h"
#include "guest-driver/shim/state.h"
#include "guest-driver/shim/sync_file.h"
#include "guest-driver/shim/syncobj.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Handles in one call: far more than any driver has. */
#define COUNT_MAX 4096u

/* How often we look while something has not been submitted yet, or any one of several will do. */
#define SLICE_NS 1000000ll

struct syncobj *drm_file_get_syncobj(struct drm_file *file, uint32_t handle)
{
    state_lock();
    struct syncobj *syncobj = handles_get(&file->syncobjs, handle);
    if (syncobj)
        syncobj_ref(syncobj);
    state_unlock();
    return syncobj;
}

/* Consumes the caller's reference. */
static int add_handle(struct drm_file *file, struct syncobj *syncobj, uint32_t *ret)
{
    state_lock();
    int result = handles_add(&file->syncobjs, syncobj, ret);
    state_unlock();
    if (result < 0)
        syncobj_unref(syncobj);
    return result;
}

/* ---- life and descriptors ------------------------------------------------------------------- */

int ioctl_syncobj_create(struct drm_file *file, void *arg)
{
    struct drm_syncobj_create *create = arg;

    if (create->flags & ~(uint32_t)DRM_SYNCOBJ_CREATE_SIGNALED)
        return -EINVAL;
    struct syncobj *syncobj = syncobj_create(create->flags & DRM_SYNCOBJ_CREATE_SIGNALED);
    return syncobj ? add_handle(file, syncobj, &create->handle) : -ENOMEM;
}

int ioctl_syncobj_destroy(struct drm_file *file, void *arg)
{
    const struct drm_syncobj_destroy *destroy = arg;

    if (destroy->pad)
        return -EINVAL;
    state_lock();
    struct syncobj *syncobj = handles_remove(&file->syncobjs, destroy->handle);
    state_unlock();
    if (!syncobj)
        return -EINVAL;
    syncobj_unref(syncobj);
    return 0;
}

static int export_sync_file(struct drm_file *file, struct syncobj *syncobj)
{
    struct fence_set set = {0};
    struct sync_file *sync;

    state_lock();
    bool submitted = syncobj_find(syncobj, 0, &set);
    state_unlock();
    if (!submitted)
        return -EINVAL;
    int fd = sync_file_create(file->device, &sync);
    if (fd >= 0) {
        sync_file_add(sync, &set);
        fd_object_unref(&sync->base);
    }
    fence_set_clear(&set);
    return fd;
}

int ioctl_syncobj_handle_to_fd(struct drm_file *file, void *arg)
{
    struct drm_syncobj_handle *args = arg;

    if (args->pad || (args->flags & ~(uint32_t)DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE))
        return -EINVAL;
    struct syncobj *syncobj = drm_file_get_syncobj(file, args->handle);
    if (!syncobj)
        return -EINVAL;
    int fd = args->flags ? export_sync_file(file, syncobj) : syncobj_export(syncobj);
    syncobj_unref(syncobj);
    if (fd < 0)
        return fd;
    args->fd = fd;
    return 0;
}

static int import_sync_file(struct drm_file *file, const struct drm_syncobj_handle *args)
{
    struct fence_set set = {0};
    struct syncobj *syncobj = drm_file_get_syncobj(file, args->handle);
    int result = -EINVAL;

    if (!syncobj)
        return -ENOENT;
    if (sync_file_fences(args->fd, &set)) {
        state_lock();
        result = syncobj_set(syncobj, 0, &set);
        state_unlock();
        fence_set_clear(&set);
    }
    syncobj_unref(syncobj);
    return result;
}

int ioctl_syncobj_fd_to_handle(struct drm_file *file, void *arg)
{
    struct drm_syncobj_handle *args = arg;

    if (args->pad || (args->flags & ~(uint32_t)DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE))
        return -EINVAL;
    if (args->flags)
        return import_sync_file(file, args);
    struct fd_object *base = fd_table_find(args->fd, FD_SYNCOBJ);
    if (!base)
        return -EINVAL;
    state_lock();
    struct syncobj *syncobj = syncobj_ref(syncobj_file_of(base)->syncobj);
    state_unlock();
    fd_object_unref(base);
    return add_handle(file, syncobj, &args->handle);
}

int ioctl_syncobj_transfer(struct drm_file *file, void *arg)
{
    const struct drm_syncobj_transfer *args = arg;
    struct fence_set set = {0};
    int result = -ENOENT;

    if (args->pad || (args->flags & ~(uint32_t)DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT))
        return -EINVAL;
    state_lock();
    struct syncobj *from = handles_get(&file->syncobjs, args->src_handle);
    struct syncobj *to = handles_get(&file->syncobjs, args->dst_handle);
    if (from && to)
        result = syncobj_find(from, args->src_point, &set) ? syncobj_set(to, args->dst_point, &set)
                                                           : -EINVAL;
    state_unlock();
    fence_set_clear(&set);
    return result;
}

/* ---- arrays of them ------------------------------------------------------------------------- */

/* Calls each for all handles, under the lock: -ENOENT if one of them is none. */
static int for_handles(struct drm_file *file, uint64_t handles, uint32_t count, uint64_t points,
                       int (*each)(struct syncobj *syncobj, uint64_t *point))
{
    const uint32_t *list = (void *)(uintptr_t)handles;
    uint64_t *point_list = (void *)(uintptr_t)points;
    uint64_t none = 0;
    int result = 0;

    if (count == 0 || count > COUNT_MAX)
        return -EINVAL;
    if (!list)
        return -EFAULT;
    state_lock();
    for (uint32_t i = 0; i < count && result == 0; i++) {
        if (!handles_get(&file->syncobjs, list[i]))
            result = -ENOENT;
    }
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = each(handles_get(&file->syncobjs, list[i]), point_list ? &point_list[i] : &none);
    state_unlock();
    return result;
}

static int reset_one(struct syncobj *syncobj, uint64_t *point)
{
    syncobj_reset(syncobj);
    return 0;
}

static int signal_one(struct syncobj *syncobj, uint64_t *point)
{
    const struct fence_set done = {0};
    return syncobj_set(syncobj, *point, &done);
}

static int query_signaled(struct syncobj *syncobj, uint64_t *point)
{
    *point = syncobj_value(syncobj, false);
    return 0;
}

static int query_submitted(struct syncobj *syncobj, uint64_t *point)
{
    *point = syncobj_value(syncobj, true);
    return 0;
}

int ioctl_syncobj_reset(struct drm_file *file, void *arg)
{
    const struct drm_syncobj_array *args = arg;
    return args->pad ? -EINVAL
                     : for_handles(file, args->handles, args->count_handles, 0, reset_one);
}

int ioctl_syncobj_signal(struct drm_file *file, void *arg)
{
    const struct drm_syncobj_array *args = arg;
    return args->pad ? -EINVAL
                     : for_handles(file, args->handles, args->count_handles, 0, signal_one);
}

int ioctl_syncobj_timeline_signal(struct drm_file *file, void *arg)
{
    const struct drm_syncobj_timeline_array *args = arg;
    return args->flags
               ? -EINVAL
               : for_handles(file, args->handles, args->count_handles, args->points, signal_one);
}

int ioctl_syncobj_query(struct drm_file *file, void *arg)
{
    const struct drm_syncobj_timeline_array *args = arg;

    if (args->flags & ~(uint32_t)DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED)
        return -EINVAL;
    if (!args->points)
        return -EFAULT;
    return for_handles(file, args->handles, args->count_handles, args->points,
                       args->flags ? query_submitted : query_signaled);
}

/* ---- waiting -------------------------------------------------------------------------------- */

struct wait {
    struct drm_file *file;
    const uint32_t *handles;
    const uint64_t *points; /* or NULL */
    uint32_t count, flags;
    struct fence_set blocker; /* owned: of one that is not done */
    uint32_t first;           /* that is done */
    bool unsubmitted;         /* one of them is */
};

/* One look at all of them: 1 done, 0 not yet, or a negative errno. */
static int look(struct wait *w)
{
    uint32_t done = 0;
    int result = 0;

    w->unsubmitted = false;
    fence_set_clear(&w->blocker);
    state_lock();
    for (uint32_t i = 0; i < w->count && result == 0; i++) {
        struct fence_set set = {0};
        struct syncobj *syncobj = handles_get(&w->file->syncobjs, w->handles[i]);
        if (!syncobj) {
            result = -ENOENT;
            break;
        }
        bool submitted = syncobj_find(syncobj, w->points ? w->points[i] : 0, &set);
        bool available = w->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE;
        if (!submitted) {
            w->unsubmitted = true;
            if (!(w->flags &
                  (DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE)))
                result = -EINVAL;
        } else if (available || fence_set_done(&set)) {
            if (done++ == 0)
                w->first = i;
        } else if (w->blocker.count == 0) {
            fence_set_add_all(&w->blocker, &set);
        }
        fence_set_clear(&set);
    }
    state_unlock();
    if (result < 0)
        return result;
    return w->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL ? done == w->count : done > 0;
}

static int wait_for(struct wait *w, int64_t deadline_ns)
{
    int result;

    if (w->count > COUNT_MAX)
        return -EINVAL;
    if (w->count > 0 && !w->handles)
        return -EFAULT;
    while ((result = look(w)) == 0) {
        int64_t now_ns = fence_clock_ns();
        if (now_ns >= deadline_ns)
            return -ETIME;
        int64_t until_ns = deadline_ns;
        bool any = !(w->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL) && w->count > 1;
        if ((w->unsubmitted || any) && deadline_ns - now_ns > SLICE_NS)
            until_ns = now_ns + SLICE_NS;
        if (w->blocker.count > 0) {
            fence_set_wait(&w->blocker, until_ns);
        } else {
            const struct timespec slice = {.tv_nsec = until_ns - now_ns};
            nanosleep(&slice, NULL);
        }
    }
    return result < 0 ? result : 0;
}

int ioctl_syncobj_wait(struct drm_file *file, void *arg)
{
    struct drm_syncobj_wait *args = arg;
    struct wait w = {
        .file = file,
        .handles = (void *)(uintptr_t)args->handles,
        .count = args->count_handles,
        .flags = args->flags,
    };
    const uint32_t known = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL |
                           DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
                           DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE;

    if (args->flags & ~known)
        return -EINVAL;
    if (args->count_handles == 0)
        return 0;
    int result = wait_for(&w, args->timeout_nsec);
    fence_set_clear(&w.blocker);
    args->first_signaled = w.first;
    return result;
}

int ioctl_syncobj_timeline_wait(struct drm_file *file, void *arg)
{
    struct drm_syncobj_timeline_wait *args = arg;
    struct wait w = {
        .file = file,
        .handles = (void *)(uintptr_t)args->handles,
        .points = (void *)(uintptr_t)args->points,
        .count = args->count_handles,
        .flags = args->flags,
    };
    const uint32_t known =
        DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
        DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE;

    if (args->flags & ~known)
        return -EINVAL;
    if (args->count_handles == 0)
        return 0;
    int result = wait_for(&w, args->timeout_nsec);
    fence_set_clear(&w.blocker);
    args->first_signaled = w.first;
    return result;
}
