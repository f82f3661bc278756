/* SPDX-License-Identifier: MIT */
/*
 * Commands of vtest that are not about resources: versions, capabilities, the context, submission;
 * and the table of all handlers.
 */
#include "mediator/renderer/vtest_internal.h"

#include <string.h>

/* Timelines that a context can have: as many as virtio-gpu gives it. */
#define TIMELINES_MAX VIRTIO_GPU_RINGS_MAX

#define CAPSET_VIRGL 1u
#define CAPSET_VIRGL2 2u

/* In capset 2, the word of capability_bits, and the bit in it that says that buffers can be mapped
 * for good: for that the client would ask for blobs of OpenGL's memory, which it could not map. */
#define CAPS2_BITS_OFFSET 392u
#define CAPS2_BUFFER_STORAGE (1u << 31)

/* ---- the client, versions -------------------------------------------------------------------- */

static int create_renderer(struct vtest_session *s, struct vtest_message *msg)
{
    s->name_len = (uint32_t)strnlen(msg->body, MIN(msg->body_bytes, sizeof(s->name)));
    memcpy(s->name, msg->body, s->name_len);
    s->greeted = true;
    atomic_store_explicit(&s->config.stats->driver_ok, 1, memory_order_relaxed);
    log_info("vtest client: %.*s", (int)s->name_len, s->name);
    return 0;
}

static int ping_protocol_version(struct vtest_session *s, struct vtest_message *msg)
{
    void *body;

    return vtest_answer(s, 0, msg->command, 0, &body);
}

static int protocol_version(struct vtest_session *s, struct vtest_message *msg)
{
    uint32_t wanted, *body;

    memcpy(&wanted, msg->body, sizeof(wanted));
    s->version = wanted == VTEST_VERSION_WITHDRAWN ? 0 : MIN(wanted, VTEST_VERSION_MAX);
    if (vtest_answer(s, 1, msg->command, sizeof(*body), &body) < 0)
        return -ENOMEM;
    *body = s->version;
    return 0;
}

static int get_param(struct vtest_session *s, struct vtest_message *msg)
{
    uint32_t param, *body;

    memcpy(&param, msg->body, sizeof(param));
    if (vtest_answer(s, 2, msg->command, 2 * sizeof(*body), &body) < 0)
        return -ENOMEM;
    /* Known or not, and the value. There are no DRM sync objects. */
    body[0] = param == VTEST_PARAM_MAX_TIMELINE_COUNT;
    if (body[0] && gpu_has_feature(s->device, VIRTIO_GPU_F_CONTEXT_INIT))
        body[1] = TIMELINES_MAX;
    return 0;
}

/* ---- capabilities ---------------------------------------------------------------------------- */

static const struct gpu_capset *capset_find(const struct vtest_session *s, uint32_t id)
{
    for (uint32_t i = 0; i < s->device->n_capsets; i++) {
        if (s->device->capsets[i].id == id)
            return &s->device->capsets[i];
    }
    return NULL;
}

static int capset_fill(struct vtest_session *s, struct vtest_message *msg,
                       const struct gpu_capset *capset, uint32_t version, void *data)
{
    struct backend *backend = s->config.backend;
    int r = backend->ops->capset(backend, capset->id, version, data, capset->max_size);

    if (r < 0)
        return vtest_refuse(msg, "capset %u: %s", capset->id, strerror(-r));
    if (capset->id == CAPSET_VIRGL2 && capset->max_size >= CAPS2_BITS_OFFSET + sizeof(uint32_t)) {
        uint32_t bits;
        memcpy(&bits, (uint8_t *)data + CAPS2_BITS_OFFSET, sizeof(bits));
        bits &= ~CAPS2_BUFFER_STORAGE;
        memcpy((uint8_t *)data + CAPS2_BITS_OFFSET, &bits, sizeof(bits));
    }
    return 0;
}

/* The old answer: the length is in bytes and counts one too many, and in the place of the command
 * is the capset's id. */
static int get_caps_of(struct vtest_session *s, struct vtest_message *msg, uint32_t id)
{
    const struct gpu_capset *capset = capset_find(s, id);
    void *body;

    if (!capset)
        return vtest_refuse(msg, "there is no capset %u", id);
    if (vtest_answer(s, capset->max_size + 1, id, capset->max_size, &body) < 0)
        return -ENOMEM;
    return capset_fill(s, msg, capset, capset->max_version, body);
}

static int get_caps(struct vtest_session *s, struct vtest_message *msg)
{
    return get_caps_of(s, msg, CAPSET_VIRGL);
}

static int get_caps2(struct vtest_session *s, struct vtest_message *msg)
{
    return get_caps_of(s, msg, CAPSET_VIRGL2);
}

