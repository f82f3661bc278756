/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/syncobj.h"
#include "guest-driver/shim/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct syncobj_file *syncobj_file_of(struct fd_object *base)
{
    return (struct syncobj_file *)base;
}

/* ---- life ----------------------------------------------------------------------------------- */

struct syncobj *syncobj_create(bool signaled)
{
    struct syncobj *syncobj = calloc(1, sizeof(*syncobj));
    const struct fence_set done = {0};

    if (!syncobj)
        return NULL;
    syncobj->refs = 1;
    if (signaled && syncobj_set(syncobj, 0, &done) < 0) {
        free(syncobj);
        return NULL;
    }
    return syncobj;
}

struct syncobj *syncobj_ref(struct syncobj *syncobj)
{
    syncobj->refs++;
    return syncobj;
}

void syncobj_unref(struct syncobj *syncobj)
{
    state_lock();
    bool last = --syncobj->refs == 0;
    if (last)
        syncobj_reset(syncobj);
    state_unlock();
    if (!last)
        return;
    free(syncobj->points);
    free(syncobj);
}

static void release_syncobj_file(struct fd_object *base)
{
    struct syncobj_file *file = syncobj_file_of(base);

    syncobj_unref(file->syncobj);
    free(file);
}

int syncobj_export(struct syncobj *syncobj)
{
    struct syncobj_file *file = calloc(1, sizeof(*file));

    if (!file)
        return -ENOMEM;
    state_lock();
    file->syncobj = syncobj_ref(syncobj);
    state_unlock();
    fd_object_init(&file->base, FD_SYNCOBJ, release_syncobj_file);
    int fd = fd_object_open_token(&file->base, true, 0);
    fd_object_unref(&file->base);
    return fd;
}

/* ---- points --------------------------------------------------------------------------------- */

void syncobj_reset(struct syncobj *syncobj)
{
    for (unsigned i = 0; i < syncobj->count; i++)
        fence_set_clear(&syncobj->points[i].set);
    syncobj->count = 0;
}

/* Points that are signaled, but for the last of them, say nothing that it does not. */
static void forget_old(struct syncobj *syncobj)
{
    while (syncobj->count > 1 && fence_set_done(&syncobj->points[0].set) &&
           fence_set_done(&syncobj->points[1].set)) {
        fence_set_clear(&syncobj->points[0].set);
        syncobj->count--;
        memmove(syncobj->points, syncobj->points + 1, syncobj->count * sizeof(syncobj->points[0]));
    }
}

int syncobj_set(struct syncobj *syncobj, uint64_t point, const struct fence_set *set)
{
    if (point == 0)
        syncobj_reset(syncobj);
    forget_old(syncobj);
    if (syncobj->count == syncobj->capacity) {
        unsigned capacity = syncobj->capacity ? syncobj->capacity * 2 : 1;
        void *points = reallocarray(syncobj->points, capacity, sizeof(syncobj->points[0]));
        if (!points)
            return -ENOMEM;
        syncobj->points = points;
        syncobj->capacity = capacity;
    }
    /* Out of order, the kernel lets the point pass for the highest one. */
    if (syncobj->count > 0 && point < syncobj->points[syncobj->count - 1].point)
        point = syncobj->points[syncobj->count - 1].point;
    struct syncobj_point *added = &syncobj->points[syncobj->count++];
    *added = (struct syncobj_point){.point = point};
    fence_set_add_all(&added->set, set);
    return 0;
}

bool syncobj_find(const struct syncobj *syncobj, uint64_t point, struct fence_set *ret)
{
    if (syncobj->count == 0 || syncobj->points[syncobj->count - 1].point < point)
        return false;
    for (unsigned i = 0; i < syncobj->count; i++) {
        fence_set_add_all(ret, &syncobj->points[i].set);
        if (point > 0 && syncobj->points[i].point >= point)
            break;
    }
    return true;
}

uint64_t syncobj_value(struct syncobj *syncobj, bool submitted)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < syncobj->count; i++) {
        if (!submitted && !fence_set_done(&syncobj->points[i].set))
            break;
        value = syncobj->points[i].point;
    }
    return value;
}
