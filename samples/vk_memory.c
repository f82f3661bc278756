/* SPDX-License-Identifier: MIT */
#include "samples/vk_memory.h"

#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>

#define MAPPED (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

/* -1 = none. */
static int find(const struct vk_device *d, uint32_t type_bits, VkMemoryPropertyFlags flags)
{
    const VkPhysicalDeviceMemoryProperties *memory = &d->physical.memory;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        if (type_bits & (1u << i) && (memory->memoryTypes[i].propertyFlags & flags) == flags)
            return (int)i;
    }
    return -1;
}

int vk_memory_type(const struct vk_device *d, uint32_t type_bits, enum vk_place place)
{
    static const struct {
        VkMemoryPropertyFlags wanted, needed;
    } flags[] = {
        [VK_PLACE_DEVICE] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0},
        [VK_PLACE_UPLOAD] = {MAPPED, MAPPED},
        [VK_PLACE_READBACK] = {MAPPED | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, MAPPED},
    };
    int type = find(d, type_bits, flags[place].wanted);
    if (type < 0)
        type = find(d, type_bits, flags[place].needed);
    if (type >= 0)
        return type;
    fprintf(stderr, "%s: %s has no memory type for this; vk-info shows what it has\n",
            program_invocation_short_name, d->physical.properties.deviceName);
    return -ENOTSUP;
}

int vk_memory_allocate(const struct vk_device *d, const VkMemoryRequirements *needs,
                       enum vk_place place, VkDeviceMemory *ret)
{
    int type = vk_memory_type(d, needs->memoryTypeBits, place);
    if (type < 0)
        return type;
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs->size,
        .memoryTypeIndex = (uint32_t)type,
    };
    return vk_check(vkAllocateMemory(d->device, &info, NULL, ret), "vkAllocateMemory");
}
