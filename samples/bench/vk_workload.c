/* SPDX-License-Identifier: MIT */
#include "samples/bench/vk_workload.h"
#include "samples/draw_frag.h"
#include "samples/draw_vert.h"
#include "samples/fill_comp.h"
#include "samples/vk_layout.h"
#include "samples/vk_pipeline.h"
#include "samples/vk_result.h"
#include "samples/vk_target.h"

#include <string.h>

#define SIDE WORKLOAD_SIDE
#define GROUP 8 /* invocations a side of fill.comp's work groups */
#define DRAWS 1000
#define SUBMITS 100
#define BUFFERS 100
#define BUFFER_BYTES 4096
#define ALLOCATION_BYTES (1 << 20)
#define UPLOAD_SIDE 1024            /* × 4 bytes each way: 4 MiB */
#define MEMCPY_BYTES (16 * 1048576) /* more than caches hold, for most */

/* One workload runs at a time, so they share these; empty is what a workload does not need. */
static struct vk_device device;
static struct vk_target target;
static struct vk_image image;
static struct vk_buffer buffer;
static struct vk_layout layout;
static VkPipeline pipeline;
static uint32_t memory_type;
static uint8_t data[MEMCPY_BYTES];

/* ---- parts ---------------------------------------------------------------------------------- */

int vk_workload_open(const char *which)
{
    return vk_device_open(&device, which, VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT);
}

const char *vk_workload_renderer(void)
{
    return device.physical.properties.deviceName;
}

void vk_workload_close(void)
{
    (void)vkDeviceWaitIdle(device.device);
    vkDestroyPipeline(device.device, pipeline, NULL);
    pipeline = VK_NULL_HANDLE;
    vk_layout_finish(&layout, &device);
    vk_buffer_finish(&buffer, &device);
    vk_image_finish(&image, &device);
    vk_target_finish(&target, &device);
    vk_device_close(&device);
}

/* Begins commands that are recorded once and submitted often. */
static int begin_for_ever(VkCommandBufferUsageFlags flags)
{
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = flags,
    };

    return vk_check(vkBeginCommandBuffer(device.commands, &info), "vkBeginCommandBuffer");
}

static int end(void)
{
    return vk_check(vkEndCommandBuffer(device.commands), "vkEndCommandBuffer");
}

static int submit(uint32_t command_buffers, VkFence fence)
{
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = command_buffers,
        .pCommandBuffers = &device.commands,
    };

    return vk_check(vkQueueSubmit(device.queue, 1, &info, fence), "vkQueueSubmit");
}

static int submit_and_wait(uint32_t number)
{
    int r = submit(1, device.fence);

    return r < 0 ? r : vk_device_wait(&device);
}

/* ---- submits -------------------------------------------------------------------------------- */

static int submit_nothing(uint32_t number)
{
    int r = submit(0, device.fence);

    return r < 0 ? r : vk_device_wait(&device);
}

/* Each with so many command buffers, the fence with the last. */
static int submit_often(uint32_t command_buffers)
{
    for (unsigned i = 1; i < SUBMITS; i++) {
        int r = submit(command_buffers, VK_NULL_HANDLE);
        if (r < 0)
            return r;
    }
    int r = submit(command_buffers, device.fence);
    return r < 0 ? r : vk_device_wait(&device);
}

static int submit_nothing_often(uint32_t number)
{
    return submit_often(0);
}

static int set_up_empty(void)
{
    int r = begin_for_ever(VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT);

    return r < 0 ? r : end();
}

static int submit_empty_often(uint32_t number)
{
    return submit_often(1);
}

/* ---- GPU work ------------------------------------------------------------------------------- */

static int make_fill(VkDescriptorSet *ret)
{
    static const struct vk_layout_info info = {
        .types = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER},
        .bindings = 1,
        .sets = 1,
        .stages = VK_SHADER_STAGE_COMPUTE_BIT,
    };

    int r = vk_buffer_init(&buffer, &device, SIDE * SIDE * 4, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                           VK_PLACE_DEVICE);
    if (r == 0)
        r = vk_layout_init(&layout, &device, &info);
    if (r == 0)
        r = vk_layout_set(&layout, &device, ret);
    if (r < 0)
        return r;
    vk_set_buffer(&device, *ret, 0, info.types[0], &buffer);
    return vk_pipeline_compute(&device, VK_SHADER(fill_comp), layout.pipeline, &pipeline);
}

