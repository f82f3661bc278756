/* SPDX-License-Identifier: MIT */
/*
 * The priority of a vGPU's queues among all processes that use the GPU (VK_KHR_global_priority),
 * from its latency class, as LAYER_PRIORITY_ENV (protocol/layer.h) says. The guest may ask for less
 * than that, and for no more.
 */
#ifndef ALIQUOT_LAYER_PRIORITY_H
#define ALIQUOT_LAYER_PRIORITY_H

#include <stdbool.h>
#include <vulkan/vulkan.h>

/* text: the variable's value; NULL: it is not set. False: it makes no sense. */
bool priority_parse(const char *text, VkQueueGlobalPriority *ret);

/* Calls vkCreateDevice with the priority for all queues of info. has_extension: info has it
 * enabled. A driver that refuses the priority, to this process or at all, is asked again without.
 */
VkResult priority_create_device(PFN_vkCreateDevice create, VkPhysicalDevice gpu,
                                const VkDeviceCreateInfo *info,
                                const VkAllocationCallbacks *allocator, bool has_extension,
                                VkQueueGlobalPriority priority, VkDevice *ret);

#endif
