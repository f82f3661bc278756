/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdlib.h>

struct aliquot_resource *resource_new(struct aliquot_vgpu *vgpu)
{
    struct aliquot_resource *resource = calloc(1, vgpu->transport->resource_bytes);

    if (resource)
        resource->vgpu = vgpu;
    return resource;
}

static void publish(struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;

    resource->next = vgpu->resources;
    if (resource->next)
        resource->next->prev = resource;
    vgpu->resources = resource;
}

static void withdraw(struct aliquot_resource *resource)
{
    if (resource->prev)
        resource->prev->next = resource->next;
    else
        resource->vgpu->resources = resource->next;
    if (resource->next)
        resource->next->prev = resource->prev;
}

static int create(struct aliquot_vgpu *vgpu, bool is_2d, const struct aliquot_resource_args *args,
                  struct aliquot_resource **ret)
{
    struct aliquot_resource *resource;
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    if (!is_2d && !vgpu_has(vgpu, VIRTIO_GPU_F_VIRGL))
        result = -EOPNOTSUPP;
    else if (args->backing_bytes > UINT32_MAX - PAGE_BYTES ||
             args->backing_bytes > vgpu->memory_bytes)
        result = -EINVAL;
    else
        result = vgpu->transport->resource_create(vgpu, is_2d, args, &resource);
    if (result == 0) {
        publish(resource);
        *ret = resource;
    }
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_resource_create_3d(struct aliquot_vgpu *vgpu, const struct aliquot_resource_args *args,
                               struct aliquot_resource **ret)
{
    return create(vgpu, false, args, ret);
}

int aliquot_resource_create_2d(struct aliquot_vgpu *vgpu, uint32_t format, uint32_t width,
                               uint32_t height, struct aliquot_resource **ret)
{
    struct aliquot_resource_args args = {
        .format = format,
        .width = width,
        .height = height,
        .backing_bytes = (uint64_t)width * height,
    };

    if (width == 0 || height == 0 || args.backing_bytes > UINT32_MAX / 4)
        return -EINVAL;
    args.backing_bytes *= 4;
    return create(vgpu, true, &args, ret);
}

/* ---- blobs ---------------------------------------------------------------------------------- */

/* A blob without bounds would be refused by the device; this keeps our arithmetic safe. */
#define BLOB_MAX_BYTES (1ull << 46)

#define KNOWN_FLAGS (ALIQUOT_BLOB_MAPPABLE | ALIQUOT_BLOB_SHAREABLE | ALIQUOT_BLOB_CROSS_DEVICE)

static int check_blob(struct aliquot_vgpu *vgpu, const struct aliquot_context *context,
                      const struct aliquot_blob_args *args)
{
    bool on_host = args->mem != ALIQUOT_BLOB_GUEST;

    if (!vgpu_has(vgpu, VIRTIO_GPU_F_RESOURCE_BLOB) ||
        (on_host && !vgpu_has(vgpu, VIRTIO_GPU_F_VIRGL))) {
        vgpu_error(vgpu, "no blobs: the device does not offer RESOURCE_BLOB, or no 3D");
        return -EOPNOTSUPP;
    }
    if (args->mem < ALIQUOT_BLOB_GUEST || args->mem > ALIQUOT_BLOB_HOST3D_GUEST ||
        (args->flags & ~KNOWN_FLAGS) || args->reserved || args->bytes == 0 ||
        args->bytes % PAGE_BYTES != 0 || args->bytes > BLOB_MAX_BYTES)
        return -EINVAL;
    if (on_host ? !context || context->vgpu != vgpu : args->blob_id != 0)
        return -EINVAL;
    if (args->mem != ALIQUOT_BLOB_HOST3D &&
        (args->bytes > UINT32_MAX - PAGE_BYTES || args->bytes > vgpu->memory_bytes))
        return -EINVAL;
    return 0;
}

int aliquot_resource_create_blob(struct aliquot_vgpu *vgpu, struct aliquot_context *context,
                                 const struct aliquot_blob_args *args,
                                 struct aliquot_resource **ret)
{
    struct aliquot_resource *resource;
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = check_blob(vgpu, context, args);
    if (result == 0)
        result = vgpu->transport->blob_create(vgpu, context, args, &resource);
    if (result == 0) {
        resource->blob_bytes = args->bytes;
        resource->blob_mem = args->mem;
        resource->blob_flags = args->flags;
        publish(resource);
        *ret = resource;
    }
    vgpu_unlock(vgpu);
    return result;
}

/* ---- life ----------------------------------------------------------------------------------- */

int aliquot_resource_wait(struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = vgpu->transport->resource_wait(resource);
    vgpu_unlock(vgpu);
    return result;
}

void aliquot_resource_destroy(struct aliquot_resource *resource)
{
    /* A fork leaves it to aliquot_close(): the list is the locker's. */
    if (!resource || vgpu_lock_lost(resource->vgpu) < 0)
        return;
    struct aliquot_vgpu *vgpu = resource->vgpu;
    withdraw(resource);
    vgpu->transport->resource_destroy(resource);
    vgpu_unlock(vgpu);
}

uint32_t aliquot_resource_id(const struct aliquot_resource *resource)
{
    return resource->id;
}

void *aliquot_resource_map(struct aliquot_resource *resource, size_t *ret_bytes)
{
    if (!resource->memory)
        return NULL;
    if (ret_bytes)
        *ret_bytes = resource->memory_bytes;
    return resource->memory;
}

/* ---- transfers ------------------------------------------------------------------------------ */

static int transfer(struct aliquot_context *context, struct aliquot_resource *resource,
                    const struct aliquot_transfer *t, bool to_host,
                    struct aliquot_fence **ret_fence)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;

    if (resource->is_2d && (context || !to_host))
        return -EOPNOTSUPP;
    if (!resource->memory || t->offset >= resource->memory_bytes ||
        (context && context->vgpu != vgpu))
        return -EINVAL;
    struct aliquot_fence *fence = NULL;
    if (ret_fence && !(fence = fence_create(vgpu)))
        return -ENOMEM;

    int result = vgpu_lock(vgpu);
    if (result == 0) {
        result = resource->error;
        if (result == 0)
            result = vgpu->transport->transfer(context, resource, t, to_host, fence);
        vgpu_unlock(vgpu);
    }
    if (result < 0)
        aliquot_fence_unref(fence);
    else if (fence)
        *ret_fence = fence;
    return result;
}

int aliquot_transfer_to_host(struct aliquot_context *context, struct aliquot_resource *resource,
                             const struct aliquot_transfer *t, struct aliquot_fence **ret_fence)
{
    return transfer(context, resource, t, true, ret_fence);
}

int aliquot_transfer_from_host(struct aliquot_context *context, struct aliquot_resource *resource,
                               const struct aliquot_transfer *t, struct aliquot_fence **ret_fence)
{
    return transfer(context, resource, t, false, ret_fence);
}
