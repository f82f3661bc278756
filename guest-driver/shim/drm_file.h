/* SPDX-License-Identifier: MIT */
/*
 * An opened device node: as with the kernel's driver it has its own handles and one context on the
 * device, which is made at the first use. Its duplicates are the same one.
 */
#ifndef ALIQUOT_SHIM_DRM_FILE_H
#define ALIQUOT_SHIM_DRM_FILE_H

#include "guest-driver/shim/bo.h"
#include "guest-driver/shim/handles.h"
#include "guest-driver/shim/node.h"

#define DRM_FILE_NAME_BYTES 64

struct drm_file {
    struct fd_object base;
    struct device *device;
    const struct node *node;
    pthread_mutex_t context_lock;    /* guards what follows while there is no context */
    struct aliquot_context *context; /* owned, or NULL; stays once it is there */
    uint32_t num_rings;              /* timelines that EXECBUFFER may name */
    bool is_venus;                   /* the context is */
    struct handles bos;              /* of struct bo, a reference each; under the state lock */
    struct handles syncobjs;         /* of struct syncobj, likewise */
};

/* Opens a node: a new descriptor, or a negative errno. */
int drm_file_open(const struct node *node, bool cloexec);
struct drm_file *drm_file_of(struct fd_object *base);

/* What CONTEXT_INIT can say. */
struct drm_context_args {
    uint32_t capset_id;
    uint32_t num_rings;
    char name[DRM_FILE_NAME_BYTES]; /* "" = the program's */
};
/* Makes the context: -EEXIST if there is one. */
int drm_file_init_context(struct drm_file *file, const struct drm_context_args *args);
/* The context, made with defaults if there is none: 0 or a negative errno. */
int drm_file_context(struct drm_file *file, struct aliquot_context **ret);

/* A handle for the buffer, for which the caller's reference is taken over if it succeeds. The
 * context learns of it. */
int drm_file_add_bo(struct drm_file *file, struct bo *bo, uint32_t *ret);
/* The buffer with a reference, or NULL. */
struct bo *drm_file_get_bo(struct drm_file *file, uint32_t handle);
/* -EINVAL: no such handle. */
int drm_file_close_bo(struct drm_file *file, uint32_t handle);

/* What MAP answers for a handle, and the way back: a reference, or NULL. */
uint64_t drm_file_map_offset(uint32_t handle, const struct bo *bo);
struct bo *drm_file_find_mapped(struct drm_file *file, uint64_t map_offset);

#endif
