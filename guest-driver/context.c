/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdlib.h>

/* Timelines of one context (virtio 1.3: ring_idx is below 64). */
#define RING_IDX_MAX 63

/* ---- contexts ------------------------------------------------------------------------------- */

/* Under the lock. */
static int create_context(struct aliquot_vgpu *vgpu, uint32_t capset_id, const char *name,
                          struct aliquot_context **ret)
{
    if (!vgpu_has(vgpu, VIRTIO_GPU_F_VIRGL))
        return -EOPNOTSUPP;
    if (capset_id > VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK)
        return -EINVAL;
    if (capset_id > VIRTIO_GPU_CAPSET_VIRGL2 && !vgpu_has(vgpu, VIRTIO_GPU_F_CONTEXT_INIT)) {
        vgpu_error(vgpu, "no contexts but of virgl: %s",
                   vgpu->without_context_init ? vgpu->without_context_init
                                              : "the device does not offer CONTEXT_INIT");
        return -EINVAL;
    }
    struct aliquot_context *context = calloc(1, vgpu->transport->context_bytes);
    if (!context)
        return -ENOMEM;
    context->vgpu = vgpu;
    int result = vgpu->transport->context_create(context, capset_id, name);
    if (result < 0) {
        free(context);
        return result;
    }
    context->next = vgpu->contexts;
    if (context->next)
        context->next->prev = context;
    vgpu->contexts = context;
    *ret = context;
    return 0;
}

int aliquot_context_create(struct aliquot_vgpu *vgpu, uint32_t capset_id, const char *name,
                           struct aliquot_context **ret)
{
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = create_context(vgpu, capset_id, name ? name : program_invocation_short_name, ret);
    vgpu_unlock(vgpu);
    return result;
}

void aliquot_context_destroy(struct aliquot_context *context)
{
    /* A fork leaves it to aliquot_close(): the list is the locker's. */
    if (!context || vgpu_lock_lost(context->vgpu) < 0)
        return;
    struct aliquot_vgpu *vgpu = context->vgpu;
    if (context->prev)
        context->prev->next = context->next;
    else
        vgpu->contexts = context->next;
    if (context->next)
        context->next->prev = context->prev;
    vgpu->transport->context_destroy(context);
    vgpu_unlock(vgpu);
}

uint32_t aliquot_context_id(const struct aliquot_context *context)
{
    return context->id;
}

int aliquot_context_attach(struct aliquot_context *context, struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = context->vgpu;

    if (resource->vgpu != vgpu)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = vgpu->transport->attach(context, resource);
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_context_detach(struct aliquot_context *context, struct aliquot_resource *resource)
{
    struct aliquot_vgpu *vgpu = context->vgpu;

    if (resource->vgpu != vgpu)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = vgpu->transport->detach(context, resource);
    vgpu_unlock(vgpu);
    return result;
}

/* ---- submission ----------------------------------------------------------------------------- */

int aliquot_submit(struct aliquot_context *context, const void *commands, size_t bytes,
                   int ring_idx, struct aliquot_fence **ret_fence)
{
    struct aliquot_vgpu *vgpu = context->vgpu;

    if ((bytes == 0 && !ret_fence) || bytes % 4 != 0 || ring_idx < ALIQUOT_RING_NONE ||
        ring_idx > RING_IDX_MAX ||
        (ring_idx != ALIQUOT_RING_NONE && !vgpu_has(vgpu, VIRTIO_GPU_F_CONTEXT_INIT)))
        return -EINVAL;
    if (bytes > vgpu->memory_bytes || bytes > UINT32_MAX)
        return -EMSGSIZE;
    struct aliquot_fence *fence = NULL;
    if (ret_fence && !(fence = fence_create(vgpu)))
        return -ENOMEM;

    int result = vgpu_lock(vgpu);
    if (result == 0) {
        result = vgpu->transport->submit(context, commands, (uint32_t)bytes, ring_idx, fence);
        vgpu_unlock(vgpu);
    }
    if (result < 0)
        aliquot_fence_unref(fence);
    else if (fence)
        *ret_fence = fence;
    return result;
}
