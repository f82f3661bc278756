/* SPDX-License-Identifier: MIT */
/*
 * Commands of 3D: capsets, contexts, resources, transfers, submission.
 */
#include "mediator/renderer/gpu_internal.h"

#include <string.h>

/* Command buffers up to this size share one copy that is kept; larger ones are rare. */
#define SUBMIT_KEEP_BYTES (256u << 10)

/* ---- capsets --------------------------------------------------------------------------------- */

static const struct gpu_capset *capset_get(const struct gpu_device *dev, uint32_t id)
{
    for (uint32_t i = 0; i < dev->n_capsets; i++) {
        if (dev->capsets[i].id == id)
            return &dev->capsets[i];
    }
    return NULL;
}

uint32_t gpu_cmd_get_capset_info(struct gpu_device *dev, struct gpu_call *call)
{
    struct {
        uint32_t id, max_version, max_size, padding;
    } data = {0};
    uint32_t i = call->req.capset_info.capset_index;

    if (i >= dev->n_capsets)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    data.id = dev->capsets[i].id;
    data.max_version = dev->capsets[i].max_version;
    data.max_size = dev->capsets[i].max_size;
    gpu_answer(dev, call->cmd, VIRTIO_GPU_RESP_OK_CAPSET_INFO, &data, sizeof(data));
    return GPU_ANSWERED;
}

uint32_t gpu_cmd_get_capset(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_get_capset *req = &call->req.capset;
    const struct gpu_capset *capset = capset_get(dev, req->capset_id);
    _cleanup_free_ void *data = NULL;
    int r;

    if (!capset || req->capset_version > capset->max_version)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    data = calloc(1, capset->max_size);
    if (!data)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    r = dev->backend->ops->capset(dev->backend, capset->id, req->capset_version, data,
                                  capset->max_size);
    if (r < 0)
        return gpu_response_from_errno(r);
    gpu_answer(dev, call->cmd, VIRTIO_GPU_RESP_OK_CAPSET, data, capset->max_size);
    return GPU_ANSWERED;
}

/* ---- contexts -------------------------------------------------------------------------------- */

static void count_contexts(struct gpu_device *dev, int vulkan)
{
    dev->n_vulkan += (uint32_t)vulkan;
    gpu_stat_set(&dev->stats->contexts, dev->contexts.count);
    gpu_stat_set(&dev->stats->vulkan_contexts, dev->n_vulkan);
}

