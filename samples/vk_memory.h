/* SPDX-License-Identifier: MIT */
/*
 * Device memory for buffers and images, an allocation for each.
 */
#ifndef ALIQUOT_SAMPLES_VK_MEMORY_H
#define ALIQUOT_SAMPLES_VK_MEMORY_H

#include "samples/vk_device.h"

/* Where something lives. */
enum vk_place {
    VK_PLACE_DEVICE,   /* near the GPU, not mapped */
    VK_PLACE_UPLOAD,   /* mapped, coherent */
    VK_PLACE_READBACK, /* mapped, coherent, cached if that can be had */
};

/*
 * A memory type of type_bits for the place; Vulkan promises that there is one. Returns its number,
 * or -ENOTSUP after a message on stderr.
 */
int vk_memory_type(const struct vk_device *d, uint32_t type_bits, enum vk_place place);

/* Returns 0, or a negative errno after a message on stderr. */
int vk_memory_allocate(const struct vk_device *d, const VkMemoryRequirements *needs,
                       enum vk_place place, VkDeviceMemory *ret);

#endif
