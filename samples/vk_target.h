/* SPDX-License-Identifier: MIT */
/*
 * The picture that a Vulkan sample draws into: a colour image, depth if it is wanted, and the
 * render pass over them, which clears both. y points up, as in OpenGL; the first row of the image
 * is the top one. After a pass the picture can be read.
 */
#ifndef ALIQUOT_SAMPLES_VK_TARGET_H
#define ALIQUOT_SAMPLES_VK_TARGET_H

#include "samples/vk_image.h"

#include <stdbool.h>

struct vk_target {
    uint32_t width, height;
    bool has_depth;
    struct vk_image color, depth;
    VkRenderPass pass;
    VkFramebuffer framebuffer;
};

/*
 * Returns 0; -EINVAL where the device has no pictures that large, or another negative errno, after
 * a message on stderr.
 */
int vk_target_init(struct vk_target *t, const struct vk_device *d, uint32_t width, uint32_t height,
                   bool has_depth);
void vk_target_finish(struct vk_target *t, const struct vk_device *d);

/* Record the begin of a pass, with viewport and scissor, and its end. color: R G B A. */
void vk_target_begin(const struct vk_target *t, VkCommandBuffer commands, const float color[4]);
void vk_target_end(VkCommandBuffer commands);

/* Writes the picture of the last pass; uses d->commands. Returns as vk_target_init(). */
int vk_target_write_png(const struct vk_target *t, struct vk_device *d, const char *path);

#endif
