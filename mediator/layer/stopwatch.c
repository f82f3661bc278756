/* SPDX-License-Identifier: MIT */
#include "mediator/layer/stopwatch.h"

#include "mediator/base/util.h"
#include "mediator/layer/clock.h"
#include "mediator/layer/device.h"

/* More than the lease lets be in flight at a time. */
#define STAMPS 64u

/* The two clocks drift by some parts in a million. */
#define CALIBRATE_EVERY_NS 500000000u

struct stopwatch {
    struct layer_device *device; /* borrowed */
    VkQueryPool queries;         /* owned */
    VkCommandPool pool;          /* owned */
    VkCommandBuffer stamps[STAMPS];
    uint64_t stamped[STAMPS]; /* the value that each was last used for; atomic */
    uint64_t complete;        /* atomic */
    uint32_t valid_bits;
    /* The same moment on both clocks. */
    uint64_t at_ticks, at_ns;
};

static bool record(struct stopwatch *w, uint32_t family)
{
    struct layer_device *d = w->device;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = family};
    const VkQueryPoolCreateInfo queries = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                           .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                           .queryCount = STAMPS};
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};

    if (d->table.CreateCommandPool(d->handle, &pool, NULL, &w->pool) != VK_SUCCESS ||
        d->table.CreateQueryPool(d->handle, &queries, NULL, &w->queries) != VK_SUCCESS)
        return false;
    const VkCommandBufferAllocateInfo buffers = {.sType =
                                                     VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                 .commandPool = w->pool,
                                                 .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                 .commandBufferCount = STAMPS};
    if (d->table.AllocateCommandBuffers(d->handle, &buffers, w->stamps) != VK_SUCCESS)
        return false;
    for (uint32_t i = 0; i < STAMPS; i++) {
        /* They did not come by way of the loader, which sets this for others. */
        if (d->set_loader_data && d->set_loader_data(d->handle, w->stamps[i]) != VK_SUCCESS)
            return false;
        if (d->table.BeginCommandBuffer(w->stamps[i], &begin) != VK_SUCCESS)
            return false;
        d->table.CmdResetQueryPool(w->stamps[i], w->queries, i, 1);
        d->table.CmdWriteTimestamp(w->stamps[i], VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, w->queries,
                                   i);
        if (d->table.EndCommandBuffer(w->stamps[i]) != VK_SUCCESS)
            return false;
    }
    return true;
}

static bool calibrate(struct stopwatch *w)
{
    const VkCalibratedTimestampInfoKHR infos[] = {
        {.sType = VK_STRUCTURE_TYPE_CALIBRATED_TIMESTAMP_INFO_KHR,
         .timeDomain = VK_TIME_DOMAIN_DEVICE_KHR},
        {.sType = VK_STRUCTURE_TYPE_CALIBRATED_TIMESTAMP_INFO_KHR,
         .timeDomain = VK_TIME_DOMAIN_CLOCK_MONOTONIC_KHR},
    };
    struct layer_device *d = w->device;
    uint64_t now[2], deviation;

    if (d->table.GetCalibratedTimestampsKHR(d->handle, 2, infos, now, &deviation) != VK_SUCCESS)
        return false;
    w->at_ticks = now[0];
    w->at_ns = now[1];
    return true;
}

struct stopwatch *stopwatch_create(struct layer_device *d, uint32_t family)
{
    const char *forced =
        getenv("ALIQUOT_LAYER_STOPWATCH"); /* the renderer's environment, for tests */

    if (family >= d->family_count || !d->has_calibration || (d->is_software && !forced))
        return NULL;
    const VkQueueFamilyProperties *properties = &d->families[family];
    if (properties->timestampValidBits == 0 ||
        !(properties->queueFlags & (VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT)))
        return NULL;
    struct stopwatch *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->device = d;
    w->valid_bits = properties->timestampValidBits;
    if (!calibrate(w) || !record(w, family)) {
        stopwatch_destroy(w);
        return NULL;
    }
    return w;
}

void stopwatch_destroy(struct stopwatch *w)
{
    if (!w)
        return;
    struct layer_device *d = w->device;
    d->table.DestroyQueryPool(d->handle, w->queries, NULL);
    d->table.DestroyCommandPool(d->handle, w->pool, NULL);
    free(w);
}

VkCommandBuffer stopwatch_stamp(struct stopwatch *w, uint64_t value)
{
    if (value > STAMPS && __atomic_load_n(&w->complete, __ATOMIC_ACQUIRE) < value - STAMPS)
        return VK_NULL_HANDLE;
    __atomic_store_n(&w->stamped[value % STAMPS], value, __ATOMIC_RELEASE);
    return w->stamps[value % STAMPS];
}

bool stopwatch_read(struct stopwatch *w, uint64_t value, uint64_t *ret_ns)
{
    struct layer_device *d = w->device;
    uint32_t stamp = (uint32_t)(value % STAMPS), unused_bits = 64 - w->valid_bits;
    uint64_t ticks, now_ns = clock_now_ns();

    if (__atomic_load_n(&w->stamped[stamp], __ATOMIC_ACQUIRE) != value ||
        d->table.GetQueryPoolResults(d->handle, w->queries, stamp, 1, sizeof(ticks), &ticks,
                                     sizeof(ticks), VK_QUERY_RESULT_64_BIT) != VK_SUCCESS)
        return false;
    if (now_ns - w->at_ns > CALIBRATE_EVERY_NS && !calibrate(w))
        return false;
    /* Before or after that moment; the counter may have wrapped. */
    int64_t apart = (int64_t)((ticks - w->at_ticks) << unused_bits) >> unused_bits;
    *ret_ns = w->at_ns + (uint64_t)(int64_t)((double)apart * (double)d->timestamp_period_ns);
    return true;
}

void stopwatch_complete(struct stopwatch *w, uint64_t value)
{
    __atomic_store_n(&w->complete, value, __ATOMIC_RELEASE);
}
