/* SPDX-License-Identifier: MIT */
#include "samples/vk_texture.h"

#include "samples/vk_buffer.h"
#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All levels, one after the other, take less than half as much again as the first. */
#define TEXELS_BYTES (PATTERN_SIDE * PATTERN_SIDE * 4)
#define LEVELS_BYTES (TEXELS_BYTES + TEXELS_BYTES / 2)

static int fill_levels(uint8_t *to, enum pattern pattern, VkBufferImageCopy *copies)
{
    uint8_t *texels = malloc(TEXELS_BYTES);
    if (!texels) {
        fprintf(stderr, "%s: texture: %s\n", program_invocation_short_name, strerror(ENOMEM));
        return -ENOMEM;
    }
    pattern_fill(texels, pattern);
    VkDeviceSize offset = 0;
    uint32_t side = PATTERN_SIDE;
    for (uint32_t level = 0; level < PATTERN_LEVELS; level++) {
        copies[level] = (VkBufferImageCopy){
            .bufferOffset = offset,
            .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, 0, 1},
            .imageExtent = {side, side, 1},
        };
        memcpy(to + offset, texels, (size_t)side * side * 4);
        offset += (VkDeviceSize)side * side * 4;
        pattern_halve(texels, (int)side);
        side /= 2;
    }
    free(texels);
    return 0;
}

static int upload(struct vk_device *d, const struct vk_image *texture, VkBuffer from,
                  const VkBufferImageCopy *copies)
{
    static const struct vk_image_change to_be_written = {
        VK_IMAGE_LAYOUT_UNDEFINED,
        VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
        VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
        VK_PIPELINE_STAGE_TRANSFER_BIT,
        0,
        VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    static const struct vk_image_change to_be_sampled = {
        VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
        VK_PIPELINE_STAGE_TRANSFER_BIT,       VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT,
        VK_ACCESS_TRANSFER_WRITE_BIT,         VK_ACCESS_SHADER_READ_BIT,
    };
    int r = vk_device_begin(d);
    if (r < 0)
        return r;
    vk_image_change(d->commands, texture, &to_be_written);
    vkCmdCopyBufferToImage(d->commands, from, texture->image, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                           PATTERN_LEVELS, copies);
    vk_image_change(d->commands, texture, &to_be_sampled);
    return vk_device_run(d);
}

int vk_texture_init(struct vk_image *texture, struct vk_device *d, enum pattern pattern)
{
    const struct vk_image_info info = {
        .format = VK_FORMAT_R8G8B8A8_UNORM,
        .width = PATTERN_SIDE,
        .height = PATTERN_SIDE,
        .levels = PATTERN_LEVELS,
        .usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
        .aspect = VK_IMAGE_ASPECT_COLOR_BIT,
    };
    VkBufferImageCopy copies[PATTERN_LEVELS];
    struct vk_buffer staging = {0};
    int r = vk_image_init(texture, d, &info);
    if (r < 0)
        return r;
    r = vk_buffer_init(&staging, d, LEVELS_BYTES, VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                       VK_PLACE_UPLOAD);
    if (r == 0)
        r = fill_levels(staging.map, pattern, copies);
    if (r == 0)
        r = upload(d, texture, staging.buffer, copies);
    vk_buffer_finish(&staging, d);
    if (r < 0)
        vk_image_finish(texture, d);
    return r;
}

int vk_texture_sampler(const struct vk_device *d, VkSampler *ret)
{
    const VkSamplerCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
        .magFilter = VK_FILTER_LINEAR,
        .minFilter = VK_FILTER_LINEAR,
        .mipmapMode = VK_SAMPLER_MIPMAP_MODE_LINEAR,
        .addressModeU = VK_SAMPLER_ADDRESS_MODE_REPEAT,
        .addressModeV = VK_SAMPLER_ADDRESS_MODE_REPEAT,
        .addressModeW = VK_SAMPLER_ADDRESS_MODE_REPEAT,
        .maxLod = VK_LOD_CLAMP_NONE,
    };
    return vk_check(vkCreateSampler(d->device, &info, NULL, ret), "vkCreateSampler");
}
