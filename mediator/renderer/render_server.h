/* SPDX-License-Identifier: MIT */
/*
 * The process that draws for Vulkan: virgl_render_server of virglrenderer, which forks a worker for
 * each Vulkan context. It is ours and not virglrenderer's child, so that its environment, its
 * descriptors and the layer in it are ours too. Used by the virgl backend, on its thread.
 *
 * It runs from the first Vulkan context on, or a little before. It ends with its socket, whoever
 * held the other end and however he ended, and kills its workers then.
 */
#ifndef ALIQUOT_RENDERER_RENDER_SERVER_H
#define ALIQUOT_RENDERER_RENDER_SERVER_H

#include "mediator/renderer/backend.h"

#include <stdbool.h>
#include <sys/types.h>

struct render_server;

struct render_server_config {
    bool software;   /* draw on the CPU (lavapipe), and else never */
    const char *gpu; /* the one that guests see, as LAYER_GPU_ENV has it; copied */
    enum backend_priority priority;
    int layer_fd;   /* for the layer in the workers (protocol/layer.h); borrowed; -1 = no layer */
    bool must_gate; /* no workers without the layer */
};

/* Finds what is needed, starts nothing. On failure *ret_error is a sentence for the operator, valid
 * until the next failure here. */
int render_server_create(const struct render_server_config *config, struct render_server **ret,
                         const char **ret_error);
/* Kills what is left. NULL is fine. */
void render_server_destroy(struct render_server *s);

/* The end of a new connection, for virglrenderer, whose it is then. An earlier one has to be closed
 * before; its server ends. */
int render_server_connect(struct render_server *s, int *ret_fd);

/* The server is to run. Returns at once; nothing happens if it does, or did. If it can't be
 * started, the connection ends. */
void render_server_start(struct render_server *s);

/* Its process; 0 = it was not started, or could not be. */
pid_t render_server_pid(const struct render_server *s);

/* It was started, and has ended: there are no new contexts. */
bool render_server_ended(const struct render_server *s);

/* Readable when it has written something, which render_server_dispatch() passes on to the log. */
int render_server_event_fd(const struct render_server *s);
void render_server_dispatch(struct render_server *s);

#endif
