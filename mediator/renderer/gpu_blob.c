/* SPDX-License-Identifier: MIT */
/*
 * Blobs: resources that are plain memory, the guest's or the host's, and the host-visible region in
 * which the guest sees the latter.
 *
 * The front-end maps (ops->shmem_map), which mostly takes it a while. The queue goes on meanwhile:
 * only MAP_BLOB and UNMAP_BLOB themselves wait for its answer. Until then a blob counts as mapped,
 * so that its place is taken and it can't be dropped, but it can't be unmapped yet.
 */
#include "mediator/renderer/gpu_internal.h"

#include <string.h>

#define BLOB_FLAGS                                                                                 \
    (VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE |                      \
     VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE)

/* ---- making them ----------------------------------------------------------------------------- */

uint32_t gpu_cmd_resource_create_blob(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_resource_create_blob *req = &call->req.create_blob;
    const struct backend_blob_args args = {
        .id = req->resource_id,
        .ctx_id = req->hdr.ctx_id,
        .mem = req->blob_mem,
        .flags = req->blob_flags,
        .blob_id = req->blob_id,
        .bytes = req->size,
    };

    if (args.mem < VIRTIO_GPU_BLOB_MEM_GUEST || args.mem > VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST ||
        (args.flags & ~(uint32_t)BLOB_FLAGS) != 0)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    /* Memory of the host belongs to a context, memory of the guest is nobody's object. */
    if ((args.ctx_id != 0 || args.mem != VIRTIO_GPU_BLOB_MEM_GUEST) &&
        !gpu_context_get(dev, args.ctx_id))
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    if ((args.mem == VIRTIO_GPU_BLOB_MEM_GUEST && args.blob_id != 0) ||
        (args.mem == VIRTIO_GPU_BLOB_MEM_HOST3D && req->nr_entries != 0))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    return gpu_resource_add_blob(dev, &args, &call->rest, req->nr_entries);
}

/* ---- the host-visible region ----------------------------------------------------------------- */

static struct gpu_mapping *mapping_get(struct gpu_device *dev, uint32_t resource_id)
{
    for (uint32_t i = 0; i < dev->n_mappings; i++) {
        if (dev->mappings[i].resource_id == resource_id)
            return &dev->mappings[i];
    }
    return NULL;
}

static void mapping_remove(struct gpu_device *dev, struct gpu_mapping *m)
{
    gpu_resource_get(dev, m->resource_id)->mapped = false; /* is not dropped while it is mapped */
    *m = dev->mappings[--dev->n_mappings];
    gpu_stat_set(&dev->stats->mapped_blobs, dev->n_mappings);
}

