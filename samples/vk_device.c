/* SPDX-License-Identifier: MIT */
#include "samples/vk_device.h"

#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>

#define FAMILIES_MAX 32

static int find_family(const struct vk_device *d, VkQueueFlags needs, uint32_t *ret)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;
    vkGetPhysicalDeviceQueueFamilyProperties(d->physical.device, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if ((families[i].queueFlags & needs) == needs) {
            *ret = i;
            return 0;
        }
    }
    fprintf(stderr, "%s: %s has no queue for this work; vk-info --list shows other devices\n",
            program_invocation_short_name, d->physical.properties.deviceName);
    return -ENOTSUP;
}

static int create_device(struct vk_device *d)
{
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = d->family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    int r = vk_check(vkCreateDevice(d->physical.device, &info, NULL, &d->device), "vkCreateDevice");
    if (r == 0)
        vkGetDeviceQueue(d->device, d->family, 0, &d->queue);
    return r;
}

static int create_commands(struct vk_device *d)
{
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = d->family,
    };
    int r = vk_check(vkCreateCommandPool(d->device, &pool, NULL, &d->pool), "vkCreateCommandPool");
    if (r < 0)
        return r;
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    r = vk_check(vkAllocateCommandBuffers(d->device, &commands, &d->commands),
                 "vkAllocateCommandBuffers");
    if (r < 0)
        return r;
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return vk_check(vkCreateFence(d->device, &fence, NULL, &d->fence), "vkCreateFence");
}

int vk_device_open(struct vk_device *d, const char *which, VkQueueFlags needs)
{
    *d = (struct vk_device){0};
    int r = vk_physical_open(&d->physical);
    if (r < 0)
        return r;
    r = vk_physical_choose(&d->physical, which);
    if (r == 0)
        r = find_family(d, needs, &d->family);
    if (r == 0)
        r = create_device(d);
    if (r == 0)
        r = create_commands(d);
    if (r < 0)
        vk_device_close(d);
    return r;
}

void vk_device_close(struct vk_device *d)
{
    if (d->device) {
        (void)vkDeviceWaitIdle(d->device);
        vkDestroyFence(d->device, d->fence, NULL);
        vkDestroyCommandPool(d->device, d->pool, NULL);
        vkDestroyDevice(d->device, NULL);
    }
    vk_physical_close(&d->physical);
    *d = (struct vk_device){0};
}

int vk_device_begin(struct vk_device *d)
{
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    return vk_check(vkBeginCommandBuffer(d->commands, &info), "vkBeginCommandBuffer");
}

int vk_device_run(struct vk_device *d)
{
    int r = vk_check(vkEndCommandBuffer(d->commands), "vkEndCommandBuffer");
    if (r < 0)
        return r;
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &d->commands,
    };
    r = vk_check(vkQueueSubmit(d->queue, 1, &submit, d->fence), "vkQueueSubmit");
    return r < 0 ? r : vk_device_wait(d);
}

int vk_device_wait(struct vk_device *d)
{
    int r =
        vk_check(vkWaitForFences(d->device, 1, &d->fence, VK_TRUE, UINT64_MAX), "vkWaitForFences");
    return r < 0 ? r : vk_check(vkResetFences(d->device, 1, &d->fence), "vkResetFences");
}