static int set_up_fill(void)
{
    VkDescriptorSet set = VK_NULL_HANDLE;
    /* One round after the other. */
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
    };

    int r = make_fill(&set);
    if (r == 0)
        r = begin_for_ever(0);
    if (r < 0)
        return r;
    vkCmdPipelineBarrier(device.commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                         VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    vkCmdBindPipeline(device.commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdBindDescriptorSets(device.commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout.pipeline, 0, 1,
                            &set, 0, NULL);
    vkCmdDispatch(device.commands, SIDE / GROUP, SIDE / GROUP, 1);
    return end();
}

static int set_up_draws(void)
{
    static const struct vk_layout_info info = {
        .stages = VK_SHADER_STAGE_FRAGMENT_BIT,
        .push_bytes = 4 * sizeof(float),
    };

    int r = vk_target_init(&target, &device, SIDE, SIDE, false);
    if (r == 0)
        r = vk_layout_init(&layout, &device, &info);
    if (r < 0)
        return r;
    const struct vk_graphics graphics = {
        .vertex = VK_SHADER(draw_vert),
        .fragment = VK_SHADER(draw_frag),
        .layout = layout.pipeline,
        .pass = target.pass,
    };
    return vk_pipeline_graphics(&device, &graphics, &pipeline);
}

static void record_draws(uint32_t number)
{
    const float background[4] = {(number & 255) / 255.0f, 0.5f, 0.25f, 1};

    vk_target_begin(&target, device.commands, background);
    vkCmdBindPipeline(device.commands, VK_PIPELINE_BIND_POINT_GRAPHICS, pipeline);
    for (unsigned i = 0; i < DRAWS; i++) {
        const float colour[4] = {i / (float)DRAWS, (number & 255) / 255.0f, 0, 1};
        vkCmdPushConstants(device.commands, layout.pipeline, VK_SHADER_STAGE_FRAGMENT_BIT, 0,
                           sizeof(colour), colour);
        vkCmdDraw(device.commands, 3, 1, 0, 0);
    }
    vk_target_end(device.commands);
}

static int draws(uint32_t number)
{
    int r = vk_device_begin(&device);

    if (r < 0)
        return r;
    record_draws(number);
    return vk_device_run(&device);
}

static int set_up_recorded_draws(void)
{
    int r = set_up_draws();

    if (r == 0)
        r = begin_for_ever(0);
    if (r < 0)
        return r;
    record_draws(0);
    return end();
}

/* ---- data ----------------------------------------------------------------------------------- */

static int set_up_upload(void)
{
    static const struct vk_image_info info = {
        .format = VK_FORMAT_R8G8B8A8_UNORM,
        .width = UPLOAD_SIDE,
        .height = UPLOAD_SIDE,
        .levels = 1,
        .usage = VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_SAMPLED_BIT,
        .aspect = VK_IMAGE_ASPECT_COLOR_BIT,
    };

    int r = vk_image_init(&image, &device, &info);
    return r < 0 ? r
                 : vk_buffer_init(&buffer, &device, UPLOAD_SIDE * UPLOAD_SIDE * 4,
                                  VK_BUFFER_USAGE_TRANSFER_SRC_BIT, VK_PLACE_UPLOAD);
}

static int upload(uint32_t number)
{
    static const struct vk_image_change before = {
        .from = VK_IMAGE_LAYOUT_UNDEFINED,
        .to = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
        .after = VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT,
        .before = VK_PIPELINE_STAGE_TRANSFER_BIT,
        .read = VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    static const struct vk_image_change after = {
        .from = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
        .to = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
        .after = VK_PIPELINE_STAGE_TRANSFER_BIT,
        .before = VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT,
        .written = VK_ACCESS_TRANSFER_WRITE_BIT,
        .read = VK_ACCESS_SHADER_READ_BIT,
    };
    static const VkBufferImageCopy all = {
        .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
        .imageExtent = {UPLOAD_SIDE, UPLOAD_SIDE, 1},
    };

    int r = vk_device_begin(&device);
    if (r < 0)
        return r;
    memset(data, (int)number, 4096);
    memcpy(buffer.map, data, buffer.bytes);
    vk_image_change(device.commands, &image, &before);
    vkCmdCopyBufferToImage(device.commands, buffer.buffer, image.image,
                           VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &all);
    vk_image_change(device.commands, &image, &after);
    return vk_device_run(&device);
}

/* The target is cleared once, and read again and again. */
static int set_up_readback(void)
{
    static const float background[4] = {0.5f, 0.25f, 0.75f, 1};

    int r = vk_target_init(&target, &device, SIDE, SIDE, false);
    if (r == 0)
        r = vk_buffer_init(&buffer, &device, SIDE * SIDE * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                           VK_PLACE_READBACK);
    if (r == 0)
        r = vk_device_begin(&device);
    if (r < 0)
        return r;
    vk_target_begin(&target, device.commands, background);
    vk_target_end(device.commands);
    return vk_device_run(&device);
}

static int readback(uint32_t number)
{
    static const VkBufferImageCopy all = {
        .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
        .imageExtent = {SIDE, SIDE, 1},
    };

    int r = vk_device_begin(&device);
    if (r < 0)
        return r;
    vkCmdCopyImageToBuffer(device.commands, target.color.image,
                           VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, buffer.buffer, 1, &all);
    vk_buffer_to_host(device.commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                      VK_ACCESS_TRANSFER_WRITE_BIT);
    r = vk_device_run(&device);
    if (r == 0)
        memcpy(data, buffer.map, buffer.bytes);
    return r;
}

static int set_up_memcpy(void)
{
    return vk_buffer_init(&buffer, &device, MEMCPY_BYTES, VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                          VK_PLACE_UPLOAD);
}

static int copy_to_mapped(uint32_t number)
{
    memset(data, (int)number, 4096);
    memcpy(buffer.map, data, MEMCPY_BYTES);
    return 0;
}

/* ---- objects -------------------------------------------------------------------------------- */

static int set_up_allocation(void)
{
    int type = vk_memory_type(&device, UINT32_MAX, VK_PLACE_UPLOAD);

    if (type < 0)
        return type;
    memory_type = (uint32_t)type;
    return 0;
}

static int alloc_map_free(uint32_t number)
{
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = ALLOCATION_BYTES,
        .memoryTypeIndex = memory_type,
    };
    VkDeviceMemory memory;
    void *map;

    int r = vk_check(vkAllocateMemory(device.device, &info, NULL, &memory), "vkAllocateMemory");
    if (r < 0)
        return r;
    r = vk_check(vkMapMemory(device.device, memory, 0, VK_WHOLE_SIZE, 0, &map), "vkMapMemory");
    if (r == 0)
        vkUnmapMemory(device.device, memory);
    vkFreeMemory(device.device, memory, NULL);
    return r;
}

static int create_buffers(uint32_t number)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = BUFFER_BYTES,
        .usage = VK_BUFFER_USAGE_VERTEX_BUFFER_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    VkBuffer buffers[BUFFERS];
    unsigned made = 0;
    int r = 0;

    while (made < BUFFERS && r == 0) {
        r = vk_check(vkCreateBuffer(device.device, &info, NULL, &buffers[made]), "vkCreateBuffer");
        made += r == 0;
    }
    while (made > 0)
        vkDestroyBuffer(device.device, buffers[--made], NULL);
    return r;
}

