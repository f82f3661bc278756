/* SPDX-License-Identifier: MIT */
/*
 * The renderer's end of protocol/layer.h: gives the workers of the render server their slots of the
 * lease and of the vGPU's memory, and takes them back from those that have ended. It has a thread
 * of its own, since the main thread may be waiting for a worker that waits here. Used by main.c.
 */
#ifndef ALIQUOT_RENDERER_LAYER_LINK_H
#define ALIQUOT_RENDERER_LAYER_LINK_H

#include "protocol/layer.h"

#include <stdbool.h>

struct layer_link;

/* All borrowed for the link's life. */
struct layer_link_config {
    int grant, ack, doorbell; /* of the lease; -1 = there is none */
    int memory_fd;            /* of memory */
    struct layer_memory *memory;
    int work_fd;        /* of the trace, see protocol/work_ring.h; not needed without a lease */
    int completions_fd; /* of a struct eventcount; likewise */
    int broker_fd;      /* to aliquotd, which is told who has a slot; -1 = nobody is */
};

/* Negative errno. */
int layer_link_create(const struct layer_link_config *config, struct layer_link **ret);
/* Starts the thread, before the first worker. Negative errno. */
int layer_link_start(struct layer_link *link);
/* Workers that are still there find their channel closed. NULL is fine. */
void layer_link_destroy(struct layer_link *link);

/* The workers' end of the socket that they share. Borrowed. */
int layer_link_fd(const struct layer_link *link);

#endif
