/* SPDX-License-Identifier: MIT */
/*
 * DRM synchronisation objects: a handle for "the fence that is current there", binary or as a
 * timeline of points. Who asks before anything was submitted may wait for that, too.
 */
#ifndef ALIQUOT_SHIM_SYNCOBJ_H
#define ALIQUOT_SHIM_SYNCOBJ_H

#include "guest-driver/shim/fd_table.h"
#include "guest-driver/shim/fence_set.h"

struct syncobj_point {
    uint64_t point;       /* 0 for a binary syncobj */
    struct fence_set set; /* owned */
};

/* All under the state lock. */
struct syncobj {
    unsigned refs;
    struct syncobj_point *points; /* owned, ascending; none = nothing was submitted */
    unsigned count, capacity;
};

/* What a descriptor of one refers to. */
struct syncobj_file {
    struct fd_object base;
    struct syncobj *syncobj; /* owned reference */
};

struct syncobj *syncobj_create(bool signaled); /* NULL: out of memory */
struct syncobj *syncobj_ref(struct syncobj *syncobj);
void syncobj_unref(struct syncobj *syncobj); /* without the lock */

/* The others need the lock. */

/* The fence at point is now set (which is copied); point 0 replaces all. 0 or -ENOMEM. */
int syncobj_set(struct syncobj *syncobj, uint64_t point, const struct fence_set *set);
void syncobj_reset(struct syncobj *syncobj);
/* Adds what has to be done before point is signaled to *ret; false if nothing is submitted there.
 */
bool syncobj_find(const struct syncobj *syncobj, uint64_t point, struct fence_set *ret);
/* The highest point that is signaled, or only submitted. */
uint64_t syncobj_value(struct syncobj *syncobj, bool submitted);

int syncobj_export(
    struct syncobj *syncobj); /* without the lock: a descriptor, or a negative errno */
struct syncobj_file *syncobj_file_of(struct fd_object *base);

#endif