const struct workload vk_workloads[] = {
    {"submit-wait", "a submit without command buffers, then its fence", NULL, submit_nothing, 1,
     "submits/s"},
    {"submits", "100 submits without command buffers, then a fence", NULL, submit_nothing_often,
     SUBMITS, "submits/s"},
    {"submits-commands", "100 submits of an empty command buffer, then a fence", set_up_empty,
     submit_empty_often, SUBMITS, "submits/s"},
    {"compute-fill", "a long compute shader for each of 512x512 numbers", set_up_fill,
     submit_and_wait},
    {"draws-recorded", "1000 draws, recorded each time", set_up_draws, draws},
    {"draws-prerecorded", "1000 draws, recorded once", set_up_recorded_draws, submit_and_wait},
    {"upload", "4 MiB written and copied to an image", set_up_upload, upload, 1, "uploads/s"},
    {"readback", "1 MiB of an image copied and read", set_up_readback, readback, 1, "readbacks/s"},
    {"memcpy", "16 MiB written to mapped memory", set_up_memcpy, copy_to_mapped, MEMCPY_BYTES / 1e9,
     "GB/s"},
    {"alloc-map-free", "1 MiB allocated, mapped, freed", set_up_allocation, alloc_map_free, 1,
     "rounds/s"},
    {"create-buffers", "100 buffers of 4 KiB made and destroyed", NULL, create_buffers, 1,
     "rounds/s"},
};
const unsigned vk_workload_count = sizeof(vk_workloads) / sizeof(vk_workloads[0]);
