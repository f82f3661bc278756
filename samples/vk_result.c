/* SPDX-License-Identifier: MIT */
#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>

static const struct known {
    VkResult result;
    int error;
    const char *name;
    const char *advice;
} known[] = {
    {VK_NOT_READY, EIO, "VK_NOT_READY", "try again"},
    {VK_TIMEOUT, EIO, "VK_TIMEOUT", "the GPU does not answer; is something else holding it?"},
    {VK_INCOMPLETE, EIO, "VK_INCOMPLETE", "a list changed while it was read: try again"},
    {VK_ERROR_OUT_OF_HOST_MEMORY, ENOMEM, "VK_ERROR_OUT_OF_HOST_MEMORY",
     "the process may have no more memory (see ulimit -v, cgroup limits)"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, ENOMEM, "VK_ERROR_OUT_OF_DEVICE_MEMORY",
     "the GPU's memory or the vGPU's quota is used up (vk-info shows the budget): ask for less, or "
     "raise the quota"},
    {VK_ERROR_INITIALIZATION_FAILED, EIO, "VK_ERROR_INITIALIZATION_FAILED",
     "the driver does not come up; VK_LOADER_DEBUG=error,driver says more"},
    {VK_ERROR_DEVICE_LOST, ENODEV, "VK_ERROR_DEVICE_LOST",
     "the GPU was reset or the vGPU's renderer has ended: start again, and see the host's log"},
    {VK_ERROR_MEMORY_MAP_FAILED, ENOMEM, "VK_ERROR_MEMORY_MAP_FAILED",
     "no room to map into: fewer or smaller mappings, or a larger host-visible region"},
    {VK_ERROR_LAYER_NOT_PRESENT, ENOTSUP, "VK_ERROR_LAYER_NOT_PRESENT",
     "VK_INSTANCE_LAYERS names a layer that is not installed"},
    {VK_ERROR_EXTENSION_NOT_PRESENT, ENOTSUP, "VK_ERROR_EXTENSION_NOT_PRESENT",
     "choose another device (vk-info --list)"},
    {VK_ERROR_FEATURE_NOT_PRESENT, ENOTSUP, "VK_ERROR_FEATURE_NOT_PRESENT",
     "choose another device (vk-info --list)"},
    {VK_ERROR_INCOMPATIBLE_DRIVER, ENOTSUP, "VK_ERROR_INCOMPATIBLE_DRIVER",
     "no usable Vulkan driver: install one, or see whether VK_DRIVER_FILES names the right one"},
    {VK_ERROR_TOO_MANY_OBJECTS, ENOMEM, "VK_ERROR_TOO_MANY_OBJECTS",
     "the driver's or the vGPU's limit is reached: ask for less"},
    {VK_ERROR_FORMAT_NOT_SUPPORTED, ENOTSUP, "VK_ERROR_FORMAT_NOT_SUPPORTED",
     "choose another device (vk-info --list)"},
    {VK_ERROR_FRAGMENTED_POOL, ENOMEM, "VK_ERROR_FRAGMENTED_POOL", "ask for less"},
    {VK_ERROR_OUT_OF_POOL_MEMORY, ENOMEM, "VK_ERROR_OUT_OF_POOL_MEMORY", "ask for less"},
    {VK_ERROR_UNKNOWN, EIO, "VK_ERROR_UNKNOWN",
     "run it with VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation to see why"},
};

static const struct known *find(VkResult result)
{
    static const struct known other = {
        VK_ERROR_UNKNOWN, EIO, "VkResult",
        "run it with VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation to see why"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].result == result)
            return &known[i];
    }
    return &other;
}

const char *vk_result_name(VkResult result)
{
    return result == VK_SUCCESS ? "VK_SUCCESS" : find(result)->name;
}

int vk_check(VkResult result, const char *call)
{
    if (result == VK_SUCCESS)
        return 0;
    const struct known *k = find(result);
    fprintf(stderr, "%s: %s: %s (%d): %s\n", program_invocation_short_name, call, k->name, result,
            k->advice);
    return -k->error;
}
