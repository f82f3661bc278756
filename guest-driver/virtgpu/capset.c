/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/virtgpu.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The kernel tells no capset's version: it is asked for each, from this one down. Real ones have
 * two. */
#define VERSION_MAX 15

/* Asks the kernel without the lock: 0 or a negative errno. */
static int try_caps(struct virtgpu_vgpu *vgpu, uint32_t id, uint32_t version, void *buf,
                    uint32_t size)
{
    struct drm_virtgpu_get_caps args = {
        .cap_set_id = id, .cap_set_ver = version, .addr = (uintptr_t)buf, .size = size};

    return vgpu->drm.ioctl(vgpu->main->fd, DRM_IOCTL_VIRTGPU_GET_CAPS, &args) < 0 ? -errno : 0;
}

/* What the caller is to return for a negative one, having said why. */
static int caps_failed(struct virtgpu_vgpu *vgpu, int error)
{
    error = virtgpu_failed(vgpu, "GET_CAPS", error);
    if (error == -ENOSYS) /* there are none at all */
        return -EINVAL;
    return error == -EBUSY ? -ETIMEDOUT : error; /* the device did not answer */
}

/* Reads a capset into a buffer of size bytes, without the lock. The kernel does not say either how
 * much it has written: what two readings over different bytes leave different. The second does not
 * reach the device. */
static int read_capset(struct virtgpu_vgpu *vgpu, uint32_t id, uint32_t version, uint8_t *buf,
                       size_t size, size_t *ret_bytes)
{
    uint8_t *other = malloc(size);

    if (!other)
        return -ENOMEM;
    memset(buf, 0x00, size);
    memset(other, 0xff, size);
    int result = try_caps(vgpu, id, version, buf, (uint32_t)size);
    if (result == 0)
        result = try_caps(vgpu, id, version, other, (uint32_t)size);
    while (size > 0 && buf[size - 1] != other[size - 1])
        size--;
    free(other);
    if (result == 0)
        *ret_bytes = size;
    return result;
}

int virtgpu_capset(struct aliquot_vgpu *base, uint32_t id, uint32_t version, void *buf, size_t size,
                   size_t *ret_bytes)
{
    uint8_t *data = malloc(size);

    if (!data)
        return -ENOMEM;
    size_t bytes = 0;
    vgpu_unlock(base);
    int result = read_capset(virtgpu_vgpu(base), id, version, data, size, &bytes);
    if (result == 0) {
        memcpy(buf, data, bytes);
        *ret_bytes = bytes;
    }
    free(data);
    pthread_mutex_lock(&base->lock);
    return result < 0 ? caps_failed(virtgpu_vgpu(base), result) : 0;
}

/* Fills in the rest of an info that has the id, without the lock: 0 or a negative errno. */
static int measure_capset(struct virtgpu_vgpu *vgpu, struct aliquot_capset_info *info)
{
    uint8_t first;
    int result;

    /* Versions that there are not are no error. */
    info->max_version = VERSION_MAX;
    while ((result = try_caps(vgpu, info->id, info->max_version, &first, 1)) == -EINVAL &&
           info->max_version > 0)
        info->max_version--;
    if (result < 0)
        return result;
    uint8_t *data = malloc(CAPSET_BYTES_MAX);
    if (!data)
        return -ENOMEM;
    size_t bytes = 0;
    result = read_capset(vgpu, info->id, info->max_version, data, CAPSET_BYTES_MAX, &bytes);
    free(data);
    info->max_bytes = (uint32_t)bytes;
    return result;
}

int virtgpu_capset_info(struct aliquot_vgpu *base, uint32_t index, struct aliquot_capset_info *ret)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base);
    struct aliquot_capset_info info = {.id = vgpu->capset_ids[index]};

    vgpu_unlock(base);
    int result = measure_capset(vgpu, &info);
    pthread_mutex_lock(&base->lock);
    if (result < 0)
        return caps_failed(vgpu, result);
    *ret = info;
    return 0;
}

int virtgpu_list_capsets(struct virtgpu_vgpu *vgpu)
{
    uint64_t mask = 0;
    struct drm_virtgpu_getparam args = {.param = VIRTGPU_PARAM_SUPPORTED_CAPSET_IDs,
                                        .value = (uintptr_t)&mask};

    if (vgpu->drm.ioctl(vgpu->main->fd, DRM_IOCTL_VIRTGPU_GETPARAM, &args) < 0) {
        /* A driver without contexts of other kinds. */
        uint8_t first;
        for (uint32_t id = VIRTIO_GPU_CAPSET_VIRGL; id <= VIRTIO_GPU_CAPSET_VIRGL2; id++) {
            if (try_caps(vgpu, id, 1, &first, 1) == 0)
                mask |= 1ull << id;
        }
    }
    for (unsigned id = 0; id < VIRTGPU_CAPSETS; id++) {
        if (mask & (1ull << id))
            vgpu->capset_ids[vgpu->base.num_capsets++] = (uint8_t)id;
    }
    return 0;
}
