/* SPDX-License-Identifier: MIT */
/*
 * What a piece waits for before it may enter: semaphores that nothing in flight is going to signal.
 * docs/vulkan.md has the rules.
 */
#ifndef ALIQUOT_LAYER_ORDER_H
#define ALIQUOT_LAYER_ORDER_H

#include "mediator/layer/gate.h"

/* The timeline has the value, or work that is in flight will bring it there. */
bool order_is_reached(struct layer_device *d, VkSemaphore timeline, uint64_t value);

/* False: it has to wait for *ret first, which need not be the semaphore that the application named.
 * That a binary semaphore will be signalled by what was submitted before is Vulkan's rule; only
 * whether we hold that back is of interest. */
bool order_wait_is_met(struct layer_device *d, const struct batch *b, uint32_t info, uint32_t i,
                       struct batch_semaphore *ret);
/* All of its waits are met. */
bool order_is_ready(struct layer_device *d, const struct batch *b);

/* It has entered: its signals are as good as given, since it ends without anybody's help. */
void order_note_signals(struct layer_device *d, const struct batch *b);

/* What device->binaries has for a semaphore that a piece of q signals, held for this value. */
uint64_t order_binary(const struct gate_queue *q, uint64_t open_value);

#endif
