/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Timelines of one context (virtio 1.3: ring_idx is below 64). */
#define RING_IDX_MAX 63

static bool has_feature(const struct aliquot_vgpu *vgpu, unsigned bit)
{
    return vgpu->front.features & (1ull << bit);
}

/* ---- contexts ------------------------------------------------------------------------------- */

static int send_destroy(struct aliquot_vgpu *vgpu, uint32_t id)
{
    struct ring_command *cmd;
    struct virtio_gpu_ctx_destroy *request;

    int result =
        ring_command_get(vgpu, VIRTIO_GPU_CMD_CTX_DESTROY, id, sizeof(*request), &cmd, &request);
    return result < 0 ? result : ring_send(vgpu, cmd, sizeof(*request));
}

/* Under the lock. */
static int create_on_device(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t capset_id,
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
    if (has_feature(vgpu, VIRTIO_GPU_F_CONTEXT_INIT))
        request->context_init = capset_id;
    result = ring_call(vgpu, cmd, sizeof(*request));
    if (result == 0)
        ring_command_put(vgpu, cmd);
    else if (result == -ETIMEDOUT)
        send_destroy(vgpu, id); /* nobody would, once it exists after all */
    return result;
}

int aliquot_context_create(struct aliquot_vgpu *vgpu, uint32_t capset_id, const char *name,
                           struct aliquot_context **ret)
{
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    struct aliquot_context *context = NULL;
    if (!has_feature(vgpu, VIRTIO_GPU_F_VIRGL)) {
        result = -EOPNOTSUPP;
    } else if (capset_id > VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK ||
               (capset_id > VIRTIO_GPU_CAPSET_VIRGL2 &&
                !has_feature(vgpu, VIRTIO_GPU_F_CONTEXT_INIT))) {
        result = -EINVAL;
    } else if (vgpu->next_context_id == 0) {
        result = -ENOSPC;
    } else if (!(context = calloc(1, sizeof(*context)))) {
        result = -ENOMEM;
    } else {
        /* Not used again, even if it comes to nothing: the device may remember it. */
        context->id = vgpu->next_context_id++;
        result = create_on_device(vgpu, context->id, capset_id,
                                  name ? name : program_invocation_short_name);
    }
    if (result == 0) {
        context->vgpu = vgpu;
        context->next = vgpu->contexts;
        if (context->next)
            context->next->prev = context;
        vgpu->contexts = context;
        *ret = context;
    } else {
        free(context);
    }
    vgpu_unlock(vgpu);
    return result;
}

void aliquot_context_destroy(struct aliquot_context *context)
{
    /* A fork leaves it to aliquot_close(): the list is the locker's. */
    if (!context || vgpu_lock_lost(context->vgpu) < 0)
        return;
    struct aliquot_vgpu *vgpu = context->vgpu;
    if (!vgpu->lost)
        send_destroy(vgpu, context->id);
    if (context->prev)
        context->prev->next = context->next;
    else
        vgpu->contexts = context->next;
    if (context->next)
        context->next->prev = context->prev;
    free(context);
    vgpu_unlock(vgpu);
}

uint32_t aliquot_context_id(const struct aliquot_context *context)
{
    return context->id;
}

static int attach_or_detach(struct aliquot_context *context, struct aliquot_resource *resource,
                            uint32_t type)
{
    struct aliquot_vgpu *vgpu = context->vgpu;
    struct ring_command *cmd;
    struct virtio_gpu_ctx_resource *request;

    if (resource->vgpu != vgpu)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = ring_command_get(vgpu, type, context->id, sizeof(*request), &cmd, &request);
    if (result == 0) {
        request->resource_id = resource->id;
        result = ring_send(vgpu, cmd, sizeof(*request));
    }
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_context_attach(struct aliquot_context *context, struct aliquot_resource *resource)
{
    return attach_or_detach(context, resource, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE);
}

int aliquot_context_detach(struct aliquot_context *context, struct aliquot_resource *resource)
{
    return attach_or_detach(context, resource, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE);
}

/* ---- submission ----------------------------------------------------------------------------- */

/* Under the lock; takes the payload block in any case. */
static int send_submit(struct aliquot_context *context, const void *commands, uint32_t bytes,
                       struct guest_block *payload, int ring_idx, struct aliquot_fence *fence)
{
    struct aliquot_vgpu *vgpu = context->vgpu;
    struct ring_command *cmd;
    struct virtio_gpu_cmd_submit *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_SUBMIT_3D, context->id, sizeof(*request),
                                  &cmd, &request);
    if (result < 0) {
        vgpu_free(vgpu, payload);
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

int aliquot_submit(struct aliquot_context *context, const void *commands, size_t bytes,
                   int ring_idx, struct aliquot_fence **ret_fence)
{
    struct aliquot_vgpu *vgpu = context->vgpu;

    if ((bytes == 0 && !ret_fence) || bytes % 4 != 0 || ring_idx < ALIQUOT_RING_NONE ||
        ring_idx > RING_IDX_MAX ||
        (ring_idx != ALIQUOT_RING_NONE && !has_feature(vgpu, VIRTIO_GPU_F_CONTEXT_INIT)))
        return -EINVAL;
    if (bytes > vgpu->heap.size_bytes || bytes > UINT32_MAX)
        return -EMSGSIZE;
    struct aliquot_fence *fence = NULL;
    if (ret_fence && !(fence = fence_create(vgpu)))
        return -ENOMEM;

    struct guest_block *payload = NULL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        goto out;
    if (bytes > SLOT_REQUEST_BYTES - sizeof(struct virtio_gpu_cmd_submit)) {
        result = vgpu_alloc(vgpu, bytes, &payload);
        if (result == 0) {
            /* Large: not to be copied with everybody waiting for the lock. */
            vgpu_unlock(vgpu);
            memcpy(vgpu_pointer(vgpu, payload), commands, bytes);
            pthread_mutex_lock(&vgpu->lock);
        }
    }
    if (result == 0)
        result = send_submit(context, commands, (uint32_t)bytes, payload, ring_idx, fence);
    vgpu_unlock(vgpu);
out:
    if (result < 0)
        aliquot_fence_unref(fence);
    else if (fence)
        *ret_fence = fence;
    return result;
}
