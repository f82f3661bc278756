/* SPDX-License-Identifier: MIT */
/*
 * Operations on struct layer_memory (protocol/layer.h): what GPU memory the processes of one vGPU
 * hold together, and whether one of them may have more. For the renderer, the Vulkan layer, and
 * aliquotd, which only reads. All but the first two are free of system calls and locks, and for any
 * thread.
 */
#ifndef ALIQUOT_PROTOCOL_LAYER_MEMORY_H
#define ALIQUOT_PROTOCOL_LAYER_MEMORY_H

#include "protocol/layer.h"

#include <stdbool.h>
#include <stddef.h>

/* A page that can't be resized, all zeroes, and a mapping of it for reading. Returns 0 or a
 * negative errno; the caller owns *ret_fd and unmaps *ret. */
int layer_memory_create(int *ret_fd, const struct layer_memory **ret);
/* Maps such a page for taking part. -EINVAL: too small. The descriptor stays the caller's. */
int layer_memory_map(int fd, struct layer_memory **ret);
void layer_memory_unmap(const struct layer_memory *m); /* of either kind; NULL is fine */

/* By the renderer, before anybody else takes part. quota_bytes: UINT64_MAX = none. */
void layer_memory_init(struct layer_memory *m, uint64_t quota_bytes);
/* Whether it was. */
bool layer_memory_is_valid(const struct layer_memory *m);

/* False: it would be more than the quota; nothing has changed. */
bool layer_memory_take(struct layer_memory *m, uint32_t slot, uint64_t bytes);
/* UINT64_MAX = there is no quota; and what is left of it. */
uint64_t layer_memory_quota(const struct layer_memory *m);
uint64_t layer_memory_left(const struct layer_memory *m);
/* Of what the slot has taken. */
void layer_memory_give(struct layer_memory *m, uint32_t slot, uint64_t bytes);

/* The process behind the slot is gone: what it held is free, and the slot is as new. Its counters
 * go to LEASE_SLOT_GL, which has none of its own, so that sums only grow. */
void layer_memory_reclaim(struct layer_memory *m, uint32_t slot);

/* Sums over all slots but LEASE_SLOT_GL's memory; of what hostile processes may have written. */
struct layer_sums {
    uint64_t memory_bytes, submits, batches, refused, devices;
};
void layer_memory_read(const struct layer_memory *m, struct layer_sums *ret);

#endif
