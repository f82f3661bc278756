/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of struct layer_memory (protocol/layer.h): what a vGPU may have, has, and what is
 * left. All other processes of the vGPU do the same at the same time; no locks.
 */
#ifndef ALIQUOT_LAYER_QUOTA_H
#define ALIQUOT_LAYER_QUOTA_H

#include "protocol/layer.h"

#include <stdbool.h>

/* Takes bytes for the slot; false, and counted as refused, if they are beyond the quota. */
bool quota_take(struct layer_memory *memory, struct layer_slot *slot, uint64_t bytes);
void quota_give_back(struct layer_memory *memory, struct layer_slot *slot, uint64_t bytes);

/* UINT64_MAX = none. */
uint64_t quota_bytes(const struct layer_memory *memory);
uint64_t quota_left(const struct layer_memory *memory);

#endif
