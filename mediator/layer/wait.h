/* SPDX-License-Identifier: MIT */
/*
 * Semaphores and what waits. The layer has to know which semaphores are timelines, and a wait has
 * to end when the GPU is taken away: what is held then never becomes complete.
 */
#ifndef ALIQUOT_LAYER_WAIT_H
#define ALIQUOT_LAYER_WAIT_H

#include <vulkan/vulkan.h>

VkResult VKAPI_CALL wait_create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                          const VkAllocationCallbacks *allocator, VkSemaphore *ret);
void VKAPI_CALL wait_destroy_semaphore(VkDevice device, VkSemaphore semaphore,
                                       const VkAllocationCallbacks *allocator);
VkResult VKAPI_CALL wait_import_semaphore_fd(VkDevice device,
                                             const VkImportSemaphoreFdInfoKHR *info);
VkResult VKAPI_CALL wait_for_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info,
                                        uint64_t timeout_ns);
VkResult VKAPI_CALL wait_semaphore_value(VkDevice device, VkSemaphore semaphore, uint64_t *ret);
VkResult VKAPI_CALL wait_for_fences(VkDevice device, uint32_t count, const VkFence *fences,
                                    VkBool32 all, uint64_t timeout_ns);
VkResult VKAPI_CALL wait_fence_status(VkDevice device, VkFence fence);
VkResult VKAPI_CALL wait_queue_idle(VkQueue queue);
VkResult VKAPI_CALL wait_device_idle(VkDevice device);

#endif
