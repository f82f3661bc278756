/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user back-end: serves one connection of a front-end (QEMU, or libaliquot-guest) that
 * shows its guest a virtio-gpu. It owns the connection, guest memory, the two virtqueues and the
 * device model behind them. Used by main.c, one at a time.
 *
 * Everything that comes over the socket and the rings is hostile. What breaks the protocol ends the
 * connection with one log line; the process lives on for the next one.
 *
 * vhost_messages.c is the socket, vhost_handlers.c what each message does, vhost_queue.c the rings.
 */
#ifndef ALIQUOT_RENDERER_VHOST_BACKEND_H
#define ALIQUOT_RENDERER_VHOST_BACKEND_H

#include "mediator/renderer/gpu_device.h"

#include <systemd/sd-event.h>

struct vhost_backend;

struct vhost_backend_config {
    sd_event *event;                /* borrowed */
    struct backend *backend;        /* borrowed; reset when the connection ends */
    struct gpu_fence_queue *fences; /* borrowed */
    struct gpu_limits limits;
    uint32_t scanouts, width, height;
    bool dmabuf;                /* scan-outs by dma-buf where that works */
    struct broker_stats *stats; /* borrowed */
    /* The connection has ended, broken where the front-end's fault or ours ended it and not the
     * front-end's will; reason is one line, valid for the call. Called once, from the event
     * loop and never from inside create; the callee may destroy the back-end. */
    void (*ended)(void *opaque, bool broken, const char *reason);
    void *opaque;
};

/* Serves fd, a connected stream socket; it is consumed on success only. */
int vhost_backend_create(const struct vhost_backend_config *config, int fd,
                         struct vhost_backend **ret);
void vhost_backend_destroy(struct vhost_backend *be);

#endif
