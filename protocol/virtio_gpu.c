/* SPDX-License-Identifier: MIT */
#include "protocol/virtio_gpu.h"

#include <stddef.h>

#define CONTROL VIRTIO_GPU_QUEUE_CONTROL
#define CURSOR VIRTIO_GPU_QUEUE_CURSOR

#define ROW(cmd, request, response, is_3d)                                                         \
    {VIRTIO_GPU_CMD_##cmd,                                                                         \
     #cmd,                                                                                         \
     CONTROL,                                                                                      \
     sizeof(struct virtio_gpu_##request),                                                          \
     sizeof(struct virtio_gpu_##response),                                                         \
     (is_3d)}
/* The cursor queue has no answers: drivers give no room for one. */
#define CURSOR_ROW(cmd)                                                                            \
    {VIRTIO_GPU_CMD_##cmd, #cmd, CURSOR, sizeof(struct virtio_gpu_update_cursor), 0, false}

/* In the order of the numbers of <linux/virtio_gpu.h>. */
static const struct virtio_gpu_cmd_info commands[] = {
    /*  command, request, successful answer, only with VIRGL */
    ROW(GET_DISPLAY_INFO, ctrl_hdr, resp_display_info, false),
    ROW(RESOURCE_CREATE_2D, resource_create_2d, ctrl_hdr, false),
    ROW(RESOURCE_UNREF, resource_unref, ctrl_hdr, false),
    ROW(SET_SCANOUT, set_scanout, ctrl_hdr, false),
    ROW(RESOURCE_FLUSH, resource_flush, ctrl_hdr, false),
    ROW(TRANSFER_TO_HOST_2D, transfer_to_host_2d, ctrl_hdr, false),
    ROW(RESOURCE_ATTACH_BACKING, resource_attach_backing, ctrl_hdr, false),
    ROW(RESOURCE_DETACH_BACKING, resource_detach_backing, ctrl_hdr, false),
    ROW(GET_CAPSET_INFO, get_capset_info, resp_capset_info, true),
    ROW(GET_CAPSET, get_capset, resp_capset, true),
    ROW(GET_EDID, cmd_get_edid, resp_edid, false),
    ROW(RESOURCE_ASSIGN_UUID, resource_assign_uuid, resp_resource_uuid, false),
    ROW(RESOURCE_CREATE_BLOB, resource_create_blob, ctrl_hdr, false),
    ROW(SET_SCANOUT_BLOB, set_scanout_blob, ctrl_hdr, false),

    ROW(CTX_CREATE, ctx_create, ctrl_hdr, true),
    ROW(CTX_DESTROY, ctx_destroy, ctrl_hdr, true),
    ROW(CTX_ATTACH_RESOURCE, ctx_resource, ctrl_hdr, true),
    ROW(CTX_DETACH_RESOURCE, ctx_resource, ctrl_hdr, true),
    ROW(RESOURCE_CREATE_3D, resource_create_3d, ctrl_hdr, true),
    ROW(TRANSFER_TO_HOST_3D, transfer_host_3d, ctrl_hdr, true),
    ROW(TRANSFER_FROM_HOST_3D, transfer_host_3d, ctrl_hdr, true),
    ROW(SUBMIT_3D, cmd_submit, ctrl_hdr, true),
    ROW(RESOURCE_MAP_BLOB, resource_map_blob, resp_map_info, true),
    ROW(RESOURCE_UNMAP_BLOB, resource_unmap_blob, ctrl_hdr, true),

    CURSOR_ROW(UPDATE_CURSOR),
    CURSOR_ROW(MOVE_CURSOR),
};

const struct virtio_gpu_cmd_info *virtio_gpu_cmd_info(uint32_t type)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].type == type)
            return &commands[i];
    return NULL;
}

const char *virtio_gpu_response_name(uint32_t type)
{
    switch (type) {
#define NAME(response)                                                                             \
    case VIRTIO_GPU_RESP_##response:                                                               \
        return #response
        NAME(OK_NODATA);
        NAME(OK_DISPLAY_INFO);
        NAME(OK_CAPSET_INFO);
        NAME(OK_CAPSET);
        NAME(OK_EDID);
        NAME(OK_RESOURCE_UUID);
        NAME(OK_MAP_INFO);
        NAME(ERR_UNSPEC);
        NAME(ERR_OUT_OF_MEMORY);
        NAME(ERR_INVALID_SCANOUT_ID);
        NAME(ERR_INVALID_RESOURCE_ID);
        NAME(ERR_INVALID_CONTEXT_ID);
        NAME(ERR_INVALID_PARAMETER);
#undef NAME
    default:
        return "unknown response";
    }
}
