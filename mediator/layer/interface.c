/* SPDX-License-Identifier: MIT */
/*
 * VK_LAYER_ALIQUOT_gate: the Vulkan layer of a vGPU's processes.
 *
 * Who I am: a library that the Vulkan loader loads into the workers of virgl_render_server (and
 * into any other host program that we start for a vGPU), because the renderer's environment says
 * so. Who talks to me: the process that I am in, which does what a guest asks for; the renderer,
 * once (protocol/layer.h); and the broker, by the lease's pages (protocol/lease.h). What I trust:
 * Vulkan's own rules, which the worker checks or the driver has to survive: I break no more than
 * they do if a guest breaks them. The guest can't reach my state but by Vulkan calls. What kills
 * me: nothing but the process's end. I print nothing and end nothing; what goes wrong is a
 * VkResult.
 *
 * This file is what the loader needs and no more: which functions the layer stands in front of.
 */
#include "mediator/base/util.h"
#include "mediator/layer/backing.h"
#include "mediator/layer/device.h"
#include "mediator/layer/memory.h"
#include "mediator/layer/submit.h"
#include "mediator/layer/wait.h"

#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum when {
    ALWAYS,
    LIMITED, /* there is a renderer: memory is counted */
    GATED,   /* and a lease */
};

struct function {
    const char *name;
    PFN_vkVoidFunction function;
    enum when when;
};

#define FUNCTION(name, function, when) {name, (PFN_vkVoidFunction)(function), when}

static PFN_vkVoidFunction VKAPI_CALL get_instance_function(VkInstance instance, const char *name);
static PFN_vkVoidFunction VKAPI_CALL get_device_function(VkDevice device, const char *name);

static const struct function instance_functions[] = {
    FUNCTION("vkGetInstanceProcAddr", get_instance_function, ALWAYS),
    FUNCTION("vkCreateInstance", instance_create, ALWAYS),
    FUNCTION("vkDestroyInstance", instance_destroy, ALWAYS),
    FUNCTION("vkCreateDevice", device_create, ALWAYS),
    FUNCTION("vkEnumeratePhysicalDevices", gpu_choice_enumerate, LIMITED),
    FUNCTION("vkEnumeratePhysicalDeviceGroups", gpu_choice_enumerate_groups, LIMITED),
    FUNCTION("vkEnumeratePhysicalDeviceGroupsKHR", gpu_choice_enumerate_groups, LIMITED),
    FUNCTION("vkGetPhysicalDeviceMemoryProperties", memory_properties, LIMITED),
    FUNCTION("vkGetPhysicalDeviceMemoryProperties2", memory_properties2, LIMITED),
    FUNCTION("vkGetPhysicalDeviceMemoryProperties2KHR", memory_properties2, LIMITED),
};

static const struct function device_functions[] = {
    FUNCTION("vkGetDeviceProcAddr", get_device_function, ALWAYS),
    FUNCTION("vkDestroyDevice", device_destroy, ALWAYS),
    FUNCTION("vkAllocateMemory", memory_allocate, LIMITED),
    FUNCTION("vkFreeMemory", memory_free, LIMITED),
    FUNCTION("vkGetMemoryFdKHR", backing_get_fd, LIMITED),
    FUNCTION("vkGetDeviceQueue", device_get_queue, GATED),
    FUNCTION("vkGetDeviceQueue2", device_get_queue2, GATED),
    FUNCTION("vkQueueSubmit", submit_queue_submit, GATED),
    FUNCTION("vkQueueSubmit2", submit_queue_submit2, GATED),
    FUNCTION("vkQueueSubmit2KHR", submit_queue_submit2, GATED),
    FUNCTION("vkQueueBindSparse", submit_queue_bind_sparse, GATED),
    FUNCTION("vkQueuePresentKHR", submit_queue_present, GATED),
    FUNCTION("vkQueueWaitIdle", wait_queue_idle, GATED),
    FUNCTION("vkDeviceWaitIdle", wait_device_idle, GATED),
    FUNCTION("vkCreateSemaphore", wait_create_semaphore, GATED),
    FUNCTION("vkDestroySemaphore", wait_destroy_semaphore, GATED),
    FUNCTION("vkImportSemaphoreFdKHR", wait_import_semaphore_fd, GATED),
    FUNCTION("vkWaitSemaphores", wait_for_semaphores, GATED),
    FUNCTION("vkWaitSemaphoresKHR", wait_for_semaphores, GATED),
    FUNCTION("vkGetSemaphoreCounterValue", wait_semaphore_value, GATED),
    FUNCTION("vkGetSemaphoreCounterValueKHR", wait_semaphore_value, GATED),
    FUNCTION("vkWaitForFences", wait_for_fences, GATED),
    FUNCTION("vkGetFenceStatus", wait_fence_status, GATED),
};

static const struct function *find(const struct function *functions, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

static bool applies(const struct function *f, const struct link *link)
{
    return f && (f->when == ALWAYS || (link && (f->when == LIMITED || link->gated)));
}

static PFN_vkVoidFunction VKAPI_CALL get_device_function(VkDevice device, const char *name)
{
    struct layer_device *d = device_of(device);

    if (!d)
        return NULL;
    const struct function *ours = find(device_functions, ARRAY_SIZE(device_functions), name);
    PFN_vkVoidFunction next = d->table.GetDeviceProcAddr(device, name);
    /* What is not enabled below us is not enabled by us. */
    return next && applies(ours, d->link) ? ours->function : next;
}

static PFN_vkVoidFunction VKAPI_CALL get_instance_function(VkInstance instance, const char *name)
{
    const struct function *ours = find(instance_functions, ARRAY_SIZE(instance_functions), name);
    struct layer_instance *i = instance ? dispatch_find(dispatch_key(instance)) : NULL;

    if (!i)
        return ours && ours->when == ALWAYS ? ours->function : NULL;
    if (!ours)
        ours = find(device_functions, ARRAY_SIZE(device_functions), name);
    PFN_vkVoidFunction next = i->table.GetInstanceProcAddr(instance, name);
    return next && applies(ours, i->link) ? ours->function : next;
}

EXPORT VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *s);

VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *s)
{
    if (s->sType != LAYER_NEGOTIATE_INTERFACE_STRUCT || s->loaderLayerInterfaceVersion < 2)
        return VK_ERROR_INITIALIZATION_FAILED;
    s->loaderLayerInterfaceVersion = 2;
    s->pfnGetInstanceProcAddr = get_instance_function;
    s->pfnGetDeviceProcAddr = get_device_function;
    s->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
