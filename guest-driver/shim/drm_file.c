/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/drm_file.h"
#include "guest-driver/shim/state.h"
#include "guest-driver/shim/syncobj.h"
#include "guest-driver/shim/venus.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdlib.h>

struct drm_file *drm_file_of(struct fd_object *base)
{
    return (struct drm_file *)base;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void release_file(struct fd_object *base)
{
    struct drm_file *file = drm_file_of(base);

    /* First the context: its end detaches all its resources at once. */
    if (file->context && !device_is_foreign(file->device))
        aliquot_context_destroy(file->context);
    if (file->is_venus)
        venus_ends();
    for (uint32_t i = 0; i < file->bos.count; i++) {
        if (file->bos.items[i])
            bo_unref(file->bos.items[i]);
    }
    for (uint32_t i = 0; i < file->syncobjs.count; i++) {
        if (file->syncobjs.items[i])
            syncobj_unref(file->syncobjs.items[i]);
    }
    handles_finish(&file->bos);
    handles_finish(&file->syncobjs);
    pthread_mutex_destroy(&file->context_lock);
    free(file);
}

int drm_file_open(const struct node *node, bool cloexec)
{
    struct device *device;

    int result = device_get(&device);
    if (result < 0)
        return result;
    struct drm_file *file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->device = device;
    file->node = node;
    pthread_mutex_init(&file->context_lock, NULL);
    fd_object_init(&file->base, FD_DRM_FILE, release_file);
    int fd = fd_object_open_token(&file->base, cloexec, 0);
    fd_object_unref(&file->base);
    return fd;
}

/* ---- context -------------------------------------------------------------------------------- */

/* Under the context lock. */
static int create_context(struct drm_file *file, const struct drm_context_args *args)
{
    struct aliquot_context *context;
    const char *name = args->name[0] ? args->name : NULL;

    int result = aliquot_context_create(file->device->vgpu, args->capset_id, name, &context);
    if (result < 0)
        return device_result(file->device, result);
    file->num_rings = args->num_rings;
    file->is_venus = args->capset_id == VIRTIO_GPU_CAPSET_VENUS;
    if (file->is_venus)
        venus_begins(file->device);
    __atomic_store_n(&file->context, context, __ATOMIC_RELEASE);
    return 0;
}

int drm_file_init_context(struct drm_file *file, const struct drm_context_args *args)
{
    pthread_mutex_lock(&file->context_lock);
    int result = file->context ? -EEXIST : create_context(file, args);
    pthread_mutex_unlock(&file->context_lock);
    return result;
}

int drm_file_context(struct drm_file *file, struct aliquot_context **ret)
{
    const struct drm_context_args defaults = {0};
    int result = 0;

    *ret = __atomic_load_n(&file->context, __ATOMIC_ACQUIRE);
    if (*ret)
        return 0;
    pthread_mutex_lock(&file->context_lock);
    if (!file->context)
        result = create_context(file, &defaults);
    *ret = file->context;
    pthread_mutex_unlock(&file->context_lock);
    return result;
}

/* ---- buffers -------------------------------------------------------------------------------- */

int drm_file_add_bo(struct drm_file *file, struct bo *bo, uint32_t *ret)
{
    struct aliquot_context *context = NULL;
    int result = 0;

    if (device_has(file->device, VIRTIO_GPU_F_VIRGL)) {
        result = drm_file_context(file, &context);
        if (result == 0)
            result = device_result(file->device, aliquot_context_attach(context, bo->resource));
    }
    if (result < 0)
        return result;
    state_lock();
    result = handles_add(&file->bos, bo, ret);
    state_unlock();
    if (result < 0 && context)
        aliquot_context_detach(context, bo->resource);
    return result;
}

struct bo *drm_file_get_bo(struct drm_file *file, uint32_t handle)
{
    state_lock();
    struct bo *bo = handles_get(&file->bos, handle);
    if (bo)
        bo_ref(bo);
    state_unlock();
    return bo;
}

int drm_file_close_bo(struct drm_file *file, uint32_t handle)
{
    state_lock();
    struct bo *bo = handles_remove(&file->bos, handle);
    state_unlock();
    if (!bo)
        return -EINVAL;
    struct aliquot_context *context = __atomic_load_n(&file->context, __ATOMIC_ACQUIRE);
    /* The end of a resource detaches it anyhow. */
    if (context && !bo_is_last_ref(bo) && !device_is_foreign(file->device))
        aliquot_context_detach(context, bo->resource);
    bo_unref(bo);
    return 0;
}

/* ---- map offsets ---------------------------------------------------------------------------- */

/* 20 bits of handle, so that finding it is no search, over 19 bits of the resource's number, so
 * that an offset of a closed handle does not reach its successor, in pages. The lowest is not 0. */
#define OFFSET_RESOURCE_BITS 19
#define OFFSET_PAGE_BITS 12

uint64_t drm_file_map_offset(uint32_t handle, const struct bo *bo)
{
    uint64_t resource = aliquot_resource_id(bo->resource) & ((1u << OFFSET_RESOURCE_BITS) - 1);
    return ((uint64_t)handle << OFFSET_RESOURCE_BITS | resource) << OFFSET_PAGE_BITS;
}

struct bo *drm_file_find_mapped(struct drm_file *file, uint64_t map_offset)
{
    uint64_t handle = map_offset >> (OFFSET_PAGE_BITS + OFFSET_RESOURCE_BITS);
    struct bo *bo = handle <= UINT32_MAX ? drm_file_get_bo(file, (uint32_t)handle) : NULL;

    if (bo && drm_file_map_offset((uint32_t)handle, bo) != map_offset) {
        bo_unref(bo);
        bo = NULL;
    }
    return bo;
}
