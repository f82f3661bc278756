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

#include "mediator/renderer/connection_config.h"

struct vhost_backend;

/* Serves fd, a connected stream socket; it is consumed on success only. */
int vhost_backend_create(const struct connection_config *config, int fd,
                         struct vhost_backend **ret);
void vhost_backend_destroy(struct vhost_backend *be);

#endif
