/* SPDX-License-Identifier: MIT */
#include "samples/vk_image.h"

#include "samples/vk_result.h"

static int create_view(struct vk_image *im, const struct vk_device *d)
{
    const VkImageViewCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
        .image = im->image,
        .viewType = VK_IMAGE_VIEW_TYPE_2D,
        .format = im->info.format,
        .subresourceRange = {im->info.aspect, 0, im->info.levels, 0, 1},
    };
    return vk_check(vkCreateImageView(d->device, &info, NULL, &im->view), "vkCreateImageView");
}

static int bind_memory(struct vk_image *im, const struct vk_device *d)
{
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(d->device, im->image, &needs);
    int r = vk_memory_allocate(d, &needs, VK_PLACE_DEVICE, &im->memory);
    if (r < 0)
        return r;
    return vk_check(vkBindImageMemory(d->device, im->image, im->memory, 0), "vkBindImageMemory");
}

int vk_image_init(struct vk_image *im, const struct vk_device *d, const struct vk_image_info *info)
{
    const VkImageCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
        .imageType = VK_IMAGE_TYPE_2D,
        .format = info->format,
        .extent = {info->width, info->height, 1},
        .mipLevels = info->levels,
        .arrayLayers = 1,
        .samples = VK_SAMPLE_COUNT_1_BIT,
        .tiling = VK_IMAGE_TILING_OPTIMAL,
        .usage = info->usage,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
        .initialLayout = VK_IMAGE_LAYOUT_UNDEFINED,
    };
    *im = (struct vk_image){.info = *info};
    int r = vk_check(vkCreateImage(d->device, &create, NULL, &im->image), "vkCreateImage");
    if (r == 0)
        r = bind_memory(im, d);
    if (r == 0)
        r = create_view(im, d);
    if (r < 0)
        vk_image_finish(im, d);
    return r;
}

void vk_image_finish(struct vk_image *im, const struct vk_device *d)
{
    vkDestroyImageView(d->device, im->view, NULL);
    vkDestroyImage(d->device, im->image, NULL);
    vkFreeMemory(d->device, im->memory, NULL);
    *im = (struct vk_image){0};
}

void vk_image_change(VkCommandBuffer commands, const struct vk_image *im,
                     const struct vk_image_change *change)
{
    const VkImageMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
        .srcAccessMask = change->written,
        .dstAccessMask = change->read,
        .oldLayout = change->from,
        .newLayout = change->to,
        .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .image = im->image,
        .subresourceRange = {im->info.aspect, 0, im->info.levels, 0, 1},
    };
    vkCmdPipelineBarrier(commands, change->after, change->before, 0, 0, NULL, 0, NULL, 1, &barrier);
}
