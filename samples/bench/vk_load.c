/* SPDX-License-Identifier: MIT */
/*
 * vk-load: gl-load's frames with Vulkan. A frame is one vkQueueSubmit; its draws are in one command
 * buffer, which nobody can divide, or in several VkSubmitInfos, between which the GPU can be given
 * to others. Who runs it: the benchmarks of sharing, several at once; it trusts its command line
 * and ends by itself.
 */
#include "samples/bench/load_main.h"
#include "samples/bench/vk_gpu_time.h"
#include "samples/fullscreen_vert.h"
#include "samples/load_frag.h"
#include "samples/vk_layout.h"
#include "samples/vk_pipeline.h"
#include "samples/vk_result.h"
#include "samples/vk_target.h"

#include <stdio.h>

#define SUBMITS_MAX 1000

static const char *device_name; /* NULL = the default */
static uint32_t submits = 1;
static bool asks_gpu_time;

static struct vk_device device;
static struct vk_target target;
static struct vk_layout layout;
static VkPipeline pipeline;
static VkCommandBuffer commands[SUBMITS_MAX];
static struct vk_gpu_time gpu_time;
static uint64_t last_gpu_ns;

/* ---- what frames need ----------------------------------------------------------------------- */

static void close_device(void)
{
    (void)vkDeviceWaitIdle(device.device);
    vk_gpu_time_finish(&gpu_time, &device);
    vkDestroyPipeline(device.device, pipeline, NULL);
    vk_layout_finish(&layout, &device);
    vk_target_finish(&target, &device);
    vk_device_close(&device);
}

static int make_pipeline(void)
{
    static const struct vk_layout_info info = {
        .stages = VK_SHADER_STAGE_FRAGMENT_BIT,
        .push_bytes = sizeof(uint32_t),
    };
    int r = vk_layout_init(&layout, &device, &info);
    if (r < 0)
        return r;
    const struct vk_graphics graphics = {
        .vertex = VK_SHADER(fullscreen_vert),
        .fragment = VK_SHADER(load_frag),
        .layout = layout.pipeline,
        .pass = target.pass,
        /* What a draw would hide, a driver need not draw: so nothing is hidden. */
        .add = true,
    };
    return vk_pipeline_graphics(&device, &graphics, &pipeline);
}

static int allocate_commands(void)
{
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = device.pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = submits,
    };
    return vk_check(vkAllocateCommandBuffers(device.device, &info, commands),
                    "vkAllocateCommandBuffers");
}

static int open_device(void)
{
    int r = vk_device_open(&device, device_name, VK_QUEUE_GRAPHICS_BIT);
    if (r < 0)
        return r;
    r = vk_target_init(&target, &device, LOAD_SIDE, LOAD_SIDE, false);
    if (r == 0)
        r = make_pipeline();
    if (r == 0)
        r = allocate_commands();
    if (r == 0 && asks_gpu_time)
        r = vk_gpu_time_init(&gpu_time, &device);
    if (r < 0)
        close_device();
    return r;
}

/* ---- frames --------------------------------------------------------------------------------- */

/* The draws from first to before end. */
static int record(VkCommandBuffer to, const struct load_frame *frame, uint32_t first, uint32_t end)
{
    static const float black[4] = {0, 0, 0, 1};
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    int r = vk_check(vkBeginCommandBuffer(to, &info), "vkBeginCommandBuffer");
    if (r < 0)
        return r;
    if (asks_gpu_time && first == 0)
        vk_gpu_time_begin(&gpu_time, to);
    vk_target_begin(&target, to, black);
    vkCmdBindPipeline(to, VK_PIPELINE_BIND_POINT_GRAPHICS, pipeline);
    for (uint32_t i = first; i < end; i++) {
        uint32_t rounds = load_frame_part(frame, i);
        vkCmdPushConstants(to, layout.pipeline, VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof(rounds),
                           &rounds);
        vkCmdDraw(to, 3, 1, 0, 0);
    }
    vk_target_end(to);
    if (asks_gpu_time && end == frame->draws)
        vk_gpu_time_end(&gpu_time, to);
    return vk_check(vkEndCommandBuffer(to), "vkEndCommandBuffer");
}

static int draw(const struct load_frame *frame)
{
    VkSubmitInfo infos[SUBMITS_MAX];
    uint32_t count = submits < frame->draws ? submits : frame->draws;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = (uint32_t)((uint64_t)frame->draws * i / count);
        uint32_t end = (uint32_t)((uint64_t)frame->draws * (i + 1) / count);
        int r = record(commands[i], frame, first, end);
        if (r < 0)
            return r;
        infos[i] = (VkSubmitInfo){
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
            .commandBufferCount = 1,
            .pCommandBuffers = &commands[i],
        };
    }
    int r = vk_check(vkQueueSubmit(device.queue, count, infos, device.fence), "vkQueueSubmit");
    if (r == 0)
        r = vk_device_wait(&device);
    if (r == 0 && asks_gpu_time)
        r = vk_gpu_time_read(&gpu_time, &device, &last_gpu_ns);
    return r;
}

/* Each frame has been checked. */
static int check(void)
{
    return 0;
}

static uint64_t gpu_ns(void)
{
    return last_gpu_ns;
}

static const char *renderer(void)
{
    return device.physical.properties.deviceName;
}

/* ---- program -------------------------------------------------------------------------------- */

enum { DEVICE = LOAD_OPTION_FIRST, SUBMITS, GPU_TIME };

static bool parse(int val, const char *arg)
{
    if (val == SUBMITS)
        return load_parse_count(arg, SUBMITS_MAX, &submits);
    if (val == DEVICE)
        device_name = arg;
    else
        asks_gpu_time = true;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"submits", required_argument, NULL, SUBMITS},
        {"gpu-time", no_argument, NULL, GPU_TIME},
        {"device", required_argument, NULL, DEVICE},
        {0},
    };
    static const struct load_driver driver = {
        .program = "vk-load",
        .help =
            "  --submits N       parts of a frame's one vkQueueSubmit that share its draws (1)\n"
            "  --gpu-time        report what the GPU's timestamps say of the frames, too\n"
            "  --device D        number or part of the name (the first that is no CPU, else the\n"
            "                    first); vk-info --list shows them\n",
        .known = known,
        .parse = parse,
        .open = open_device,
        .draw = draw,
        .check = check,
        .gpu_ns = gpu_ns,
        .renderer = renderer,
        .close = close_device,
    };
    return load_main(&driver, argc, argv);
}
