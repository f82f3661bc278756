/* SPDX-License-Identifier: MIT */
#include "samples/vk_target.h"

#include "samples/png_io.h"
#include "samples/vk_buffer.h"
#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COLOR_FORMAT VK_FORMAT_R8G8B8A8_UNORM

/* Every device has one of these. */
static VkFormat depth_format(const struct vk_device *d)
{
    VkFormatProperties properties;
    vkGetPhysicalDeviceFormatProperties(d->physical.device, VK_FORMAT_D32_SFLOAT, &properties);
    return properties.optimalTilingFeatures & VK_FORMAT_FEATURE_DEPTH_STENCIL_ATTACHMENT_BIT
               ? VK_FORMAT_D32_SFLOAT
               : VK_FORMAT_X8_D24_UNORM_PACK32;
}

static int create_images(struct vk_target *t, const struct vk_device *d)
{
    const struct vk_image_info color = {
        .format = COLOR_FORMAT,
        .width = t->width,
        .height = t->height,
        .levels = 1,
        .usage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
        .aspect = VK_IMAGE_ASPECT_COLOR_BIT,
    };
    int r = vk_image_init(&t->color, d, &color);
    if (r < 0 || !t->has_depth)
        return r;
    const struct vk_image_info depth = {
        .format = depth_format(d),
        .width = t->width,
        .height = t->height,
        .levels = 1,
        .usage = VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT,
        .aspect = VK_IMAGE_ASPECT_DEPTH_BIT,
    };
    return vk_image_init(&t->depth, d, &depth);
}

static int create_pass(struct vk_target *t, const struct vk_device *d)
{
    const VkAttachmentDescription attachments[] = {
        {
            .format = t->color.info.format,
            .samples = VK_SAMPLE_COUNT_1_BIT,
            .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
            .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
            .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
            .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
            .initialLayout = VK_IMAGE_LAYOUT_UNDEFINED,
            .finalLayout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
        },
        {
            .format = t->depth.info.format,
            .samples = VK_SAMPLE_COUNT_1_BIT,
            .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
            .storeOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
            .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
            .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
            .initialLayout = VK_IMAGE_LAYOUT_UNDEFINED,
            .finalLayout = VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL,
        },
    };
    const VkAttachmentReference color = {0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    const VkAttachmentReference depth = {1, VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL};
    const VkSubpassDescription subpass = {
        .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS,
        .colorAttachmentCount = 1,
        .pColorAttachments = &color,
        .pDepthStencilAttachment = t->has_depth ? &depth : NULL,
    };
    /* Passes follow each other without the CPU between them, and a copy may follow the last. */
    const VkPipelineStageFlags draws = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT |
                                       VK_PIPELINE_STAGE_EARLY_FRAGMENT_TESTS_BIT |
                                       VK_PIPELINE_STAGE_LATE_FRAGMENT_TESTS_BIT;
    const VkAccessFlags writes =
        VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT | VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_WRITE_BIT;
    const VkAccessFlags reads =
        VK_ACCESS_COLOR_ATTACHMENT_READ_BIT | VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_READ_BIT;
    const VkSubpassDependency dependencies[] = {
        {
            .srcSubpass = VK_SUBPASS_EXTERNAL,
            .dstSubpass = 0,
            .srcStageMask = draws | VK_PIPELINE_STAGE_TRANSFER_BIT,
            .dstStageMask = draws,
            .srcAccessMask = writes,
            .dstAccessMask = writes | reads,
        },
        {
            .srcSubpass = 0,
            .dstSubpass = VK_SUBPASS_EXTERNAL,
            .srcStageMask = draws,
            .dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT,
            .srcAccessMask = writes,
            .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT,
        },
    };
    const VkRenderPassCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
        .attachmentCount = t->has_depth ? 2 : 1,
        .pAttachments = attachments,
        .subpassCount = 1,
        .pSubpasses = &subpass,
        .dependencyCount = sizeof(dependencies) / sizeof(dependencies[0]),
        .pDependencies = dependencies,
    };
    return vk_check(vkCreateRenderPass(d->device, &info, NULL, &t->pass), "vkCreateRenderPass");
}

