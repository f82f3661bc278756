/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <stdlib.h>

struct aliquot_fence *fence_create(struct aliquot_vgpu *vgpu)
{
    struct aliquot_fence *fence = calloc(1, vgpu->transport->fence_bytes);

    if (!fence)
        return NULL;
    atomic_init(&fence->refs, 1);
    atomic_fetch_add(&vgpu->refs, 1);
    fence->vgpu = vgpu;
    vgpu->transport->fence_init(fence);
    return fence;
}

struct aliquot_fence *aliquot_fence_ref(struct aliquot_fence *fence)
{
    atomic_fetch_add(&fence->refs, 1);
    return fence;
}

void aliquot_fence_unref(struct aliquot_fence *fence)
{
    if (!fence || atomic_fetch_sub(&fence->refs, 1) != 1)
        return;
    fence->vgpu->transport->fence_finish(fence);
    vgpu_unref(fence->vgpu);
    free(fence);
}

int aliquot_fence_wait(struct aliquot_fence *fence, int64_t timeout_ns)
{
    struct aliquot_vgpu *vgpu = fence->vgpu;
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    result = vgpu->transport->fence_wait(fence, timeout_ns);
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_fence_finish(struct aliquot_fence *fence)
{
    int result = aliquot_fence_wait(fence, ALIQUOT_TIMEOUT_DEFAULT_NS);

    aliquot_fence_unref(fence);
    return result;
}

int aliquot_fence_fd(struct aliquot_fence *fence)
{
    struct aliquot_vgpu *vgpu = fence->vgpu;
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    result = vgpu->transport->fence_fd(fence);
    vgpu_unlock(vgpu);
    return result;
}
