/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <sys/mman.h>

void blob_unmap(struct aliquot_resource *resource)
{
    if (resource->host_memory)
        munmap(resource->host_memory, resource->blob_bytes);
    resource->host_memory = NULL;
}

int aliquot_blob_mmap(struct aliquot_resource *resource, size_t length, int prot, int flags,
                      uint64_t offset, void **address)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;

    if (length == 0 || offset % PAGE_BYTES != 0 || offset >= resource->blob_bytes ||
        length > resource->blob_bytes - offset)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    if (resource->memory || !(resource->blob_flags & ALIQUOT_BLOB_MAPPABLE))
        result = -EINVAL;
    else
        result = vgpu->transport->blob_mmap(resource, length, prot, flags, offset, address);
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_blob_map(struct aliquot_resource *resource, void **ret, size_t *ret_bytes)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    void *memory = NULL;

    if (resource->blob_bytes == 0)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    memory = resource->memory ? resource->memory : resource->host_memory;
    vgpu_unlock(vgpu);
    if (!memory) {
        result = aliquot_blob_mmap(resource, resource->blob_bytes, PROT_READ | PROT_WRITE,
                                   MAP_SHARED, 0, &memory);
        if (result < 0)
            return result;
        result = vgpu_lock_lost(vgpu);
        if (result == 0 && resource->host_memory) { /* two at once: the first one's it is */
            munmap(memory, resource->blob_bytes);
            memory = resource->host_memory;
        }
        resource->host_memory = memory;
        if (result == 0)
            vgpu_unlock(vgpu);
    }
    *ret = memory;
    if (ret_bytes)
        *ret_bytes = resource->blob_bytes;
    return 0;
}
