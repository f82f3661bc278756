/* SPDX-License-Identifier: MIT */
/*
 * Commands that need no context: 2D resources, backing, transfers to the host.
 */
#include "mediator/renderer/gpu_internal.h"

#include <string.h>
#include <sys/random.h>

#define BIND_RENDER_TARGET (1u << 1) /* virgl's bind flags */

uint32_t gpu_cmd_resource_create_2d(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_resource_create_2d *req = &call->req.create_2d;
    const struct backend_resource_args args = {
        .id = req->resource_id,
        .target = GPU_TARGET_2D,
        .format = req->format,
        .bind = BIND_RENDER_TARGET,
        .width = req->width,
        .height = req->height,
        .depth = 1,
        .array_size = 1,
        .flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP,
    };

    if (!gpu_format_is_2d(req->format))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    return gpu_resource_add(dev, &args);
}

uint32_t gpu_cmd_resource_unref(struct gpu_device *dev, struct gpu_call *call)
{
    struct gpu_resource *res = gpu_resource_get(dev, call->req.unref.resource_id);

    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    /* The guest would go on to see memory that is nobody's. */
    if (res->mapped)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    gpu_resource_remove(dev, res);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_cmd_attach_backing(struct gpu_device *dev, struct gpu_call *call)
{
    struct gpu_resource *res = gpu_resource_get(dev, call->req.attach.resource_id);

    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return gpu_resource_attach(dev, res, &call->rest, call->req.attach.nr_entries);
}

uint32_t gpu_cmd_detach_backing(struct gpu_device *dev, struct gpu_call *call)
{
    struct gpu_resource *res = gpu_resource_get(dev, call->req.detach.resource_id);

    if (!res || !res->iov)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    gpu_resource_detach(dev, res);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_cmd_transfer_to_host_2d(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_transfer_to_host_2d *req = &call->req.transfer_2d;
    struct gpu_resource *res = gpu_resource_get(dev, req->resource_id);
    struct backend_transfer t;
    struct gpu_format format;
    uint64_t stride, last_row;

    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!res->iov)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    format = gpu_format_get(res->args.format);
    if (res->args.target == GPU_TARGET_BUFFER || format.block_width != 1 ||
        format.block_height != 1 || !gpu_rect_inside(&req->r, res->args.width, res->args.height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (req->r.width == 0 || req->r.height == 0)
        return VIRTIO_GPU_RESP_OK_NODATA;

    /* The offset is that of the rectangle's first row in the backing, whose rows are as long as
     * the resource's. Sides are at most max_dimension, so none of this wraps but the offset. */
    stride = (uint64_t)res->args.width * format.block_bytes;
    last_row = stride * (req->r.height - 1) + (uint64_t)req->r.width * format.block_bytes;
    if (!range_inside(req->offset, last_row, res->backing_bytes))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    t = (struct backend_transfer){
        .resource_id = req->resource_id,
        .stride = (uint32_t)stride,
        .offset = req->offset,
        .box = {req->r.x, req->r.y, 0, req->r.width, req->r.height, 1},
    };
    return gpu_response_from_errno(dev->backend->ops->transfer_to_host(dev->backend, &t));
}

uint32_t gpu_cmd_assign_uuid(struct gpu_device *dev, struct gpu_call *call)
{
    struct gpu_resource *res = gpu_resource_get(dev, call->req.uuid.resource_id);

    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!res->has_uuid) {
        if (getrandom(res->uuid, sizeof(res->uuid), 0) != (ssize_t)sizeof(res->uuid))
            return VIRTIO_GPU_RESP_ERR_UNSPEC;
        res->uuid[6] = (res->uuid[6] & 0x0f) | 0x40; /* version 4: random */
        res->uuid[8] = (res->uuid[8] & 0x3f) | 0x80; /* variant of RFC 9562 */
        res->has_uuid = true;
    }
    gpu_answer(dev, call->cmd, VIRTIO_GPU_RESP_OK_RESOURCE_UUID, res->uuid, sizeof(res->uuid));
    return GPU_ANSWERED;
}
