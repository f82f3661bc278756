/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/gpu_device.h"

#include "mediator/renderer/gpu_internal.h"

#include <stdio.h>
#include <string.h>

/* Linux's newest struct has one more word (blob_alignment), and QEMU reads that far. */
struct config_space {
    struct virtio_gpu_config gpu;
    uint32_t blob_alignment;
};
_Static_assert(sizeof(struct config_space) == 20, "what QEMU asks for");

const struct gpu_limits gpu_limits_default = {
    .max_resources = 65536,
    .max_contexts = 1024,
    .max_backing_entries = 262144,
    .max_submit_bytes = 16u << 20,
    .max_dimension = GPU_MAX_DIMENSION,
    .max_resource_bytes = 1ull << 30,
    .max_total_bytes = 4ull << 30,
};

#define FEATURE(name) (1ull << VIRTIO_GPU_F_##name)

static const struct {
    uint32_t type;
    gpu_handler *handler;
    bool needs_ctx;
    uint64_t features;
    bool uses_gpu;
} handlers[] = {
    {VIRTIO_GPU_CMD_GET_DISPLAY_INFO, gpu_cmd_get_display_info, false, 0},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, gpu_cmd_resource_create_2d, false, 0},
    {VIRTIO_GPU_CMD_RESOURCE_UNREF, gpu_cmd_resource_unref, false, 0},
    {VIRTIO_GPU_CMD_SET_SCANOUT, gpu_cmd_set_scanout, false, 0},
    {VIRTIO_GPU_CMD_RESOURCE_FLUSH, gpu_cmd_resource_flush, false, 0},
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, gpu_cmd_transfer_to_host_2d, false, 0, true},
    {VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, gpu_cmd_attach_backing, false, 0},
    {VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, gpu_cmd_detach_backing, false, 0},
    {VIRTIO_GPU_CMD_GET_CAPSET_INFO, gpu_cmd_get_capset_info, false, 0},
    {VIRTIO_GPU_CMD_GET_CAPSET, gpu_cmd_get_capset, false, 0},
    {VIRTIO_GPU_CMD_GET_EDID, gpu_cmd_get_edid, false, FEATURE(EDID)},
    {VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, gpu_cmd_assign_uuid, false, FEATURE(RESOURCE_UUID)},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, gpu_cmd_resource_create_blob, false,
     FEATURE(RESOURCE_BLOB)},
    {VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, gpu_cmd_set_scanout_blob, false, FEATURE(RESOURCE_BLOB)},
    {VIRTIO_GPU_CMD_CTX_CREATE, gpu_cmd_ctx_create, false, 0},
    {VIRTIO_GPU_CMD_CTX_DESTROY, gpu_cmd_ctx_destroy, true, 0},
    {VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, gpu_cmd_ctx_attach, true, 0},
    {VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, gpu_cmd_ctx_detach, true, 0},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, gpu_cmd_resource_create_3d, false, 0},
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, gpu_cmd_transfer_to_host_3d, false, 0, true},
    {VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, gpu_cmd_transfer_from_host_3d, false, 0, true},
    {VIRTIO_GPU_CMD_SUBMIT_3D, gpu_cmd_submit_3d, true, 0, true},
    {VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, gpu_cmd_resource_map_blob, false, FEATURE(RESOURCE_BLOB)},
    {VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, gpu_cmd_resource_unmap_blob, false,
     FEATURE(RESOURCE_BLOB)},
    {VIRTIO_GPU_CMD_UPDATE_CURSOR, gpu_cmd_update_cursor, false, 0},
    {VIRTIO_GPU_CMD_MOVE_CURSOR, gpu_cmd_move_cursor, false, 0},
};

static struct gpu_cmd_row *row_of(struct gpu_device *dev, uint32_t type)
{
    uint32_t group = (type >> 8) - 1, i = type & 0xff;