static int get_capset(struct vtest_session *s, struct vtest_message *msg)
{
    struct vtest_get_capset req;
    const struct gpu_capset *capset;
    uint32_t words = 0, *body;

    memcpy(&req, msg->body, sizeof(req));
    capset = capset_find(s, req.id);
    if (capset && req.version <= capset->max_version)
        words = (capset->max_size + 3) / 4;
    if (vtest_answer(s, 1 + words, msg->command, (1 + (size_t)words) * sizeof(*body), &body) < 0)
        return -ENOMEM;
    body[0] = words != 0;
    return words ? capset_fill(s, msg, capset, req.version, body + 1) : 0;
}

/* ---- the context ----------------------------------------------------------------------------- */

int vtest_context_create(struct vtest_session *s, struct vtest_message *msg)
{
    struct gpu_call call = {
        .req.ctx_create = {.hdr.ctx_id = VTEST_CTX_ID,
                           .nlen = s->name_len,
                           .context_init = s->capset_id},
    };
    int r;

    memcpy(call.req.ctx_create.debug_name, s->name, s->name_len);
    r = vtest_check(msg, gpu_cmd_ctx_create(s->device, &call));
    if (r == 0)
        s->has_context = true;
    return r;
}

static int context_init(struct vtest_session *s, struct vtest_message *msg)
{
    uint32_t id;

    memcpy(&id, msg->body, sizeof(id));
    if (s->has_context && id == s->capset_id)
        return 0;
    if (s->has_context)
        return vtest_refuse(msg, "there is a context already");
    if (!capset_find(s, id))
        return vtest_refuse(msg, "there is no capset %u", id);
    s->capset_id = id;
    return vtest_context_create(s, msg);
}

int vtest_submit(struct vtest_session *s, struct vtest_message *msg, void *commands, size_t bytes)
{
    int r = gpu_submit(s->device, VTEST_CTX_ID, commands, bytes, &s->submitted);
    bool vulkan = gpu_context_is_vulkan(s->device, VTEST_CTX_ID);

    /* Also if it failed: what came before the wrong command is under way. */
    if (!vulkan) {
        s->dirty = true;
        s->started = false;
    }
    if (r == -EAGAIN)
        return r;
    s->submitted = 0;
    if (r < 0)
        return vtest_refuse(msg, "%s", strerror(-r));
    gpu_stat_add(&s->config.stats->submits, 1);
    if (!vulkan) /* whose layer counts what really is work for the GPU */
        latency_queue_add(&s->streams, s->taken_ns);
    return 0;
}

static int submit_cmd(struct vtest_session *s, struct vtest_message *msg)
{
    return vtest_submit(s, msg, msg->body, msg->body_bytes);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct vtest_handler_row handlers[VTEST_COMMANDS] = {
    [VTEST_GET_CAPS] = {get_caps, false},
    [VTEST_RESOURCE_CREATE] = {vtest_resource_create, true},
    [VTEST_RESOURCE_UNREF] = {vtest_resource_unref, true},
    [VTEST_TRANSFER_GET] = {vtest_transfer_get, true, true},
    [VTEST_TRANSFER_PUT] = {vtest_transfer_put, true, true},
    [VTEST_SUBMIT_CMD] = {submit_cmd, true, true},
    [VTEST_RESOURCE_BUSY_WAIT] = {vtest_resource_busy_wait, false},
    [VTEST_CREATE_RENDERER] = {create_renderer, false},
    [VTEST_GET_CAPS2] = {get_caps2, false},
    [VTEST_PING_PROTOCOL_VERSION] = {ping_protocol_version, false},
    [VTEST_PROTOCOL_VERSION] = {protocol_version, false},
    [VTEST_RESOURCE_CREATE2] = {vtest_resource_create2, true},
    [VTEST_TRANSFER_GET2] = {vtest_transfer_get2, true, true},
    [VTEST_TRANSFER_PUT2] = {vtest_transfer_put2, true, true},
    [VTEST_GET_PARAM] = {get_param, false},
    [VTEST_GET_CAPSET] = {get_capset, false},
    [VTEST_CONTEXT_INIT] = {context_init, false},
    [VTEST_RESOURCE_CREATE_BLOB] = {vtest_resource_create_blob, true},
    [VTEST_SYNC_CREATE] = {vtest_sync_create, false},
    [VTEST_SYNC_UNREF] = {vtest_sync_unref, false},
    [VTEST_SYNC_READ] = {vtest_sync_read, false},
    [VTEST_SYNC_WRITE] = {vtest_sync_write, false},
    [VTEST_SYNC_WAIT] = {vtest_sync_wait, false},
    [VTEST_SUBMIT_CMD2] = {vtest_submit_cmd2, true, true},
};

const struct vtest_handler_row *vtest_handler_of(uint32_t command)
{
    return &handlers[command];
}
