/* SPDX-License-Identifier: MIT */
/*
 * A Vulkan buffer and its memory, mapped where the place is one that the CPU sees.
 */
#ifndef ALIQUOT_SAMPLES_VK_BUFFER_H
#define ALIQUOT_SAMPLES_VK_BUFFER_H

#include "samples/vk_memory.h"

struct vk_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDeviceSize bytes;
    void *map; /* NULL = not mapped */
};

/* Returns 0, or a negative errno after a message on stderr; the buffer is then empty. */
int vk_buffer_init(struct vk_buffer *b, const struct vk_device *d, VkDeviceSize bytes,
                   VkBufferUsageFlags usage, enum vk_place place);
/* An empty buffer, {0}, is fine. */
void vk_buffer_finish(struct vk_buffer *b, const struct vk_device *d);

/* Makes a buffer near the GPU that holds the data; uses d->commands. */
int vk_buffer_init_data(struct vk_buffer *b, struct vk_device *d, const void *data,
                        VkDeviceSize bytes, VkBufferUsageFlags usage);

/* Recorded after what writes buffers in `stage`: what the CPU will read of them when it is done. */
void vk_buffer_to_host(VkCommandBuffer commands, VkPipelineStageFlags stage, VkAccessFlags access);

#endif
