/* SPDX-License-Identifier: MIT */
/*
 * GET_DISPLAY_INFO and GET_EDID: the display is asked where there is one, and the control queue
 * waits for its answer. Without a display, or if it fails, the device has tables of its own: one
 * monitor of the configured size.
 */
#include "mediator/renderer/edid.h"
#include "mediator/renderer/gpu_internal.h"

#include <string.h>

/* What follows the header in the two responses. */
struct display_info_data {
    struct virtio_gpu_display_one pmodes[VIRTIO_GPU_MAX_SCANOUTS];
};
struct edid_data {
    uint32_t size, padding;
    uint8_t edid[VIRTIO_GPU_EDID_BYTES];
};
_Static_assert(sizeof(struct display_info_data) ==
                   sizeof(struct virtio_gpu_resp_display_info) - sizeof(struct virtio_gpu_ctrl_hdr),
               "wire size");
_Static_assert(sizeof(struct edid_data) ==
                   sizeof(struct virtio_gpu_resp_edid) - sizeof(struct virtio_gpu_ctrl_hdr),
               "wire size");

/* ---- own tables ------------------------------------------------------------------------------ */

static void answer_own_info(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    struct display_info_data data = {0};

    if (dev->n_scanouts > 0) {
        data.pmodes[0].r.width = dev->width;
        data.pmodes[0].r.height = dev->height;
        data.pmodes[0].enabled = 1;
    }
    dev->told_own_info = true;
    gpu_answer(dev, cmd, VIRTIO_GPU_RESP_OK_DISPLAY_INFO, &data, sizeof(data));
}

static void answer_own_edid(struct gpu_device *dev, struct gpu_cmd *cmd, uint32_t scanout_id)
{
    struct edid_data data = {.size = EDID_BLOCK_BYTES};

    edid_generate(data.edid, dev->width, dev->height, scanout_id + 1);
    gpu_answer(dev, cmd, VIRTIO_GPU_RESP_OK_EDID, &data, sizeof(data));
}

/* ---- commands -------------------------------------------------------------------------------- */

/* True if cmd waits for the display now. An answer that came while it was being asked has been
 * sent already; cmd is gone then, too. */
static bool ask(struct gpu_device *dev, struct gpu_cmd *cmd, bool edid, uint32_t scanout_id)
{
    struct gpu_display *display = dev->display;
    bool asked;

    if (!display)
        return false;
    dev->blocked = cmd;
    dev->blocked_scanout = scanout_id;
    dev->asking = true;
    asked = edid ? display->ops->get_edid(display, scanout_id)
                 : display->ops->get_display_info(display);
    dev->asking = false;
    if (!asked)
        dev->blocked = NULL;
    return asked;
}

uint32_t gpu_cmd_get_display_info(struct gpu_device *dev, struct gpu_call *call)
{
    if (ask(dev, call->cmd, false, 0))
        return GPU_WAITS;
    answer_own_info(dev, call->cmd);
    return GPU_ANSWERED;
}

uint32_t gpu_cmd_get_edid(struct gpu_device *dev, struct gpu_call *call)
{
    uint32_t scanout_id = call->req.get_edid.scanout;

    if (scanout_id >= dev->n_scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    if (ask(dev, call->cmd, true, scanout_id))
        return GPU_WAITS;
    answer_own_edid(dev, call->cmd, scanout_id);
    return GPU_ANSWERED;
}

/* ---- answers of the display ------------------------------------------------------------------ */

/* The command that waits for this answer, or NULL: it was taken back, or waits for another one. */
static struct gpu_cmd *take_waiting(struct gpu_device *dev, uint32_t type)
{
    if (!dev->blocked || dev->blocked->hdr.type != type)
        return NULL;
    return TAKE_PTR(dev->blocked);
}

static void answered(struct gpu_device *dev, struct gpu_cmd *cmd)
{
    gpu_finish(dev, cmd, true);
    if (!dev->asking)
        dev->ops->resume(dev->opaque);
}

void gpu_device_display_info(struct gpu_device *dev,
                             const struct virtio_gpu_resp_display_info *info)
{
    struct gpu_cmd *cmd = take_waiting(dev, VIRTIO_GPU_CMD_GET_DISPLAY_INFO);
    struct display_info_data data = {0};

    if (!cmd)
        return;
    if (!info || info->hdr.type != VIRTIO_GPU_RESP_OK_DISPLAY_INFO) {
        answer_own_info(dev, cmd);
    } else {
        for (uint32_t i = 0; i < dev->n_scanouts; i++) {
            const struct virtio_gpu_display_one *from = &info->pmodes[i];
            struct virtio_gpu_display_one *to = &data.pmodes[i];

            to->r = from->r;
            to->r.width = MIN(from->r.width, dev->limits.max_dimension);
            to->r.height = MIN(from->r.height, dev->limits.max_dimension);
            to->enabled = from->enabled && to->r.width && to->r.height;
        }
        dev->told_own_info = false;
        gpu_answer(dev, cmd, VIRTIO_GPU_RESP_OK_DISPLAY_INFO, &data, sizeof(data));
    }
    answered(dev, cmd);
}

void gpu_device_display_edid(struct gpu_device *dev, const struct virtio_gpu_resp_edid *edid)
{
    struct gpu_cmd *cmd = take_waiting(dev, VIRTIO_GPU_CMD_GET_EDID);
    struct edid_data data = {0};

    if (!cmd)
        return;
    if (!edid || edid->hdr.type != VIRTIO_GPU_RESP_OK_EDID || edid->size == 0 ||
        edid->size > sizeof(data.edid)) {
        answer_own_edid(dev, cmd, dev->blocked_scanout);
    } else {
        data.size = edid->size;
        memcpy(data.edid, edid->edid, edid->size);
        gpu_answer(dev, cmd, VIRTIO_GPU_RESP_OK_EDID, &data, sizeof(data));
    }
    answered(dev, cmd);
}

struct gpu_cmd *gpu_device_take_blocked(struct gpu_device *dev)
{
    if (dev->partial.buf)
        return NULL;
    dev->gated = false;
    return TAKE_PTR(dev->blocked);
}

void gpu_device_set_display(struct gpu_device *dev, struct gpu_display *display)
{
    if (dev->display == display)
        return;
    dev->display = display;
    /* Whom the command waits for will not answer any more. */
    gpu_device_display_info(dev, NULL);
    gpu_device_display_edid(dev, NULL);
    if (!display)
        return;
    gpu_scanouts_announce(dev);
    if (dev->told_own_info) {
        dev->told_own_info = false;
        dev->events_read |= VIRTIO_GPU_EVENT_DISPLAY;
        dev->ops->config_changed(dev->opaque);
    }
}
