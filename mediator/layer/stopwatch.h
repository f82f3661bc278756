/* SPDX-License-Identifier: MIT */
/*
 * When the GPU itself says that a piece ended: a timestamp query behind it, translated to
 * CLOCK_MONOTONIC by calibrated timestamps. For GPUs that have both; a software GPU runs on the
 * clock that we read anyway, pays for each query, and may make who asks for a result wait for
 * all that is submitted (lavapipe), which never ends while some of it is held.
 */
#ifndef ALIQUOT_LAYER_STOPWATCH_H
#define ALIQUOT_LAYER_STOPWATCH_H

#include <vulkan/vulkan.h>

#include <stdbool.h>
#include <stdint.h>

struct layer_device;
struct stopwatch;

/* NULL: this queue family has no usable timestamps, or there is no memory. */
struct stopwatch *stopwatch_create(struct layer_device *d, uint32_t family);
/* NULL is fine. */
void stopwatch_destroy(struct stopwatch *w);

/* The command buffer that stamps the time of this value, the submitter's; NULL: it has none, since
 * the value so many before is not complete, as far as stopwatch_read() was told. */
VkCommandBuffer stopwatch_stamp(struct stopwatch *w, uint64_t value);
/* True if the value, which is complete, has been stamped. */
bool stopwatch_read(struct stopwatch *w, uint64_t value, uint64_t *ret_ns);
/* All up to this value is complete and read. */
void stopwatch_complete(struct stopwatch *w, uint64_t value);

#endif
