/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- contexts ------------------------------------------------------------------------------- */

static int send_destroy(struct vhost_vgpu *vgpu, uint32_t id)
{
    struct ring_command *cmd;
    struct virtio_gpu_ctx_destroy *request;

    int result =
        ring_command_get(vgpu, VIRTIO_GPU_CMD_CTX_DESTROY, id, sizeof(*request), &cmd, &request);
    return result < 0 ? result : ring_send(vgpu, cmd, sizeof(*request));
}

static int create_on_device(struct vhost_vgpu *vgpu, uint32_t id, uint32_t capset_id,
                            const char *name)
{
    struct ring_command *cmd;
    struct virtio_gpu_ctx_create *request;

    int result =
        ring_command_get(vgpu, VIRTIO_GPU_CMD_CTX_CREATE, id, sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    size_t length = strnlen(name, sizeof(request->debug_name) - 1);
    memcpy(request->debug_name, name, length);
    request->nlen = (uint32_t)length;
    if (vgpu_has(&vgpu->base, VIRTIO_GPU_F_CONTEXT_INIT))
        request->context_init = capset_id;
    result = ring_call(vgpu, cmd, sizeof(*request));
    if (result == 0)
        ring_command_put(vgpu, cmd);
    else if (result == -ETIMEDOUT)
        send_destroy(vgpu, id); /* nobody would, once it exists after all */
    return result;
}

int vhost_context_create(struct aliquot_context *context, uint32_t capset_id, const char *name)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(context->vgpu);

    if (vgpu->next_context_id == 0)
        return -ENOSPC;
    /* Not used again, even if it comes to nothing: the device may remember it. */
    context->id = vgpu->next_context_id++;
    return create_on_device(vgpu, context->id, capset_id, name);
}

void vhost_context_destroy(struct aliquot_context *context)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(context->vgpu);

    if (!vgpu->base.lost)
        send_destroy(vgpu, context->id);
    free(context);
}

void vhost_context_release(struct aliquot_context *context)
{
    free(context);
}

static int attach_or_detach(struct aliquot_context *context, struct aliquot_resource *resource,
                            uint32_t type)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(context->vgpu);
    struct ring_command *cmd;
    struct virtio_gpu_ctx_resource *request;

    int result = ring_command_get(vgpu, type, context->id, sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->id;
    return ring_send(vgpu, cmd, sizeof(*request));
}

int vhost_attach(struct aliquot_context *context, struct aliquot_resource *resource)
{
    return attach_or_detach(context, resource, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE);
}

int vhost_detach(struct aliquot_context *context, struct aliquot_resource *resource)
{
    return attach_or_detach(context, resource, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE);
}

/* ---- submission ----------------------------------------------------------------------------- */

/* Takes the payload block in any case. */
static int send_submit(struct aliquot_context *context, const void *commands, uint32_t bytes,
                       struct guest_block *payload, int ring_idx, struct aliquot_fence *fence)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(context->vgpu);
    struct ring_command *cmd;
    struct virtio_gpu_cmd_submit *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_SUBMIT_3D, context->id, sizeof(*request),
                                  &cmd, &request);
    if (result < 0) {
        vhost_free(vgpu, payload);
        return result;
    }
    request->size = bytes;
    if (fence)
        ring_command_fence(vgpu, cmd, fence, ring_idx);
    if (!payload) {
        if (bytes > 0)
            memcpy(request + 1, commands, bytes);
        return ring_send(vgpu, cmd, (uint32_t)sizeof(*request) + bytes);
    }
    cmd->out = payload;
    cmd->out_bytes = bytes;
    return ring_send(vgpu, cmd, sizeof(*request));
}

int vhost_submit(struct aliquot_context *context, const void *commands, uint32_t bytes,
                 int ring_idx, struct aliquot_fence *fence)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(context->vgpu);
    struct guest_block *payload = NULL;

    if (bytes > SLOT_REQUEST_BYTES - sizeof(struct virtio_gpu_cmd_submit)) {
        int result = vhost_alloc(vgpu, bytes, &payload);
        if (result < 0)
            return result;
        /* Large: not to be copied with everybody waiting for the lock. */
        vgpu_unlock(&vgpu->base);
        memcpy(vhost_pointer(vgpu, payload), commands, bytes);
        pthread_mutex_lock(&vgpu->base.lock);
    }
    return send_submit(context, commands, bytes, payload, ring_idx, fence);
}
