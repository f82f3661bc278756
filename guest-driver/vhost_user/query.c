/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <string.h>

static int call_capset_info(struct vhost_vgpu *vgpu, uint32_t index,
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

int vhost_capset_info(struct aliquot_vgpu *vgpu, uint32_t index, struct aliquot_capset_info *ret)
{
    struct virtio_gpu_resp_capset_info answer;
    int result = call_capset_info(vhost_vgpu(vgpu), index, &answer);

    if (result == 0)
        *ret = (struct aliquot_capset_info){
            .id = answer.capset_id,
            .max_version = answer.capset_max_version,
            .max_bytes = answer.capset_max_size,
        };
    return result;
}

/* The response lies in a block of its own; its size says how much of it counts. */
int vhost_capset(struct aliquot_vgpu *base, uint32_t id, uint32_t version, void *buf, size_t size,
                 size_t *ret_bytes)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(base);
    const uint32_t header_bytes = sizeof(struct virtio_gpu_resp_capset);
    struct guest_block *block;
    struct ring_command *cmd;
    struct virtio_gpu_get_capset *request;

    int result = vhost_alloc(vgpu, header_bytes + size, &block);
    if (result < 0)
        return result;
    result = ring_command_get(vgpu, VIRTIO_GPU_CMD_GET_CAPSET, 0, sizeof(*request), &cmd, &request);
    if (result < 0) {
        vhost_free(vgpu, block);
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
    memcpy(buf, (uint8_t *)vhost_pointer(vgpu, block) + header_bytes, got);
    *ret_bytes = got;
    ring_command_put(vgpu, cmd);
    return 0;
}

int vhost_sync(struct aliquot_vgpu *base)
{
    struct vhost_vgpu *vgpu = vhost_vgpu(base);
    struct ring_command *cmd;
    struct virtio_gpu_ctrl_hdr *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, 0, sizeof(*request), &cmd,
                                  &request);
    if (result < 0)
        return result;
    cmd->expect = VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
    cmd->response_capacity = sizeof(struct virtio_gpu_resp_display_info);
    result = ring_call(vgpu, cmd, sizeof(*request));
    if (result == 0)
        ring_command_put(vgpu, cmd);
    return result;
}
