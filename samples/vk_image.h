/* SPDX-License-Identifier: MIT */
/*
 * A two-dimensional Vulkan image with its memory and a view of all of it.
 */
#ifndef ALIQUOT_SAMPLES_VK_IMAGE_H
#define ALIQUOT_SAMPLES_VK_IMAGE_H

#include "samples/vk_memory.h"

struct vk_image_info {
    VkFormat format;
    uint32_t width, height, levels;
    VkImageUsageFlags usage;
    VkImageAspectFlags aspect;
};

struct vk_image {
    VkImage image;
    VkDeviceMemory memory;
    VkImageView view;
    struct vk_image_info info;
};

/* Returns 0, or a negative errno after a message on stderr; the image is then empty. */
int vk_image_init(struct vk_image *im, const struct vk_device *d, const struct vk_image_info *info);
/* An empty image, {0}, is fine. */
void vk_image_finish(struct vk_image *im, const struct vk_device *d);

/* A change of layout, and what waits for what. */
struct vk_image_change {
    VkImageLayout from, to;
    VkPipelineStageFlags after, before;
    VkAccessFlags written, read;
};

/* Records it, for all levels. */
void vk_image_change(VkCommandBuffer commands, const struct vk_image *im,
                     const struct vk_image_change *change);

#endif
