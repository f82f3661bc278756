/* SPDX-License-Identifier: MIT */
#include "samples/vk_buffer.h"

#include "samples/vk_result.h"

#include <string.h>

static int bind_memory(struct vk_buffer *b, const struct vk_device *d, enum vk_place place)
{
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(d->device, b->buffer, &needs);
    int r = vk_memory_allocate(d, &needs, place, &b->memory);
    if (r < 0)
        return r;
    r = vk_check(vkBindBufferMemory(d->device, b->buffer, b->memory, 0), "vkBindBufferMemory");
    if (r < 0 || place == VK_PLACE_DEVICE)
        return r;
    return vk_check(vkMapMemory(d->device, b->memory, 0, VK_WHOLE_SIZE, 0, &b->map), "vkMapMemory");
}

int vk_buffer_init(struct vk_buffer *b, const struct vk_device *d, VkDeviceSize bytes,
                   VkBufferUsageFlags usage, enum vk_place place)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = usage,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    *b = (struct vk_buffer){.bytes = bytes};
    int r = vk_check(vkCreateBuffer(d->device, &info, NULL, &b->buffer), "vkCreateBuffer");
    if (r == 0)
        r = bind_memory(b, d, place);
    if (r < 0)
        vk_buffer_finish(b, d);
    return r;
}

void vk_buffer_finish(struct vk_buffer *b, const struct vk_device *d)
{
    vkDestroyBuffer(d->device, b->buffer, NULL);
    vkFreeMemory(d->device, b->memory, NULL); /* unmaps it */
    *b = (struct vk_buffer){0};
}

static int copy(struct vk_device *d, const struct vk_buffer *from, const struct vk_buffer *to)
{
    int r = vk_device_begin(d);
    if (r < 0)
        return r;
    const VkBufferCopy region = {.size = from->bytes};
    vkCmdCopyBuffer(d->commands, from->buffer, to->buffer, 1, &region);
    /* For whatever will read it in later submissions. */
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT,
    };
    vkCmdPipelineBarrier(d->commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                         VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    return vk_device_run(d);
}

int vk_buffer_init_data(struct vk_buffer *b, struct vk_device *d, const void *data,
                        VkDeviceSize bytes, VkBufferUsageFlags usage)
{
    struct vk_buffer staging = {0};
    int r = vk_buffer_init(b, d, bytes, usage | VK_BUFFER_USAGE_TRANSFER_DST_BIT, VK_PLACE_DEVICE);
    if (r < 0)
        return r;
    r = vk_buffer_init(&staging, d, bytes, VK_BUFFER_USAGE_TRANSFER_SRC_BIT, VK_PLACE_UPLOAD);
    if (r == 0) {
        memcpy(staging.map, data, bytes);
        r = copy(d, &staging, b);
    }
    vk_buffer_finish(&staging, d);
    if (r < 0)
        vk_buffer_finish(b, d);
    return r;
}

void vk_buffer_to_host(VkCommandBuffer commands, VkPipelineStageFlags stage, VkAccessFlags access)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = access,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };
    vkCmdPipelineBarrier(commands, stage, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0,
                         NULL);
}