    if (group >= GPU_CMD_GROUPS || i >= GPU_CMD_GROUP_ROWS || !dev->rows[group][i].info)
        return NULL;
    return &dev->rows[group][i];
}

static void build_rows(struct gpu_device *dev)
{
    for (uint32_t group = 0; group < GPU_CMD_GROUPS; group++) {
        for (uint32_t i = 0; i < GPU_CMD_GROUP_ROWS; i++)
            dev->rows[group][i].info = virtio_gpu_cmd_info((group + 1) << 8 | i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        struct gpu_cmd_row *row = row_of(dev, handlers[i].type);
        row->handler = handlers[i].handler;
        row->needs_ctx = handlers[i].needs_ctx;
        row->uses_gpu = handlers[i].uses_gpu;
        row->features = handlers[i].features | (row->info->needs_3d ? FEATURE(VIRGL) : 0);
    }
}

static int read_capsets(struct gpu_device *dev)
{
    const struct backend_ops *ops = dev->backend->ops;
    uint32_t n = ops->has_3d ? ops->capset_count(dev->backend) : 0;

    dev->n_capsets = MIN(n, (uint32_t)GPU_CAPSETS_MAX);
    for (uint32_t i = 0; i < dev->n_capsets; i++) {
        struct gpu_capset *c = &dev->capsets[i];
        int r = ops->capset_info(dev->backend, i, &c->id, &c->max_version, &c->max_size);
        if (r < 0)
            return r;
    }
    return 0;
}

int gpu_device_create(const struct gpu_device_config *config, struct gpu_device **ret)
{
    struct gpu_device *dev = calloc(1, sizeof(*dev));
    int r;

    if (!dev)
        return -ENOMEM;
    dev->ops = config->ops;
    dev->opaque = config->opaque;
    dev->backend = config->backend;
    dev->limits = config->limits;
    dev->limits.max_dimension = MIN(config->limits.max_dimension, (uint32_t)GPU_MAX_DIMENSION);
    dev->stats = config->stats;
    dev->ring = config->ring;
    dev->dmabuf = config->dmabuf;
    dev->n_scanouts = MIN(config->scanouts, (uint32_t)VIRTIO_GPU_MAX_SCANOUTS);
    dev->width = config->width;
    dev->height = config->height;
    dev->hostmem_bytes = config->hostmem_bytes;
    dev->pending_tail = &dev->pending;
    id_table_init(&dev->resources);
    id_table_init(&dev->contexts);
    build_rows(dev);
    r = read_capsets(dev);
    if (r < 0) {
        free(dev);
        return r;
    }
    gpu_gate_attach(dev, config->gate);
    dev->memory = config->memory;
    *ret = dev;
    return 0;
}

void gpu_device_destroy(struct gpu_device *dev)
{
    if (!dev)
        return;
    dev->display = NULL;
    gpu_device_reset(dev);
    gpu_gate_detach(dev);
    /* What others charged it with ends with it; the page of memory goes on. */
    gpu_uncharge(dev, dev->total_bytes);
    id_table_finish(&dev->resources);
    id_table_finish(&dev->contexts);
    free(dev->submit_buf);
    free(dev->band);
    free(dev);
}

void gpu_device_reset(struct gpu_device *dev)
{
    gpu_fence_reset(dev);
    if (dev->blocked)
        gpu_complete(dev, TAKE_PTR(dev->blocked));
    gpu_mappings_clear(dev);
    gpu_scanouts_clear(dev);
    dev->backend->ops->reset(dev->backend);
    /* Again, for what the backend reported until now. */
    gpu_fence_reset(dev);
    gpu_gate_reset(dev);
    gpu_contexts_clear(dev);
    gpu_resources_clear(dev);
    dev->events_read = 0;
    dev->told_own_info = false;
}

uint64_t gpu_device_features(const struct gpu_device *dev)
{
    uint64_t features = FEATURE(EDID) | FEATURE(RESOURCE_UUID);

    if (dev->backend->ops->has_3d)
        features |= FEATURE(VIRGL) | FEATURE(CONTEXT_INIT);
    if (dev->backend->ops->blob_create)
        features |= FEATURE(RESOURCE_BLOB);
    return features;
}

void gpu_device_set_features(struct gpu_device *dev, uint64_t features)
{
    dev->features = features & gpu_device_features(dev);
}

bool gpu_device_config_read(struct gpu_device *dev, uint32_t offset, void *dst, uint32_t len)
{
    const struct config_space config = {
        .gpu = {.events_read = dev->events_read,
                .num_scanouts = dev->n_scanouts,
                .num_capsets = dev->n_capsets},
    };

    if (!range_inside(offset, len, sizeof(config)))
        return false;
    memcpy(dst, (const uint8_t *)&config + offset, len);
    return true;
}

bool gpu_device_config_write(struct gpu_device *dev, uint32_t offset, const void *src, uint32_t len)
{
    struct config_space config = {0};

    if (!range_inside(offset, len, sizeof(config)))
        return false;
    memcpy((uint8_t *)&config + offset, src, len);
    dev->events_read &= ~config.gpu.events_clear;
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

uint32_t gpu_response_from_errno(int r)
{
    switch (-r) {
    case 0:
        return VIRTIO_GPU_RESP_OK_NODATA;
    case EINVAL:
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    case ENOMEM:
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    default:
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
}

void gpu_reject(struct gpu_device *dev, const char *what, const char *why)
{
    static struct log_limit limit = {.burst = 5, .window_s = 10};

    gpu_stat_add(&dev->stats->rejected, 1);
    if (log_allowed(&limit))
        log_warning("%s refused: %s", what, why);
}

void gpu_answer(struct gpu_device *dev, struct gpu_cmd *cmd, uint32_t type, const void *data,
                size_t len)
{
    struct virtio_gpu_ctrl_hdr hdr = {.type = type};
    struct iov_cursor to;

    cmd->response_len = 0;
    if (cmd->chain.in_bytes < sizeof(hdr) + len) {
        /* Errors are counted already, and cursor commands have no answer by custom. */
        if (cmd->queue == VIRTIO_GPU_QUEUE_CONTROL && type < VIRTIO_GPU_RESP_ERR_UNSPEC)
            gpu_reject(dev, virtio_gpu_response_name(type), "no room for the response");
        return;
    }
    if (cmd->hdr.flags & VIRTIO_GPU_FLAG_FENCE) {
        hdr.flags = cmd->hdr.flags & (VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
        hdr.fence_id = cmd->hdr.fence_id;
        hdr.ctx_id = cmd->hdr.ctx_id;
        hdr.ring_idx = cmd->hdr.ring_idx;
    }
    iov_cursor_init(&to, cmd->chain.iov + cmd->chain.n_out, cmd->chain.n_in);
    if (iov_put(&to, &hdr, sizeof(hdr)) && (len == 0 || iov_put(&to, data, len)))
        cmd->response_len = (uint32_t)(sizeof(hdr) + len);
}

void gpu_complete(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    if (gpu_gate_fence_done(dev, cmd))
        return;
    gpu_stat_add(&dev->stats->commands, 1);
    dev->ops->complete(dev->opaque, cmd);
}

void gpu_finish(struct gpu_device *dev, struct gpu_cmd *cmd, bool succeeded)
{
    if (!(cmd->hdr.flags & VIRTIO_GPU_FLAG_FENCE)) {
        gpu_complete(dev, cmd);
        return;
    }
    /* A refused command keeps its place behind those before it: to Linux an answered fence says
     * that all earlier ones of its timeline are done, whatever the answer was. */
    cmd->succeeded = succeeded;
    if (gpu_fence_start(dev, cmd) < 0)
        gpu_finish_unfenced(dev, cmd);
}

void gpu_finish_unfenced(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    if (cmd->succeeded)
        gpu_answer(dev, cmd, VIRTIO_GPU_RESP_ERR_UNSPEC, NULL, 0);
    gpu_complete(dev, cmd);
}

/* ---- requests -------------------------------------------------------------------------------- */

struct refusal {
    uint32_t response; /* 0: none fits into the response area */
    const char *what, *why;
};

/* The one place where requests are looked at before their handlers run. Returns the row of the
 * command, or NULL with the reason. */
static const struct gpu_cmd_row *admit(struct gpu_device *dev, struct gpu_call *call,
                                       struct refusal *no)
{
    struct gpu_cmd *cmd = call->cmd;
    const struct gpu_cmd_row *row;
    const struct virtio_gpu_cmd_info *info;

    *no = (struct refusal){VIRTIO_GPU_RESP_ERR_UNSPEC, "request", "shorter than a header"};
    iov_cursor_init(&call->rest, cmd->chain.iov, cmd->chain.n_out);
    if (!IOV_TAKE(&call->rest, &cmd->hdr)) {
        cmd->hdr = (struct virtio_gpu_ctrl_hdr){0};
        return NULL;
    }
    no->why = "unknown command";
    row = row_of(dev, cmd->hdr.type);
    if (!row)
        return NULL;
    info = row->info;
    no->what = info->name;
    no->why = "not a negotiated feature";
    if (!row->handler || (dev->features & row->features) != row->features)
        return NULL;
    no->why = "wrong queue";
    if (info->queue != cmd->queue)
        return NULL;
    no->response = 0;
    no->why = "no room for the response";
    if (cmd->queue == VIRTIO_GPU_QUEUE_CONTROL && cmd->chain.in_bytes < info->response_bytes)
        return NULL;
    no->response = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    no->why = "cut short";
    call->req.hdr = cmd->hdr;
    if (!iov_take(&call->rest, (uint8_t *)&call->req + sizeof(cmd->hdr),
                  info->request_bytes - sizeof(cmd->hdr)))
        return NULL;
    no->response = VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    no->why = "no such context";
    if ((row->needs_ctx || gpu_fence_is_per_context(dev, cmd)) &&
        !gpu_context_get(dev, cmd->hdr.ctx_id))
        return NULL;
    no->response = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    no->why = "no such ring";
    if (gpu_fence_is_per_context(dev, cmd) && cmd->hdr.ring_idx >= VIRTIO_GPU_RINGS_MAX)
        return NULL;
    no->why = NULL;
    return row;
}

bool gpu_device_handle(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    struct gpu_call call;
    struct refusal refusal;
    const struct gpu_cmd_row *row;
    bool uses_gpu;
    uint32_t type;

    if (dev->unasked)
        gpu_fence_ask(dev);
    call.cmd = cmd;
    cmd->next = NULL;
    cmd->response_len = 0;
    row = admit(dev, &call, &refusal);
    uses_gpu = row && row->uses_gpu && !gpu_context_is_vulkan(dev, cmd->hdr.ctx_id);
    if (uses_gpu && cmd->hdr.type == VIRTIO_GPU_CMD_SUBMIT_3D && cmd->taken_ns == 0)
        cmd->taken_ns = latency_clock_ns();
    if (uses_gpu && !gpu_gate_enter(dev)) {
        dev->blocked = cmd;
        dev->gated = true;
        return false;
    }
    dev->dirty |= uses_gpu;
    type = row ? row->handler(dev, &call) : refusal.response;
    if (type == GPU_WAITS)
        return cmd != dev->blocked;
    if (!row || type >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        gpu_reject(dev, refusal.what, refusal.why ? refusal.why : virtio_gpu_response_name(type));
    if (type != GPU_ANSWERED)
        gpu_answer(dev, cmd, type, NULL, 0);
    gpu_finish(dev, cmd, row && type < VIRTIO_GPU_RESP_ERR_UNSPEC);
    return true;
}
