/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <string.h>

/* The largest capset that is asked for: real ones have a few KiB. */
#define CAPSET_BYTES_MAX (1u << 20)

/* Under the lock. */
static int call_capset_info(struct aliquot_vgpu *vgpu, uint32_t index,
                            struct virtio_gpu_resp_capset_info *ret)
{
    struct ring_command *cmd;
    struct virtio_gpu_get_capset_info *request;

    int result =
        ring_command_get(vgpu, VIRTIO_GPU_CMD_GET_CAPSET_INFO, 0, sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->capset_index = index;
    cmd->expect = VIRTIO_GPU_RESP_OK_CAPSET_INFO;
    cmd->response_capacity = sizeof(*ret);
    result = ring_call(vgpu, cmd, sizeof(*request));
    if (result < 0)
        return result;
    if (!ring_response(vgpu, cmd, ret, sizeof(*ret)))
        result = -EPROTO;
    ring_command_put(vgpu, cmd);
    return result;
}

int aliquot_capset_info(struct aliquot_vgpu *vgpu, uint32_t index, struct aliquot_capset_info *ret)
{
    struct virtio_gpu_resp_capset_info answer;

    if (index >= vgpu->front.num_capsets)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = call_capset_info(vgpu, index, &answer);
    vgpu_unlock(vgpu);
    if (result == 0)
        *ret = (struct aliquot_capset_info){
            .id = answer.capset_id,
            .max_version = answer.capset_max_version,
            .max_bytes = answer.capset_max_size,
        };
    return result;
}

/* Under the lock. The response lies in a block of its own; its size says how much of it counts. */
static int call_capset(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version, void *buf,
                       size_t size, size_t *ret_bytes)
{
    const uint32_t header_bytes = sizeof(struct virtio_gpu_resp_capset);
    struct guest_block *block;
    struct ring_command *cmd;
    struct virtio_gpu_get_capset *request;

    int result = vgpu_alloc(vgpu, header_bytes + size, &block);
    if (result < 0)
        return result;
    result = ring_command_get(vgpu, VIRTIO_GPU_CMD_GET_CAPSET, 0, sizeof(*request), &cmd, &request);
    if (result < 0) {
        vgpu_free(vgpu, block);
        return result;
    }
    request->capset_id = id;
    request->capset_version = version;
    cmd->expect = VIRTIO_GPU_RESP_OK_CAPSET;
    cmd->in = block;
    cmd->response_capacity = header_bytes + (uint32_t)size;
    result = ring_call(vgpu, cmd, sizeof(*request));
    if (result < 0)
        return result;
    size_t got = cmd->response_bytes - header_bytes; /* never less: checked on arrival */
    memcpy(buf, (uint8_t *)vgpu_pointer(vgpu, block) + header_bytes, got);
    if (ret_bytes)
        *ret_bytes = got;
    ring_command_put(vgpu, cmd);
    return 0;
}

int aliquot_capset(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version, void *buf, size_t size,
                   size_t *ret_bytes)
{
    if (size == 0 || size > CAPSET_BYTES_MAX)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = call_capset(vgpu, id, version, buf, size, ret_bytes);
    vgpu_unlock(vgpu);
    return result;
}

int aliquot_sync(struct aliquot_vgpu *vgpu)
{
    struct ring_command *cmd;
    struct virtio_gpu_ctrl_hdr *request;
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    result = ring_command_get(vgpu, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, 0, sizeof(*request), &cmd,
                              &request);
    if (result == 0) {
        cmd->expect = VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
        cmd->response_capacity = sizeof(struct virtio_gpu_resp_display_info);
        result = ring_call(vgpu, cmd, sizeof(*request));
    }
    if (result == 0)
        ring_command_put(vgpu, cmd);
    vgpu_unlock(vgpu);
    return result;
}
