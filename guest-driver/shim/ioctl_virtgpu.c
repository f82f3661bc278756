/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/ioctl.h"
#include "guest-driver/shim/state.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <string.h>

#define PAGE_BYTES 4096ull

/* As long as the kernel waits for a buffer. */
#define WAIT_NS 15000000000ll

/* Timelines that a context can have. */
#define RINGS_MAX VIRTIO_GPU_RINGS_MAX

/* CROSS_DEVICE needs UUIDs, and other devices. */
#define BLOB_FLAGS (VIRTGPU_BLOB_FLAG_USE_MAPPABLE | VIRTGPU_BLOB_FLAG_USE_SHAREABLE)

static bool has_3d(const struct drm_file *file)
{
    return device_has(file->device, VIRTIO_GPU_F_VIRGL);
}

/* ---- asking --------------------------------------------------------------------------------- */

int ioctl_getparam(struct drm_file *file, void *arg)
{
    const struct drm_virtgpu_getparam *param = arg;
    int value;

    switch (param->param) {
    case VIRTGPU_PARAM_3D_FEATURES:
        value = has_3d(file);
        break;
    case VIRTGPU_PARAM_CAPSET_QUERY_FIX:
        value = 1;
        break;
    case VIRTGPU_PARAM_RESOURCE_BLOB:
        value = device_has(file->device, VIRTIO_GPU_F_RESOURCE_BLOB);
        break;
    case VIRTGPU_PARAM_HOST_VISIBLE:
        value = file->device->host_visible_bytes > 0;
        break;
    case VIRTGPU_PARAM_CROSS_DEVICE:
        value = 0; /* there are no other devices */
        break;
    case VIRTGPU_PARAM_CONTEXT_INIT:
    case VIRTGPU_PARAM_EXPLICIT_DEBUG_NAME:
        value = device_has(file->device, VIRTIO_GPU_F_CONTEXT_INIT);
        break;
    case VIRTGPU_PARAM_SUPPORTED_CAPSET_IDs:
        value = (int)file->device->capset_mask;
        break;
    default:
        return -EINVAL;
    }
    /* An int, whatever the structure makes one think. */
    if (!param->value)
        return -EFAULT;
    memcpy((void *)(uintptr_t)param->value, &value, sizeof(value));
    return 0;
}

int ioctl_get_caps(struct drm_file *file, void *arg)
{
    const struct drm_virtgpu_get_caps *caps = arg;

    if (!file->device->capset_mask)
        return -ENOSYS;
    if (caps->size == 0)
        return -EINVAL;
    if (!caps->addr)
        return -EFAULT;
    return device_capset(file->device, caps->cap_set_id, caps->cap_set_ver,
                         (void *)(uintptr_t)caps->addr, caps->size);
}

/* ---- context -------------------------------------------------------------------------------- */

static int read_name(char *name, uint64_t address)
{
    if (!address)
        return -EFAULT;
    const char *text = (const char *)(uintptr_t)address;
    size_t length = strnlen(text, DRM_FILE_NAME_BYTES - 1);
    memcpy(name, text, length);
    name[length] = '\0';
    return 0;
}

int ioctl_context_init(struct drm_file *file, void *arg)
{
    const struct drm_virtgpu_context_init *init = arg;
    const struct drm_virtgpu_context_set_param *params = (void *)(uintptr_t)init->ctx_set_params;
    struct drm_context_args args = {0};
    uint64_t seen = 0;

    if (!device_has(file->device, VIRTIO_GPU_F_CONTEXT_INIT) || !has_3d(file))
        return -EINVAL;
    /* Each at most once, so there are no more than kinds of them. */
    if (init->num_params > VIRTGPU_CONTEXT_PARAM_DEBUG_NAME)
        return -EINVAL;
    if (init->num_params > 0 && !params)
        return -EFAULT;
    for (uint32_t i = 0; i < init->num_params; i++) {
        uint64_t param = params[i].param;
        uint64_t value = params[i].value;
        if (param == 0 || param > VIRTGPU_CONTEXT_PARAM_DEBUG_NAME || (seen & (1ull << param)))
            return -EINVAL;
        seen |= 1ull << param;
        switch (param) {
        case VIRTGPU_CONTEXT_PARAM_CAPSET_ID:
            if (value >= DEVICE_CAPSETS || !(file->device->capset_mask & (1ull << value)))
                return -EINVAL;
            args.capset_id = (uint32_t)value;
            break;
        case VIRTGPU_CONTEXT_PARAM_NUM_RINGS:
            if (value > RINGS_MAX)
                return -EINVAL;
            args.num_rings = (uint32_t)value;
            break;
        case VIRTGPU_CONTEXT_PARAM_POLL_RINGS_MASK:
            if (value != 0) /* events on the node, which Mesa's drivers don't use */
                return -EINVAL;
            break;
        default: {
            int result = read_name(args.name, value);
            if (result < 0)
                return result;
        }
        }
    }
    return drm_file_init_context(file, &args);
}

