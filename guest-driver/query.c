/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>

int aliquot_capset_info(struct aliquot_vgpu *vgpu, uint32_t index, struct aliquot_capset_info *ret)
{
    if (index >= vgpu->num_capsets)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = vgpu->transport->capset_info(vgpu, index, ret);
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_capset(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version, void *buf, size_t size,
                   size_t *ret_bytes)
{
    size_t bytes;

    if (size == 0 || size > CAPSET_BYTES_MAX)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = vgpu->transport->capset(vgpu, id, version, buf, size, &bytes);
    vgpu_unlock(vgpu);
    if (result == 0 && ret_bytes)
        *ret_bytes = bytes;
    return result;
}

int aliquot_sync(struct aliquot_vgpu *vgpu)
{
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = vgpu->transport->sync(vgpu);
    vgpu_unlock(vgpu);
    return result;
}