static int create_framebuffer(struct vk_target *t, const struct vk_device *d)
{
    const VkImageView views[] = {t->color.view, t->depth.view};
    const VkFramebufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO,
        .renderPass = t->pass,
        .attachmentCount = t->has_depth ? 2 : 1,
        .pAttachments = views,
        .width = t->width,
        .height = t->height,
        .layers = 1,
    };
    return vk_check(vkCreateFramebuffer(d->device, &info, NULL, &t->framebuffer),
                    "vkCreateFramebuffer");
}

static int check_size(const struct vk_device *d, uint32_t width, uint32_t height)
{
    const VkPhysicalDeviceLimits *limits = &d->physical.properties.limits;
    uint32_t max_width = limits->maxFramebufferWidth, max_height = limits->maxFramebufferHeight;
    if (limits->maxImageDimension2D < max_width)
        max_width = limits->maxImageDimension2D;
    if (limits->maxImageDimension2D < max_height)
        max_height = limits->maxImageDimension2D;
    if (width <= max_width && height <= max_height)
        return 0;
    fprintf(stderr, "%s: %ux%u is too large for %s, which draws up to %ux%u: use --size\n",
            program_invocation_short_name, width, height, d->physical.properties.deviceName,
            max_width, max_height);
    return -EINVAL;
}

int vk_target_init(struct vk_target *t, const struct vk_device *d, uint32_t width, uint32_t height,
                   bool has_depth)
{
    *t = (struct vk_target){.width = width, .height = height, .has_depth = has_depth};
    int r = check_size(d, width, height);
    if (r == 0)
        r = create_images(t, d);
    if (r == 0)
        r = create_pass(t, d);
    if (r == 0)
        r = create_framebuffer(t, d);
    if (r < 0)
        vk_target_finish(t, d);
    return r;
}

void vk_target_finish(struct vk_target *t, const struct vk_device *d)
{
    vkDestroyFramebuffer(d->device, t->framebuffer, NULL);
    vkDestroyRenderPass(d->device, t->pass, NULL);
    vk_image_finish(&t->depth, d);
    vk_image_finish(&t->color, d);
    *t = (struct vk_target){0};
}

void vk_target_begin(const struct vk_target *t, VkCommandBuffer commands, const float color[4])
{
    const VkClearValue clear[] = {
        {.color = {.float32 = {color[0], color[1], color[2], color[3]}}},
        {.depthStencil = {.depth = 1}},
    };
    const VkRenderPassBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO,
        .renderPass = t->pass,
        .framebuffer = t->framebuffer,
        .renderArea = {.extent = {t->width, t->height}},
        .clearValueCount = t->has_depth ? 2 : 1,
        .pClearValues = clear,
    };
    /* A height below zero turns y around; Vulkan 1.1 has that without asking. */
    const VkViewport viewport = {
        0, (float)t->height, (float)t->width, -(float)t->height, 0, 1,
    };
    const VkRect2D scissor = {.extent = {t->width, t->height}};
    vkCmdBeginRenderPass(commands, &info, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdSetViewport(commands, 0, 1, &viewport);
    vkCmdSetScissor(commands, 0, 1, &scissor);
}

void vk_target_end(VkCommandBuffer commands)
{
    vkCmdEndRenderPass(commands);
}

static int read_back(const struct vk_target *t, struct vk_device *d, const struct vk_buffer *to)
{
    int r = vk_device_begin(d);
    if (r < 0)
        return r;
    const VkBufferImageCopy copy = {
        .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
        .imageExtent = {t->width, t->height, 1},
    };
    vkCmdCopyImageToBuffer(d->commands, t->color.image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                           to->buffer, 1, &copy);
    vk_buffer_to_host(d->commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    return vk_device_run(d);
}

int vk_target_write_png(const struct vk_target *t, struct vk_device *d, const char *path)
{
    size_t stride = (size_t)t->width * 4;
    struct vk_buffer pixels;
    int r = vk_buffer_init(&pixels, d, stride * t->height, VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                           VK_PLACE_READBACK);
    if (r < 0)
        return r;
    r = read_back(t, d, &pixels);
    if (r == 0) {
        r = png_write_rgba(path, pixels.map, t->width, t->height, stride);
        if (r < 0)
            fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(-r));
    }
    vk_buffer_finish(&pixels, d);
    return r;
}