/* ---- resources ------------------------------------------------------------------------------ */

int ioctl_resource_create(struct drm_file *file, void *arg)
{
    struct drm_virtgpu_resource_create *create = arg;
    struct bo *bo;
    uint32_t handle;

    if (!has_3d(file)) /* the display is the only use of 2D resources */
        return -EINVAL;
    uint64_t bytes = create->size ? create->size : PAGE_BYTES;
    const struct aliquot_resource_args args = {
        .target = create->target,
        .format = create->format,
        .bind = create->bind,
        .width = create->width,
        .height = create->height,
        .depth = create->depth,
        .array_size = create->array_size,
        .last_level = create->last_level,
        .nr_samples = create->nr_samples,
        .flags = create->flags,
        .backing_bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES,
    };
    int result = bo_create(file->device, &args, &bo);
    if (result == -EINVAL) /* more than the vGPU's memory */
        result = -ENOMEM;
    if (result < 0)
        return result;
    create->res_handle = aliquot_resource_id(bo->resource);
    result = drm_file_add_bo(file, bo, &handle);
    if (result < 0) {
        bo_unref(bo);
        return result;
    }
    create->bo_handle = handle;
    return 0;
}

static int check_blob(const struct drm_file *file,
                      const struct drm_virtgpu_resource_create_blob *blob)
{
    bool on_host = blob->blob_mem != VIRTGPU_BLOB_MEM_GUEST;

    if (!device_has(file->device, VIRTIO_GPU_F_RESOURCE_BLOB) ||
        blob->blob_mem < VIRTGPU_BLOB_MEM_GUEST || blob->blob_mem > VIRTGPU_BLOB_MEM_HOST3D_GUEST ||
        (blob->blob_flags & ~(uint32_t)BLOB_FLAGS) || blob->size == 0 ||
        blob->size % PAGE_BYTES != 0)
        return -EINVAL;
    if (on_host)
        return has_3d(file) && blob->cmd_size % 4 == 0 ? 0 : -EINVAL;
    return blob->blob_id == 0 && blob->cmd_size == 0 ? 0 : -EINVAL;
}

/* The commands that make what blob_id names come first. */
static int submit_first(struct drm_file *file, struct aliquot_context *context, uint64_t commands,
                        uint32_t bytes)
{
    if (bytes == 0)
        return 0;
    if (!commands)
        return -EFAULT;
    pthread_mutex_lock(&file->device->submit_lock);
    int result =
        aliquot_submit(context, (const void *)(uintptr_t)commands, bytes, ALIQUOT_RING_NONE, NULL);
    pthread_mutex_unlock(&file->device->submit_lock);
    return device_result(file->device, result);
}

int ioctl_resource_create_blob(struct drm_file *file, void *arg)
{
    struct drm_virtgpu_resource_create_blob *create = arg;
    const struct aliquot_blob_args args = {
        .mem = create->blob_mem,
        .flags = create->blob_flags,
        .blob_id = create->blob_id,
        .bytes = create->size,
    };
    struct aliquot_context *context = NULL;
    struct bo *bo = NULL;
    uint32_t handle;
    int result = check_blob(file, create);

    if (result == 0 && has_3d(file))
        result = drm_file_context(file, &context);
    if (result == 0)
        result = submit_first(file, context, create->cmd, create->cmd_size);
    if (result == 0)
        result = bo_create_blob(file->device, context, &args, &bo);
    if (result < 0 || !bo)
        return result;
    result = drm_file_add_bo(file, bo, &handle);
    if (result < 0) {
        bo_unref(bo);
        return result;
    }
    create->res_handle = aliquot_resource_id(bo->resource);
    create->bo_handle = handle;
    return 0;
}

