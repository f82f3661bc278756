/* SPDX-License-Identifier: MIT */
/*
 * The host-visible region: which of its offsets belong to which blob, and the channel on which the
 * server shows us, by a descriptor, what lies there. Used by blob.c (what is to be shown) and
 * ring.c (listening to the server while somebody waits).
 *
 * To a virtual machine the region is a range of addresses. We keep the numbers alone, and the
 * descriptor of each blob until somebody maps it: straight to where he wants it, and any kind of
 * memory, dma-bufs too.
 *
 * The server is believed in nothing: it may show only what a RESOURCE_MAP_BLOB in flight has asked
 * for, at that place and of that length, with a descriptor that is long enough. What it can't be
 * kept from is to shorten a file later, as its end of a dma-buf could go away: who uses blobs
 * trusts his server not to.
 *
 * All under the vGPU's lock.
 */
#ifndef ALIQUOT_GUEST_HOST_VISIBLE_H
#define ALIQUOT_GUEST_HOST_VISIBLE_H

#include "guest-driver/vhost_user/guest_heap.h"
#include "protocol/eventcount.h"
#include "protocol/vhost_user.h"

#include <stdbool.h>

struct vhost_vgpu;

struct host_visible {
    int sock;                       /* owned: the channel; -1 = there is no region */
    struct guest_heap heap;         /* of its offsets */
    bool asks;                      /* the server waits for our answers before it gives its own */
    bool shows_completions;         /* it has yet to show the eventcount */
    struct eventcount *completions; /* owned mapping; NULL = there is none; atomic */
    struct {
        struct vhost_user_header header;
        struct vhost_user_mmap map;
    } __attribute__((packed)) input; /* a message that is coming in */
    size_t input_bytes;
    int input_fd; /* owned: came with it, or -1 */
};

/* No region. */
void host_visible_init(struct host_visible *v);
void host_visible_finish(struct host_visible *v);

/* Takes over the channel's socket, which must not block; consumed on success only.
 * shows_completions: as the server has announced. */
int host_visible_start(struct host_visible *v, int sock, uint64_t bytes, bool shows_completions);

/* Does what the server has said by now, up to so many messages. May lose the vGPU. */
void host_visible_serve(struct vhost_vgpu *vgpu, unsigned max_messages);

#endif
