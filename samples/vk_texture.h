/* SPDX-License-Identifier: MIT */
/*
 * The patterns as Vulkan images that shaders sample, with all mip levels.
 */
#ifndef ALIQUOT_SAMPLES_VK_TEXTURE_H
#define ALIQUOT_SAMPLES_VK_TEXTURE_H

#include "samples/pattern.h"
#include "samples/vk_image.h"

/* Uses d->commands. Returns 0, or a negative errno after a message on stderr. */
int vk_texture_init(struct vk_image *texture, struct vk_device *d, enum pattern pattern);

/* Trilinear and repeating. Returns 0, or a negative errno after a message on stderr. */
int vk_texture_sampler(const struct vk_device *d, VkSampler *ret);

#endif
