/* SPDX-License-Identifier: MIT */
/*
 * Device memory: what may be allocated, and what of a GPU's heaps the guest is told.
 */
#ifndef ALIQUOT_LAYER_MEMORY_H
#define ALIQUOT_LAYER_MEMORY_H

#include <vulkan/vulkan.h>

struct layer_device;

VkResult VKAPI_CALL memory_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                    const VkAllocationCallbacks *allocator, VkDeviceMemory *ret);
void VKAPI_CALL memory_free(VkDevice device, VkDeviceMemory memory,
                            const VkAllocationCallbacks *allocator);
/* The device goes, and what is left of it. */
void memory_free_all(struct layer_device *d);

void VKAPI_CALL memory_properties(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties *ret);
void VKAPI_CALL memory_properties2(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties2 *ret);

#endif
