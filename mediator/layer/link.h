/* SPDX-License-Identifier: MIT */
/*
 * The layer's end of protocol/layer.h: what the renderer has given to this process. There is one
 * for the process, made with its first VkInstance; it ends with the process, which is what tells
 * the renderer. Lost and torn down it never is: instances and devices borrow it.
 */
#ifndef ALIQUOT_LAYER_LINK_H
#define ALIQUOT_LAYER_LINK_H

#include "protocol/eventcount.h"
#include "protocol/layer.h"
#include "protocol/work_ring.h"

#include <stdbool.h>

struct link {
    int channel_fd;                 /* not used any more: its end is this process's end */
    bool gated;                     /* false: lease and doorbell_fd are not there */
    struct lease_participant lease; /* its pages are mapped for the life of the process */
    int doorbell_fd;
    struct layer_memory *memory;
    struct layer_slot *slot;        /* in memory */
    struct work_rings *work;        /* NULL unless gated */
    struct work_ring *ring;         /* the slot's, in work; likewise */
    struct eventcount *completions; /* likewise */
};

/*
 * 0 and the link, the same one for each call; or *ret = NULL: the process was started by no
 * renderer (LAYER_ENV is not in its environment) and the layer has nothing to do. Otherwise
 *   -EPROTO      the renderer speaks another version
 *   -ECONNREFUSED it has no slot free
 *   other negative errno; the next call tries again.
 * Blocks until the renderer has answered. Any thread.
 */
int link_get(const struct link **ret);

/* The same for a given environment's value; the caller owns *ret. For link_get() and tests. */
int link_open(const char *fd_number, struct link *ret);
void link_close(struct link *link);

#endif
