/* SPDX-License-Identifier: MIT */
/*
 * A Vulkan device with one queue, and one command buffer that is recorded, run and waited for: all
 * that the samples need. No optional feature or extension is enabled. Not thread-safe.
 */
#ifndef ALIQUOT_SAMPLES_VK_DEVICE_H
#define ALIQUOT_SAMPLES_VK_DEVICE_H

#include "samples/vk_physical.h"

#include <vulkan/vulkan.h>

struct vk_device {
    struct vk_physical physical;
    VkDevice device;
    uint32_t family; /* of the queue */
    VkQueue queue;
    VkCommandPool pool; /* its command buffers can be reset one by one */
    VkCommandBuffer commands;
    VkFence fence; /* not signalled between calls */
};

/*
 * which: as for vk_physical_choose(). needs: what the queue must be able to do. Returns 0, or a
 * negative errno after a message on stderr, as all functions here do.
 */
int vk_device_open(struct vk_device *d, const char *which, VkQueueFlags needs);
/* Waits until the device is idle. What was made with it must be gone. */
void vk_device_close(struct vk_device *d);

/* Begins to record d->commands anew. */
int vk_device_begin(struct vk_device *d);
/* Ends the recording, and returns when the device has done it. */
int vk_device_run(struct vk_device *d);
/* Waits for what was submitted with d->fence, and resets that. */
int vk_device_wait(struct vk_device *d);

#endif
