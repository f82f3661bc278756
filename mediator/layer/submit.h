/* SPDX-License-Identifier: MIT */
/*
 * The calls that give work to a queue.
 */
#ifndef ALIQUOT_LAYER_SUBMIT_H
#define ALIQUOT_LAYER_SUBMIT_H

#include <vulkan/vulkan.h>

VkResult VKAPI_CALL submit_queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                        VkFence fence);
VkResult VKAPI_CALL submit_queue_submit2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *infos,
                                         VkFence fence);
VkResult VKAPI_CALL submit_queue_bind_sparse(VkQueue queue, uint32_t count,
                                             const VkBindSparseInfo *infos, VkFence fence);
VkResult VKAPI_CALL submit_queue_present(VkQueue queue, const VkPresentInfoKHR *info);

#endif
