/* SPDX-License-Identifier: MIT */
/*
 * What a connection is served with, whichever protocol its client speaks: given by main.c to
 * connection.c, and by that to the vhost-user back-end or the vtest server.
 */
#ifndef ALIQUOT_RENDERER_CONNECTION_CONFIG_H
#define ALIQUOT_RENDERER_CONNECTION_CONFIG_H

#include "mediator/renderer/gpu_device.h"

#include <systemd/sd-event.h>

struct connection_config {
    sd_event *event;                /* borrowed */
    struct backend *backend;        /* borrowed; reset when the connection ends */
    struct gpu_fence_queue *fences; /* borrowed */
    struct gpu_limits limits;
    uint32_t scanouts, width, height; /* for protocols with a display */
    bool dmabuf;                      /* scan-outs by dma-buf where that works */
    uint64_t hostmem_bytes;           /* of the host-visible region, 0 = none */
    int completions_fd;               /* borrowed: of a struct eventcount of Vulkan's work
                                         (protocol/layer.h); -1 = there is none */
    struct broker_stats *stats;       /* borrowed */
    struct work_ring *ring;           /* of the trace; borrowed; NULL = there is none */
    struct gate *gate;                /* the lease; borrowed; NULL = none is needed */
    struct layer_memory *memory;      /* the vGPU's, Vulkan's included; borrowed; NULL = none */
    /* The connection has ended, broken where the client's fault or ours ended it and not the
     * client's will; reason is one line, valid for the call. Called once, from the event loop and
     * never from inside create; the callee may destroy the connection. */
    void (*ended)(void *opaque, bool broken, const char *reason);
    void *opaque;
};

#endif
