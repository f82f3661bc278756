/* SPDX-License-Identifier: MIT */
/*
 * The GPU's own word of how long it took: a timestamp before the first command of a frame and one
 * behind the last. Not thread-safe.
 */
#ifndef ALIQUOT_SAMPLES_VK_GPU_TIME_H
#define ALIQUOT_SAMPLES_VK_GPU_TIME_H

#include "samples/vk_device.h"

#include <stdint.h>

struct vk_gpu_time {
    VkQueryPool pool;
    uint64_t mask; /* the bits of a timestamp that are valid */
    double ns;     /* of a tick */
};

/* Returns 0, or a negative errno after a message on stderr: -ENOTSUP if the device's queue has no
 * timestamps. */
int vk_gpu_time_init(struct vk_gpu_time *t, const struct vk_device *d);
/* Zeroed: nothing happens. */
void vk_gpu_time_finish(struct vk_gpu_time *t, const struct vk_device *d);

/* Record the begin and the end, outside of render passes. */
void vk_gpu_time_begin(const struct vk_gpu_time *t, VkCommandBuffer commands);
void vk_gpu_time_end(const struct vk_gpu_time *t, VkCommandBuffer commands);
/* When what was recorded is complete: 0 and the time between the two, or a negative errno after a
 * message on stderr. */
int vk_gpu_time_read(const struct vk_gpu_time *t, const struct vk_device *d, uint64_t *ret_ns);

#endif