int ioctl_resource_info(struct drm_file *file, void *arg)
{
    struct drm_virtgpu_resource_info *info = arg;
    struct bo *bo = drm_file_get_bo(file, info->bo_handle);

    if (!bo)
        return -ENOENT;
    info->res_handle = aliquot_resource_id(bo->resource);
    info->size = (uint32_t)bo->size_bytes;
    info->blob_mem = bo->blob_mem;
    bo_unref(bo);
    return 0;
}

int ioctl_map(struct drm_file *file, void *arg)
{
    struct drm_virtgpu_map *map = arg;
    struct bo *bo = drm_file_get_bo(file, map->handle);

    if (!bo)
        return -ENOENT;
    map->offset = drm_file_map_offset(map->handle, bo);
    bo_unref(bo);
    return 0;
}

int ioctl_wait(struct drm_file *file, void *arg)
{
    const struct drm_virtgpu_3d_wait *wait = arg;
    struct fence_set set = {0};

    state_lock();
    struct bo *bo = handles_get(&file->bos, wait->handle);
    bool done = bo && fence_set_done(&bo->fences);
    if (bo && !done && !(wait->flags & VIRTGPU_WAIT_NOWAIT))
        fence_set_add_all(&set, &bo->fences);
    state_unlock();
    if (!bo)
        return -ENOENT;
    if (set.count > 0) {
        done = fence_set_wait(&set, fence_clock_ns() + WAIT_NS);
        fence_set_clear(&set);
    }
    return done ? 0 : -EBUSY;
}

/* ---- transfers ------------------------------------------------------------------------------ */

typedef int (*transfer_fn)(struct aliquot_context *context, struct aliquot_resource *resource,
                           const struct aliquot_transfer *transfer,
                           struct aliquot_fence **ret_fence);

/* Both directions have the same argument. */
_Static_assert(sizeof(struct drm_virtgpu_3d_transfer_to_host) ==
                   sizeof(struct drm_virtgpu_3d_transfer_from_host),
               "transfers");

static int transfer(struct drm_file *file, const struct drm_virtgpu_3d_transfer_to_host *args,
                    transfer_fn send)
{
    const struct aliquot_transfer t = {
        .box = {args->box.x, args->box.y, args->box.z, args->box.w, args->box.h, args->box.d},
        .level = args->level,
        .stride = args->stride,
        .layer_stride = args->layer_stride,
        .offset = args->offset,
    };
    struct aliquot_context *context;
    struct aliquot_fence *fence;

    if (!has_3d(file))
        return -ENOSYS;
    int result = drm_file_context(file, &context);
    if (result < 0)
        return result;
    struct bo *bo = drm_file_get_bo(file, args->bo_handle);
    if (!bo)
        return -ENOENT;
    /* Strides are for blobs that the host has, too; without memory of ours there is no transfer. */
    bool strides = args->stride || args->layer_stride;
    if (!bo_has_backing(bo) || (strides && bo->blob_mem != ALIQUOT_BLOB_HOST3D_GUEST)) {
        bo_unref(bo);
        return -EINVAL;
    }
    pthread_mutex_lock(&file->device->submit_lock);
    result = send(context, bo->resource, &t, &fence);
    if (result == 0) {
        state_lock();
        fence_set_add(&bo->fences, fence, TIMELINE_COMMON);
        state_unlock();
        aliquot_fence_unref(fence);
    }
    pthread_mutex_unlock(&file->device->submit_lock);
    bo_unref(bo);
    return device_result(file->device, result);
}

int ioctl_transfer_from_host(struct drm_file *file, void *arg)
{
    return transfer(file, arg, aliquot_transfer_from_host);
}

int ioctl_transfer_to_host(struct drm_file *file, void *arg)
{
    return transfer(file, arg, aliquot_transfer_to_host);
}
