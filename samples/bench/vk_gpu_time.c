/* SPDX-License-Identifier: MIT */
#include "samples/bench/vk_gpu_time.h"
#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>

#define FAMILIES_MAX 16
#define BITS 64

static uint32_t timestamp_bits(const struct vk_device *d)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;

    vkGetPhysicalDeviceQueueFamilyProperties(d->physical.device, &count, families);
    return d->family < count ? families[d->family].timestampValidBits : 0;
}

int vk_gpu_time_init(struct vk_gpu_time *t, const struct vk_device *d)
{
    const VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2,
    };
    uint32_t bits = timestamp_bits(d);

    *t = (struct vk_gpu_time){0};
    if (bits == 0) {
        fprintf(stderr, "%s does not tell GPU time: its queue has no timestamps\n",
                d->physical.properties.deviceName);
        return -ENOTSUP;
    }
    t->mask = bits < BITS ? (1ull << bits) - 1 : UINT64_MAX;
    t->ns = (double)d->physical.properties.limits.timestampPeriod;
    return vk_check(vkCreateQueryPool(d->device, &info, NULL, &t->pool), "vkCreateQueryPool");
}

void vk_gpu_time_finish(struct vk_gpu_time *t, const struct vk_device *d)
{
    vkDestroyQueryPool(d->device, t->pool, NULL);
    *t = (struct vk_gpu_time){0};
}

void vk_gpu_time_begin(const struct vk_gpu_time *t, VkCommandBuffer commands)
{
    vkCmdResetQueryPool(commands, t->pool, 0, 2);
    vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, t->pool, 0);
}

void vk_gpu_time_end(const struct vk_gpu_time *t, VkCommandBuffer commands)
{
    vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, t->pool, 1);
}

int vk_gpu_time_read(const struct vk_gpu_time *t, const struct vk_device *d, uint64_t *ret_ns)
{
    uint64_t ticks[2] = {0};
    VkResult result =
        vkGetQueryPoolResults(d->device, t->pool, 0, 2, sizeof(ticks), ticks, sizeof(ticks[0]),
                              VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);

    int r = vk_check(result, "vkGetQueryPoolResults");
    if (r == 0)
        *ret_ns = (uint64_t)((double)((ticks[1] - ticks[0]) & t->mask) * t->ns);
    return r;
}
