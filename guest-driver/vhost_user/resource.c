/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <stdlib.h>

/* ---- life ----------------------------------------------------------------------------------- */

struct vhost_resource *resource_ref(struct vhost_resource *resource)
{
    resource->refs++;
    return resource;
}

void resource_unref(struct vhost_resource *resource)
{
    if (--resource->refs > 0)
        return;
    /* Memory that the device may still write to is not given to anybody else, ever. */
    if (!resource->device_has)
        vhost_free(vhost_vgpu_of(resource), resource->block);
    blob_release(resource);
    free(resource);
}

static void created(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    struct vhost_resource *resource = cmd->resource;

    resource->creating--;
    /* Of create and attach, what failed first is the reason. */
    if (!resource->base.error)
        resource->base.error = cmd->error;
}

static void unsent(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    cmd->resource->creating--;
}

static void destroyed(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    /* -ENOENT: it was refused at its creation. */
    if (cmd->error == 0 || cmd->error == -ENOENT)
        cmd->resource->device_has = false;
}

int resource_send_creation(struct vhost_resource *resource, struct ring_command *cmd,
                           uint32_t request_bytes)
{
    cmd->resource = resource_ref(resource);
    cmd->on_done = created;
    cmd->on_unsent = unsent;
    resource->creating++;
    return ring_send(vhost_vgpu_of(resource), cmd, request_bytes);
}

static int send_create_3d(struct vhost_resource *resource, const struct aliquot_resource_args *args)
{
    struct ring_command *cmd;
    struct virtio_gpu_resource_create_3d *request;

    int result = ring_command_get(vhost_vgpu_of(resource), VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->base.id;
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

static int send_create_2d(struct vhost_resource *resource, const struct aliquot_resource_args *args)
{
    struct ring_command *cmd;
    struct virtio_gpu_resource_create_2d *request;

    int result = ring_command_get(vhost_vgpu_of(resource), VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->base.id;
    request->format = args->format;
    request->width = args->width;
    request->height = args->height;
    return resource_send_creation(resource, cmd, sizeof(*request));
}

static int send_attach(struct vhost_resource *resource)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    struct ring_command *cmd;
    struct {
        struct virtio_gpu_resource_attach_backing head;
        struct virtio_gpu_mem_entry entry;
    } *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, 0, sizeof(*request),
                                  &cmd, &request);
    if (result < 0)
        return result;
    request->head.resource_id = resource->base.id;
    request->head.nr_entries = 1;
    request->entry.addr = vhost_gpa(vgpu, resource->block);
    request->entry.length = (uint32_t)resource->block->size;
    result = resource_send_creation(resource, cmd, sizeof(*request));
    if (result == 0)
        resource->device_has = true;
    return result;
}

static int send_unref(struct vhost_resource *resource)
{
    struct ring_command *cmd;
    struct virtio_gpu_resource_unref *request;

    int result = ring_command_get(vhost_vgpu_of(resource), VIRTIO_GPU_CMD_RESOURCE_UNREF, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->base.id;
    cmd->resource = resource_ref(resource);
    cmd->on_done = destroyed;
    return ring_send(vhost_vgpu_of(resource), cmd, sizeof(*request));
}

int resource_alloc(struct vhost_vgpu *vgpu, uint64_t backing_bytes, struct vhost_resource **ret)
{
    if (vgpu->next_resource_id == 0)
        return -ENOSPC;
    struct vhost_resource *resource = vhost_resource(resource_new(&vgpu->base));
    if (!resource)
        return -ENOMEM;
    resource->refs = 1;
    resource->host_fd = -1;
    int result = 0;
    if (backing_bytes)
        result = vhost_alloc(vgpu, backing_bytes, &resource->block);
    if (result < 0) {
        resource_unref(resource);
        return result;
    }
    if (resource->block) {
        resource->base.memory = vhost_pointer(vgpu, resource->block);
        resource->base.memory_bytes = resource->block->size;
    }
    resource->base.id = vgpu->next_resource_id++;
    *ret = resource;
    return 0;
}

int vhost_resource_create(struct aliquot_vgpu *base, bool is_2d,
                          const struct aliquot_resource_args *args, struct aliquot_resource **ret)
{
    struct vhost_resource *resource;

    int result = resource_alloc(vhost_vgpu(base), args->backing_bytes, &resource);
    if (result < 0)
        return result;
    resource->base.is_2d = is_2d;
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
    *ret = &resource->base;
    return 0;
}

static bool is_created(const struct vhost_vgpu *vgpu, const void *arg)
{
    return ((const struct vhost_resource *)arg)->creating == 0;
}

int vhost_resource_wait(struct aliquot_resource *base)
{
    int result = ring_wait(vhost_vgpu(base->vgpu), is_created, vhost_resource(base),
                           vgpu_deadline_ns(base->vgpu));

    return result < 0 ? result : base->error;
}

void vhost_resource_destroy(struct aliquot_resource *base)
{
    struct vhost_resource *resource = vhost_resource(base);

    if (!base->vgpu->lost)
        blob_hide(resource);
    if (!base->vgpu->lost)
        send_unref(resource);
    resource_unref(resource);
}

void vhost_resource_release(struct aliquot_resource *base)
{
    blob_release(vhost_resource(base));
    free(base);
}

/* ---- transfers ------------------------------------------------------------------------------ */

static int send_transfer_2d(struct vhost_resource *resource, const struct aliquot_transfer *t,
                            struct aliquot_fence *fence)
{
    struct ring_command *cmd;
    struct virtio_gpu_transfer_to_host_2d *request;

    int result = ring_command_get(vhost_vgpu_of(resource), VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->r.x = t->box.x;
    request->r.y = t->box.y;
    request->r.width = t->box.w;
    request->r.height = t->box.h;
    request->offset = t->offset;
    request->resource_id = resource->base.id;
    cmd->resource = resource_ref(resource);
    if (fence)
        ring_command_fence(vhost_vgpu_of(resource), cmd, fence, ALIQUOT_RING_NONE);
    return ring_send(vhost_vgpu_of(resource), cmd, sizeof(*request));
}

static int send_transfer_3d(const struct aliquot_context *context, struct vhost_resource *resource,
                            const struct aliquot_transfer *t, uint32_t type,
                            struct aliquot_fence *fence)
{
    struct ring_command *cmd;
    struct virtio_gpu_transfer_host_3d *request;

    int result = ring_command_get(vhost_vgpu_of(resource), type, context ? context->id : 0,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->box.x = t->box.x;
    request->box.y = t->box.y;
    request->box.z = t->box.z;
    request->box.w = t->box.w;
    request->box.h = t->box.h;
    request->box.d = t->box.d;
    request->offset = t->offset;
    request->resource_id = resource->base.id;
    request->level = t->level;
    request->stride = t->stride;
    request->layer_stride = t->layer_stride;
    cmd->resource = resource_ref(resource);
    if (fence)
        ring_command_fence(vhost_vgpu_of(resource), cmd, fence, ALIQUOT_RING_NONE);
    return ring_send(vhost_vgpu_of(resource), cmd, sizeof(*request));
}

int vhost_transfer(struct aliquot_context *context, struct aliquot_resource *base,
                   const struct aliquot_transfer *t, bool to_host, struct aliquot_fence *fence)
{
    struct vhost_resource *resource = vhost_resource(base);

    if (base->is_2d)
        return send_transfer_2d(resource, t, fence);
    return send_transfer_3d(
        context, resource, t,
        to_host ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D : VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, fence);
}
