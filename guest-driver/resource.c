/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <stdlib.h>

/* ---- life ----------------------------------------------------------------------------------- */

struct aliquot_resource *resource_ref(struct aliquot_resource *resource)
{
    resource->refs++;
    return resource;
}

void resource_unref(struct aliquot_resource *resource)
{
    if (--resource->refs > 0)
        return;
    /* Memory that the device may still write to is not given to anybody else, ever. */
    if (!resource->device_has)
        vgpu_free(resource->vgpu, resource->block);
    blob_release(resource);
    free(resource);
}

/* Under the lock. */
static void unlink_resource(struct aliquot_resource *resource)
{
    if (resource->prev)
        resource->prev->next = resource->next;
    else
        resource->vgpu->resources = resource->next;
    if (resource->next)
        resource->next->prev = resource->prev;
}

static void created(struct aliquot_vgpu *vgpu, struct ring_command *cmd)
{
    struct aliquot_resource *resource = cmd->resource;

    resource->creating--;
    /* Of create and attach, what failed first is the reason. */
    if (!resource->error)
        resource->error = cmd->error;
}

static void unsent(struct aliquot_vgpu *vgpu, struct ring_command *cmd)
{
    cmd->resource->creating--;
}

static void destroyed(struct aliquot_vgpu *vgpu, struct ring_command *cmd)
{
    /* -ENOENT: it was refused at its creation. */
    if (cmd->error == 0 || cmd->error == -ENOENT)
        cmd->resource->device_has = false;
}

int resource_send_creation(struct aliquot_resource *resource, struct ring_command *cmd,
                           uint32_t request_bytes)
{
    cmd->resource = resource_ref(resource);
    cmd->on_done = created;
    cmd->on_unsent = unsent;
    resource->creating++;
    return ring_send(resource->vgpu, cmd, request_bytes);
}