uint32_t gpu_cmd_ctx_create(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_ctx_create *req = &call->req.ctx_create;
    uint32_t id = req->hdr.ctx_id, capset_id = 0;
    struct gpu_context *ctx;
    int r;

    /* Context 0 is how the rest of the protocol says "none". */
    if (id == 0 || gpu_context_get(dev, id))
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    if (req->nlen > sizeof(req->debug_name))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (gpu_has_feature(dev, VIRTIO_GPU_F_CONTEXT_INIT)) {
        capset_id = req->context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK;
        if (capset_id != req->context_init || (capset_id != 0 && !capset_get(dev, capset_id)))
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (dev->contexts.count >= dev->limits.max_contexts ||
        !gpu_charge(dev, dev->backend->ops->memory.context_bytes))
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;

    ctx = calloc(1, sizeof(*ctx));
    r = ctx ? id_table_put(&dev->contexts, id, ctx) : -ENOMEM;
    if (r == 0) {
        ctx->id = id;
        ctx->vulkan = capset_id == VIRTIO_GPU_CAPSET_VENUS;
        r = dev->backend->ops->ctx_create(dev->backend, id, capset_id, req->debug_name, req->nlen);
        if (r < 0)
            id_table_remove(&dev->contexts, id);
    }
    if (r < 0) {
        free(ctx);
        gpu_uncharge(dev, dev->backend->ops->memory.context_bytes);
        return gpu_response_from_errno(r);
    }
    count_contexts(dev, ctx->vulkan);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_cmd_ctx_destroy(struct gpu_device *dev, struct gpu_call *call)
{
    uint32_t id = call->req.hdr.ctx_id;
    bool vulkan = gpu_context_is_vulkan(dev, id);

    dev->backend->ops->ctx_destroy(dev->backend, id);
    free(id_table_remove(&dev->contexts, id));
    gpu_uncharge(dev, dev->backend->ops->memory.context_bytes);
    count_contexts(dev, -(int)vulkan);
    gpu_fence_context_gone(dev, id);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_contexts_clear(struct gpu_device *dev)
{
    struct gpu_context *ctx;
    uint32_t pos = 0;

    while ((ctx = id_table_next(&dev->contexts, &pos))) {
        free(ctx);
        gpu_uncharge(dev, dev->backend->ops->memory.context_bytes);
    }
    id_table_finish(&dev->contexts);
    count_contexts(dev, -(int)dev->n_vulkan);
}

uint32_t gpu_cmd_ctx_attach(struct gpu_device *dev, struct gpu_call *call)
{
    uint32_t id = call->req.ctx_resource.resource_id;

    if (!gpu_resource_get(dev, id))
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return gpu_response_from_errno(
        dev->backend->ops->ctx_attach(dev->backend, call->req.hdr.ctx_id, id));
}

uint32_t gpu_cmd_ctx_detach(struct gpu_device *dev, struct gpu_call *call)
{
    uint32_t id = call->req.ctx_resource.resource_id;

    if (!gpu_resource_get(dev, id))
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    dev->backend->ops->ctx_detach(dev->backend, call->req.hdr.ctx_id, id);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- resources and transfers ----------------------------------------------------------------- */

uint32_t gpu_cmd_resource_create_3d(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_resource_create_3d *req = &call->req.create_3d;
    const struct backend_resource_args args = {
        .id = req->resource_id,
        .target = req->target,
        .format = req->format,
        .bind = req->bind,
        .width = req->width,
        .height = req->height,
        .depth = req->depth,
        .array_size = req->array_size,
        .last_level = req->last_level,
        .nr_samples = req->nr_samples,
        .flags = req->flags,
    };

    return gpu_resource_add(dev, &args);
}

/* True if the box lies inside the level. Layers of arrays and faces of cubes are along z. What a
 * blob holds, only the backend knows; one of guest memory holds nothing of its own. */
static bool box_inside(const struct gpu_resource *res, uint32_t level,
                       const struct virtio_gpu_box *box)
{
    const struct backend_resource_args *a = &res->args;
    uint32_t layers = MAX(a->array_size, 1u);

    if (res->blob_bytes)
        return res->blob_mem != VIRTIO_GPU_BLOB_MEM_GUEST;
    if (level > a->last_level)
        return false;
    if (a->target == GPU_TARGET_3D)
        layers = gpu_format_minify(a->depth, level);
    return range_inside(box->x, box->w, gpu_format_minify(a->width, level)) &&
           range_inside(box->y, box->h, gpu_format_minify(a->height, level)) &&
           range_inside(box->z, box->d, layers);
}

static uint32_t transfer_3d(struct gpu_device *dev, struct gpu_call *call,
                            int (*run)(struct backend *, const struct backend_transfer *))
{
    const struct virtio_gpu_transfer_host_3d *req = &call->req.transfer_3d;
    const struct virtio_gpu_box *box = &req->box;
    struct gpu_resource *res = gpu_resource_get(dev, req->resource_id);
    struct backend_transfer t;

    if (req->hdr.ctx_id != 0 && !gpu_context_get(dev, req->hdr.ctx_id))
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    if (!res)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!res->iov)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (!box_inside(res, req->level, box) || req->offset > res->backing_bytes)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (box->w == 0 || box->h == 0 || box->d == 0)
        return VIRTIO_GPU_RESP_OK_NODATA;
    t = (struct backend_transfer){
        .ctx_id = req->hdr.ctx_id,
        .resource_id = req->resource_id,
        .level = req->level,
        .stride = req->stride,
        .layer_stride = req->layer_stride,
        .offset = req->offset,
        .box = {box->x, box->y, box->z, box->w, box->h, box->d},
    };
    return gpu_response_from_errno(run(dev->backend, &t));
}

uint32_t gpu_cmd_transfer_to_host_3d(struct gpu_device *dev, struct gpu_call *call)
{
    return transfer_3d(dev, call, dev->backend->ops->transfer_to_host);
}

uint32_t gpu_cmd_transfer_from_host_3d(struct gpu_device *dev, struct gpu_call *call)
{
    return transfer_3d(dev, call, dev->backend->ops->transfer_from_host);
}

/* ---- submission ------------------------------------------------------------------------------ */

/* A buffer of at least size bytes; NULL: no memory. What is larger than dev keeps is the caller's
 * to free. */
static void *submit_buffer(struct gpu_device *dev, size_t size)
{
    size_t capacity = MAX(dev->submit_capacity, (size_t)4096);
    uint8_t *buf;

    if (size <= dev->submit_capacity)
        return dev->submit_buf;
    if (size > SUBMIT_KEEP_BYTES)
        return malloc(size);
    while (capacity < size)
        capacity *= 2;
    buf = malloc(capacity);
    if (!buf)
        return NULL;
    free(dev->submit_buf);
    dev->submit_buf = buf;
    dev->submit_capacity = capacity;
    return buf;
}

/* What is left of a stream waits: keeps it, with the command. */
static void keep_partial(struct gpu_device *dev, struct gpu_cmd *cmd, uint8_t *buf, size_t size,
                         size_t done)
{
    if (buf == dev->submit_buf) {
        dev->submit_buf = NULL;
        dev->submit_capacity = 0;
    }
    dev->partial.buf = buf;
    dev->partial.bytes = size;
    dev->partial.done = done;
    dev->blocked = cmd;
    dev->gated = true;
}

uint32_t gpu_cmd_submit_3d(struct gpu_device *dev, struct gpu_call *call)
{
    uint32_t size = call->req.submit.size;
    size_t done = 0;
    void *buf;
    int r = 0;

    /* The size is a claim until the bytes are there. */
    if (size % 4 != 0 || size > iov_remaining(&call->rest))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (size > dev->limits.max_submit_bytes)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    if (size > 0) {
        buf = submit_buffer(dev, size);
        if (!buf)
            return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
        (void)iov_take(&call->rest, buf, size); /* checked above */
        r = gpu_submit(dev, call->req.hdr.ctx_id, buf, size, &done);
        if (r == -EAGAIN) {
            keep_partial(dev, call->cmd, buf, size, done);
            return GPU_WAITS;
        }
        if (buf != dev->submit_buf)
            free(buf);
    }
    if (r < 0)
        return gpu_response_from_errno(r);
    gpu_stat_add(&dev->stats->submits, 1);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_submit_continue(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    uint32_t type = VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;

    if (gpu_context_get(dev, cmd->hdr.ctx_id)) {
        int r = gpu_submit(dev, cmd->hdr.ctx_id, dev->partial.buf, dev->partial.bytes,
                           &dev->partial.done);
        if (r == -EAGAIN) {
            dev->blocked = cmd;
            dev->gated = true;
            return;
        }
        type = gpu_response_from_errno(r);
    }
    free(TAKE_PTR(dev->partial.buf));
    if (type == VIRTIO_GPU_RESP_OK_NODATA)
        gpu_stat_add(&dev->stats->submits, 1);
    else
        gpu_reject(dev, "SUBMIT_3D", virtio_gpu_response_name(type));
    gpu_answer(dev, cmd, type, NULL, 0);
    gpu_finish(dev, cmd, type == VIRTIO_GPU_RESP_OK_NODATA);
}
