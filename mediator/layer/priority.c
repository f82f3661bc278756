/* SPDX-License-Identifier: MIT */
#include "mediator/layer/priority.h"

#include "mediator/base/util.h"
#include "mediator/layer/dispatch.h"

#include <string.h>

bool priority_parse(const char *text, VkQueueGlobalPriority *ret)
{
    static const struct {
        const char *name;
        VkQueueGlobalPriority priority;
    } names[] = {
        {"low", VK_QUEUE_GLOBAL_PRIORITY_LOW},
        {"medium", VK_QUEUE_GLOBAL_PRIORITY_MEDIUM},
        {"high", VK_QUEUE_GLOBAL_PRIORITY_HIGH},
    };

    if (!text)
        text = "medium";
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i].name, text) == 0) {
            *ret = names[i].priority;
            return true;
        }
    }
    return false;
}

/* The application's, which belong to it, but only we see them during the call. */
static VkDeviceQueueGlobalPriorityCreateInfo *theirs_of(const VkDeviceQueueCreateInfo *queue)
{
    return (VkDeviceQueueGlobalPriorityCreateInfo *)dispatch_in_chain(
        queue->pNext, VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO);
}

/* Puts the priority into all queues of ours, which is a copy of info; no higher than their own.
 * was: their own, to be put back by restore(). */
static void apply(const VkDeviceCreateInfo *info, VkDeviceQueueCreateInfo *queues,
                  VkDeviceQueueGlobalPriorityCreateInfo *ours, VkQueueGlobalPriority *was,
                  VkQueueGlobalPriority priority)
{
    for (uint32_t i = 0; i < info->queueCreateInfoCount; i++) {
        VkDeviceQueueGlobalPriorityCreateInfo *theirs = theirs_of(&info->pQueueCreateInfos[i]);

        queues[i] = info->pQueueCreateInfos[i];
        if (theirs) {
            was[i] = theirs->globalPriority;
            theirs->globalPriority = MIN(was[i], priority);
        } else if (priority != VK_QUEUE_GLOBAL_PRIORITY_MEDIUM) { /* which is what it is without */
            ours[i] = (VkDeviceQueueGlobalPriorityCreateInfo){
                .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO,
                .pNext = queues[i].pNext,
                .globalPriority = priority};
            queues[i].pNext = &ours[i];
        }
    }
}

static void restore(const VkDeviceCreateInfo *info, const VkQueueGlobalPriority *was)
{
    /* From the last one on: two may have the same struct, and the first knows what it was. */
    for (uint32_t i = info->queueCreateInfoCount; i > 0; i--) {
        VkDeviceQueueGlobalPriorityCreateInfo *theirs = theirs_of(&info->pQueueCreateInfos[i - 1]);

        if (theirs)
            theirs->globalPriority = was[i - 1];
    }
}

/* What is needed for the call. */
struct scratch {
    VkDeviceQueueCreateInfo *queues;
    VkDeviceQueueGlobalPriorityCreateInfo *ours;
    VkQueueGlobalPriority *was;
};

static VkResult create_with(const struct scratch *s, PFN_vkCreateDevice create,
                            VkPhysicalDevice gpu, const VkDeviceCreateInfo *info,
                            const VkAllocationCallbacks *allocator, VkQueueGlobalPriority priority,
                            VkDevice *ret)
{
    VkDeviceCreateInfo all = *info;

    all.pQueueCreateInfos = s->queues;
    apply(info, s->queues, s->ours, s->was, priority);
    VkResult result = create(gpu, &all, allocator, ret);
    restore(info, s->was);
    /* Drivers differ in what they say to that. */
    if (priority == VK_QUEUE_GLOBAL_PRIORITY_MEDIUM ||
        (result != VK_ERROR_NOT_PERMITTED && result != VK_ERROR_INITIALIZATION_FAILED))
        return result;
    apply(info, s->queues, s->ours, s->was, MIN(priority, VK_QUEUE_GLOBAL_PRIORITY_MEDIUM));
    for (uint32_t i = 0; i < info->queueCreateInfoCount; i++)
        s->queues[i].pNext = info->pQueueCreateInfos[i].pNext;
    result = create(gpu, &all, allocator, ret);
    restore(info, s->was);
    return result;
}

VkResult priority_create_device(PFN_vkCreateDevice create, VkPhysicalDevice gpu,
                                const VkDeviceCreateInfo *info,
                                const VkAllocationCallbacks *allocator, bool has_extension,
                                VkQueueGlobalPriority priority, VkDevice *ret)
{
    size_t n = (size_t)info->queueCreateInfoCount + 1;
    VkResult result = VK_ERROR_OUT_OF_HOST_MEMORY;

    if (!has_extension)
        return create(gpu, info, allocator, ret);
    struct scratch s = {.queues = calloc(n, sizeof(*s.queues)),
                        .ours = calloc(n, sizeof(*s.ours)),
                        .was = calloc(n, sizeof(*s.was))};
    if (s.queues && s.ours && s.was)
        result = create_with(&s, create, gpu, info, allocator, priority, ret);
    free(s.queues);
    free(s.ours);
    free(s.was);
    return result;
}