static int send_create_3d(struct aliquot_resource *resource,
                          const struct aliquot_resource_args *args)
{
    struct ring_command *cmd;
    struct virtio_gpu_resource_create_3d *request;

    int result = ring_command_get(resource->vgpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->id;
    request->target = args->target;
    request->format = args->format;
    request->bind = args->bind;
    request->width = args->width;
    request->height = args->height;
    request->depth = args->depth;
    request->array_size = args->array_size;
    request->last_level = args->last_level;
    request->nr_samples = args->nr_samples;
    request->flags = args->flags;
    return resource_send_creation(resource, cmd, sizeof(*request));
}

static int send_create_2d(struct aliquot_resource *resource,
                          const struct aliquot_resource_args *args)
{
    struct ring_command *cmd;
    struct virtio_gpu_resource_create_2d *request;

    int result = ring_command_get(resource->vgpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->id;
    request->format = args->format;
    request->width = args->width;
    request->height = args->height;
    return resource_send_creation(resource, cmd, sizeof(*request));
}

static int send_attach(struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    struct ring_command *cmd;
    struct {
        struct virtio_gpu_resource_attach_backing head;
        struct virtio_gpu_mem_entry entry;
    } *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, 0, sizeof(*request),
                                  &cmd, &request);
    if (result < 0)
        return result;
    request->head.resource_id = resource->id;
    request->head.nr_entries = 1;
    request->entry.addr = vgpu_gpa(vgpu, resource->block);
    request->entry.length = (uint32_t)resource->block->size;
    result = resource_send_creation(resource, cmd, sizeof(*request));
    if (result == 0)
        resource->device_has = true;
    return result;
}

static int send_unref(struct aliquot_resource *resource)
{
    struct ring_command *cmd;
    struct virtio_gpu_resource_unref *request;

    int result = ring_command_get(resource->vgpu, VIRTIO_GPU_CMD_RESOURCE_UNREF, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->id;
    cmd->resource = resource_ref(resource);
    cmd->on_done = destroyed;
    return ring_send(resource->vgpu, cmd, sizeof(*request));
}

int resource_alloc(struct aliquot_vgpu *vgpu, uint64_t backing_bytes, struct aliquot_resource **ret)
{
    if (backing_bytes > UINT32_MAX - GUEST_HEAP_GRANULE || backing_bytes > vgpu->heap.size_bytes)
        return -EINVAL;
    if (vgpu->next_resource_id == 0)
        return -ENOSPC;
    struct aliquot_resource *resource = calloc(1, sizeof(*resource));
    if (!resource)
        return -ENOMEM;
    resource->vgpu = vgpu;
    resource->refs = 1;
    resource->host_fd = -1;
    int result = 0;
    if (backing_bytes)
        result = vgpu_alloc(vgpu, backing_bytes, &resource->block);
    if (result < 0) {
        resource_unref(resource);
        return result;
    }
    resource->id = vgpu->next_resource_id++;
    *ret = resource;
    return 0;
}

void resource_publish(struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;

    resource->next = vgpu->resources;
    if (resource->next)
        resource->next->prev = resource;
    vgpu->resources = resource;
}

/* Under the lock. */
static int create_resource(struct aliquot_vgpu *vgpu, bool is_2d,
                           const struct aliquot_resource_args *args, struct aliquot_resource **ret)
{
    struct aliquot_resource *resource;

    if (!is_2d && !(vgpu->front.features & (1ull << VIRTIO_GPU_F_VIRGL)))
        return -EOPNOTSUPP;
    int result = resource_alloc(vgpu, args->backing_bytes, &resource);
    if (result < 0)
        return result;
    resource->is_2d = is_2d;
    result = is_2d ? send_create_2d(resource, args) : send_create_3d(resource, args);
    if (result == 0 && resource->block) {
        result = send_attach(resource);
        if (result < 0)
            send_unref(resource);
    }
    if (result < 0) {
        resource_unref(resource);
        return result;
    }
    resource_publish(resource);
    *ret = resource;
    return 0;
}

int aliquot_resource_create_3d(struct aliquot_vgpu *vgpu, const struct aliquot_resource_args *args,
                               struct aliquot_resource **ret)
{
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = create_resource(vgpu, false, args, ret);
    vgpu_unlock(vgpu);
    return result;
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
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = create_resource(vgpu, true, &args, ret);
    vgpu_unlock(vgpu);
    return result;
}

static bool is_created(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return ((const struct aliquot_resource *)arg)->creating == 0;
}

int aliquot_resource_wait(struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = ring_wait(vgpu, is_created, resource, vgpu_deadline_ns(vgpu));
    if (result == 0)
        result = resource->error;
    vgpu_unlock(vgpu);
    return result;
}

void aliquot_resource_destroy(struct aliquot_resource *resource)
{
    /* A fork leaves it to aliquot_close(): the list is the locker's. */
    if (!resource || vgpu_lock_lost(resource->vgpu) < 0)
        return;
    struct aliquot_vgpu *vgpu = resource->vgpu;
    if (!vgpu->lost)
        blob_hide(resource);
    if (!vgpu->lost)
        send_unref(resource);
    unlink_resource(resource);
    resource_unref(resource);
    vgpu_unlock(vgpu);
}

uint32_t aliquot_resource_id(const struct aliquot_resource *resource)
{
    return resource->id;
}

void *aliquot_resource_map(struct aliquot_resource *resource, size_t *ret_bytes)
{
    if (!resource->block)
        return NULL;
    if (ret_bytes)
        *ret_bytes = resource->block->size;
    return vgpu_pointer(resource->vgpu, resource->block);
}

/* ---- transfers ------------------------------------------------------------------------------ */

static int send_transfer_2d(struct aliquot_resource *resource, const struct aliquot_transfer *t,
                            struct aliquot_fence *fence)
{
    struct ring_command *cmd;
    struct virtio_gpu_transfer_to_host_2d *request;

    int result = ring_command_get(resource->vgpu, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->r.x = t->box.x;
    request->r.y = t->box.y;
    request->r.width = t->box.w;
    request->r.height = t->box.h;
    request->offset = t->offset;
    request->resource_id = resource->id;
    cmd->resource = resource_ref(resource);
    if (fence)
        ring_command_fence(resource->vgpu, cmd, fence, ALIQUOT_RING_NONE);
    return ring_send(resource->vgpu, cmd, sizeof(*request));
}

static int send_transfer_3d(const struct aliquot_context *context,
                            struct aliquot_resource *resource, const struct aliquot_transfer *t,
                            uint32_t type, struct aliquot_fence *fence)
{
    struct ring_command *cmd;
    struct virtio_gpu_transfer_host_3d *request;

    int result = ring_command_get(resource->vgpu, type, context ? context->id : 0, sizeof(*request),
                                  &cmd, &request);
    if (result < 0)
        return result;
    request->box.x = t->box.x;
    request->box.y = t->box.y;
    request->box.z = t->box.z;
    request->box.w = t->box.w;
    request->box.h = t->box.h;
    request->box.d = t->box.d;
    request->offset = t->offset;
    request->resource_id = resource->id;
    request->level = t->level;
    request->stride = t->stride;
    request->layer_stride = t->layer_stride;
    cmd->resource = resource_ref(resource);
    if (fence)
        ring_command_fence(resource->vgpu, cmd, fence, ALIQUOT_RING_NONE);
    return ring_send(resource->vgpu, cmd, sizeof(*request));
}

static int transfer(struct aliquot_context *context, struct aliquot_resource *resource,
                    const struct aliquot_transfer *t, uint32_t type,
                    struct aliquot_fence **ret_fence)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;

    if (resource->is_2d && (context || type != VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D))
        return -EOPNOTSUPP;
    if (!resource->block || t->offset >= resource->block->size ||
        (context && context->vgpu != vgpu))
        return -EINVAL;
    struct aliquot_fence *fence = NULL;
    if (ret_fence && !(fence = fence_create(vgpu)))
        return -ENOMEM;

    int result = vgpu_lock(vgpu);
    if (result == 0) {
        result = resource->error;
        if (result == 0)
            result = resource->is_2d ? send_transfer_2d(resource, t, fence)
                                     : send_transfer_3d(context, resource, t, type, fence);
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
    return transfer(context, resource, t, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, ret_fence);
}

int aliquot_transfer_from_host(struct aliquot_context *context, struct aliquot_resource *resource,
                               const struct aliquot_transfer *t, struct aliquot_fence **ret_fence)
{
    return transfer(context, resource, t, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, ret_fence);
}
