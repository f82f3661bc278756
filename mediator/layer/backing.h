/* SPDX-License-Identifier: MIT */
/*
 * Files behind exported memory of lavapipe, in place of its own: their data begins at 0.
 *
 * What lavapipe exports begins with a header of its own, which whoever maps it has to leave out,
 * and can overwrite. Not all can leave it out: Venus over vtest maps what it gets from the
 * beginning. So the memory is a file of ours, which lavapipe imports as memory of this process
 * (VK_EXT_external_memory_host), and that file is what is handed out. Whole pages, sealed at their
 * size and for good, which also tells them from lavapipe's (see the renderer's virgl_blob.c).
 *
 * Confined to lavapipe, where memory is the process's anyway, and to opaque descriptors.
 */
#ifndef ALIQUOT_LAYER_BACKING_H
#define ALIQUOT_LAYER_BACKING_H

#include <stdbool.h>
#include <vulkan/vulkan.h>

struct layer_device;
struct backing;

/* Whether backing_allocate() is for an allocation of this device. */
bool backing_is_for(const struct layer_device *d, const VkMemoryAllocateInfo *info);
/* As vkAllocateMemory; the size is in whole pages. */
VkResult backing_allocate(struct layer_device *d, const VkMemoryAllocateInfo *info,
                          const VkAllocationCallbacks *allocator, VkDeviceMemory *ret);
/* As vkAllocateMemory, of memory that is imported. Where exports are backed, nothing opaque is
 * imported but files of this layer's: VK_ERROR_INVALID_EXTERNAL_HANDLE. */
VkResult backing_import(struct layer_device *d, const VkMemoryAllocateInfo *info,
                        const VkAllocationCallbacks *allocator, VkDeviceMemory *ret);
/* What is behind a memory that is about to be freed, for backing_destroy() when it is; NULL: not a
 * file of ours. */
struct backing *backing_take(struct layer_device *d, VkDeviceMemory memory);
void backing_destroy(struct backing *b);
/* The driver has destroyed the device. */
void backing_free_all(struct layer_device *d);

VkResult VKAPI_CALL backing_get_fd(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *ret_fd);

#endif