/* Whether a blob of these bytes can be put there. */
static uint32_t check_place(const struct gpu_device *dev, uint64_t offset, uint64_t bytes)
{
    if (offset % GPU_PAGE_BYTES != 0 || !range_inside(offset, bytes, dev->hostmem_bytes))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    for (uint32_t i = 0; i < dev->n_mappings; i++) {
        const struct gpu_mapping *m = &dev->mappings[i];
        if (offset < m->offset + m->bytes && m->offset < offset + bytes)
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return dev->n_mappings < GPU_MAPPINGS_MAX ? VIRTIO_GPU_RESP_OK_NODATA
                                              : VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
}

static void answer_mapped(struct gpu_device *dev, struct gpu_cmd *cmd, uint32_t map_info)
{
    struct {
        uint32_t map_info, padding;
    } data = {.map_info = map_info & VIRTIO_GPU_MAP_CACHE_MASK};

    gpu_answer(dev, cmd, VIRTIO_GPU_RESP_OK_MAP_INFO, &data, sizeof(data));
}

uint32_t gpu_cmd_resource_map_blob(struct gpu_device *dev, struct gpu_call *call)
{
    const struct virtio_gpu_resource_map_blob *req = &call->req.map_blob;
    struct gpu_resource *res = gpu_resource_get(dev, req->resource_id);
    struct backend_blob_map blob;
    uint32_t type;
    int r;

    if (!res || !res->blob_bytes)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (res->blob_mem == VIRTIO_GPU_BLOB_MEM_GUEST ||
        !(res->blob_flags & VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (res->mapped || !dev->ops->shmem_map || !dev->backend->ops->blob_map)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    type = check_place(dev, req->offset, res->blob_bytes);
    if (type != VIRTIO_GPU_RESP_OK_NODATA)
        return type;
    r = dev->backend->ops->blob_map(dev->backend, req->resource_id, &blob);
    if (r == 0) {
        const struct gpu_shmem_map map = {
            .fd = blob.fd,
            .fd_offset = blob.offset,
            .offset = req->offset,
            .bytes = res->blob_bytes,
        };
        r = dev->ops->shmem_map(dev->opaque, &map, call->cmd);
        close(blob.fd);
    }
    if (r < 0)
        return gpu_response_from_errno(r);
    dev->mappings[dev->n_mappings++] = (struct gpu_mapping){
        .resource_id = req->resource_id,
        .map_info = blob.map_info,
        .offset = req->offset,
        .bytes = res->blob_bytes,
        .cmd = r == 0 ? call->cmd : NULL,
    };
    res->mapped = true;
    gpu_stat_set(&dev->stats->mapped_blobs, dev->n_mappings);
    if (r == 0)
        return GPU_WAITS;
    answer_mapped(dev, call->cmd, blob.map_info);
    return GPU_ANSWERED;
}

uint32_t gpu_cmd_resource_unmap_blob(struct gpu_device *dev, struct gpu_call *call)
{
    uint32_t id = call->req.unmap_blob.resource_id;
    const struct gpu_resource *res = gpu_resource_get(dev, id);
    struct gpu_mapping *m;
    uint64_t offset, bytes;
    int r;

    if (!res || !res->blob_bytes)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    m = mapping_get(dev, id);
    if (!m || m->cmd)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    /* The place is free from now on: a map to it is asked for later, and so done later. */
    offset = m->offset;
    bytes = m->bytes;
    mapping_remove(dev, m);
    r = dev->ops->shmem_unmap(dev->opaque, offset, bytes, call->cmd);
    if (r < 0)
        return gpu_response_from_errno(r);
    if (r > 0)
        return VIRTIO_GPU_RESP_OK_NODATA;
    call->cmd->next = dev->unmapping;
    dev->unmapping = call->cmd;
    return GPU_WAITS;
}

/* ---- answers of the front-end ---------------------------------------------------------------- */

static struct gpu_mapping *mapping_of_cmd(struct gpu_device *dev, const struct gpu_cmd *cmd)
{
    for (uint32_t i = dev->n_mappings; i-- > 0;) { /* mostly the last one */
        if (dev->mappings[i].cmd == cmd)
            return &dev->mappings[i];
    }
    return NULL;
}

static void answer_failed(struct gpu_device *dev, struct gpu_cmd *cmd, const char *what, int r)
{
    uint32_t type = r == -ENOMEM ? VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY : VIRTIO_GPU_RESP_ERR_UNSPEC;

    gpu_reject(dev, what, "not done by the front-end");
    gpu_answer(dev, cmd, type, NULL, 0);
}

static void map_done(struct gpu_device *dev, struct gpu_mapping *m, int result)
{
    struct gpu_cmd *cmd = TAKE_PTR(m->cmd);

    if (result < 0) {
        mapping_remove(dev, m);
        answer_failed(dev, cmd, "RESOURCE_MAP_BLOB", result);
    } else {
        answer_mapped(dev, cmd, m->map_info);
    }
    gpu_finish(dev, cmd, result >= 0);
}

static void unlink_unmapping(struct gpu_device *dev, const struct gpu_cmd *cmd)
{
    struct gpu_cmd **link = &dev->unmapping;

    while (*link != cmd)
        link = &(*link)->next;
    *link = cmd->next;
}

void gpu_device_shmem_done(struct gpu_device *dev, struct gpu_cmd *cmd, int result)
{
    struct gpu_mapping *m = mapping_of_cmd(dev, cmd);

    if (m) {
        map_done(dev, m, result);
        return;
    }
    unlink_unmapping(dev, cmd);
    if (result < 0)
        answer_failed(dev, cmd, "RESOURCE_UNMAP_BLOB", result);
    else
        gpu_answer(dev, cmd, VIRTIO_GPU_RESP_OK_NODATA, NULL, 0);
    gpu_finish(dev, cmd, result >= 0);
}

void gpu_mappings_clear(struct gpu_device *dev)
{
    struct gpu_cmd *cmd;

    if (dev->ops->shmem_clear)
        dev->ops->shmem_clear(dev->opaque);
    while (dev->n_mappings > 0) {
        struct gpu_mapping *m = &dev->mappings[dev->n_mappings - 1];
        cmd = TAKE_PTR(m->cmd);
        mapping_remove(dev, m);
        if (cmd) {
            gpu_answer(dev, cmd, VIRTIO_GPU_RESP_ERR_UNSPEC, NULL, 0);
            gpu_complete(dev, cmd);
        }
    }
    while ((cmd = dev->unmapping)) {
        dev->unmapping = cmd->next;
        gpu_answer(dev, cmd, VIRTIO_GPU_RESP_ERR_UNSPEC, NULL, 0);
        gpu_complete(dev, cmd);
    }
}
