/* SPDX-License-Identifier: MIT */
/*
 * What shaders are given besides vertices: one set of descriptors, or none, and push constants.
 */
#ifndef ALIQUOT_SAMPLES_VK_LAYOUT_H
#define ALIQUOT_SAMPLES_VK_LAYOUT_H

#include "samples/vk_buffer.h"
#include "samples/vk_image.h"

#define VK_LAYOUT_BINDINGS_MAX 4

struct vk_layout_info {
    /* Numbered from 0; one descriptor each. */
    VkDescriptorType types[VK_LAYOUT_BINDINGS_MAX];
    uint32_t bindings;
    uint32_t sets;             /* how many may be made */
    VkShaderStageFlags stages; /* that see bindings and push constants */
    uint32_t push_bytes;       /* 128 is the most that every device has */
};

struct vk_layout {
    VkDescriptorSetLayout set;
    VkDescriptorPool pool;
    VkPipelineLayout pipeline;
};

/* All of these return 0, or a negative errno after a message on stderr. */
int vk_layout_init(struct vk_layout *l, const struct vk_device *d,
                   const struct vk_layout_info *info);
void vk_layout_finish(struct vk_layout *l, const struct vk_device *d);

/* The set lives as long as the layout. */
int vk_layout_set(const struct vk_layout *l, const struct vk_device *d, VkDescriptorSet *ret);

/* What a binding of a set is, from now on. */
void vk_set_buffer(const struct vk_device *d, VkDescriptorSet set, uint32_t binding,
                   VkDescriptorType type, const struct vk_buffer *buffer);
void vk_set_texture(const struct vk_device *d, VkDescriptorSet set, uint32_t binding,
                    const struct vk_image *texture, VkSampler sampler);

#endif
