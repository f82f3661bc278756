/* SPDX-License-Identifier: MIT */
/*
 * The functions that the layer calls of whoever is next below it (another layer or the driver), and
 * how it finds its own state for a handle of Vulkan's.
 */
#ifndef ALIQUOT_LAYER_DISPATCH_H
#define ALIQUOT_LAYER_DISPATCH_H

#include "mediator/layer/handle_map.h"

#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

/* X(name without vk). Where the core function is missing the KHR one, then the EXT one, is taken.
 */
#define DISPATCH_INSTANCE_FUNCTIONS(X)                                                             \
    X(DestroyInstance)                                                                             \
    X(EnumeratePhysicalDevices)                                                                    \
    X(EnumeratePhysicalDeviceGroups)                                                               \
    X(GetPhysicalDeviceProperties)                                                                 \
    X(GetPhysicalDeviceProperties2)                                                                \
    X(GetPhysicalDeviceMemoryProperties)                                                           \
    X(GetPhysicalDeviceMemoryProperties2)                                                          \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                      \
    X(EnumerateDeviceExtensionProperties)                                                          \
    X(CreateDevice)

#define DISPATCH_DEVICE_FUNCTIONS(X)                                                               \
    X(DestroyDevice)                                                                               \
    X(GetDeviceQueue)                                                                              \
    X(GetDeviceQueue2)                                                                             \
    X(QueueSubmit)                                                                                 \
    X(QueueSubmit2)                                                                                \
    X(QueueBindSparse)                                                                             \
    X(QueuePresentKHR)                                                                             \
    X(QueueWaitIdle)                                                                               \
    X(DeviceWaitIdle)                                                                              \
    X(CreateSemaphore)                                                                             \
    X(DestroySemaphore)                                                                            \
    X(WaitSemaphores)                                                                              \
    X(SignalSemaphore)                                                                             \
    X(GetSemaphoreCounterValue)                                                                    \
    X(ImportSemaphoreFdKHR)                                                                        \
    X(WaitForFences)                                                                               \
    X(GetFenceStatus)                                                                              \
    X(AllocateMemory)                                                                              \
    X(FreeMemory)                                                                                  \
    X(GetMemoryFdKHR)                                                                              \
    X(CreateCommandPool)                                                                           \
    X(DestroyCommandPool)                                                                          \
    X(AllocateCommandBuffers)                                                                      \
    X(BeginCommandBuffer)                                                                          \
    X(EndCommandBuffer)                                                                            \
    X(CmdResetQueryPool)                                                                           \
    X(CmdWriteTimestamp)                                                                           \
    X(CreateQueryPool)                                                                             \
    X(DestroyQueryPool)                                                                            \
    X(GetQueryPoolResults)                                                                         \
    X(GetCalibratedTimestampsKHR)

#define DISPATCH_MEMBER(name) PFN_vk##name name;
struct instance_table {
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
    DISPATCH_INSTANCE_FUNCTIONS(DISPATCH_MEMBER)
};
struct device_table {
    PFN_vkGetDeviceProcAddr GetDeviceProcAddr;
    DISPATCH_DEVICE_FUNCTIONS(DISPATCH_MEMBER)
};
#undef DISPATCH_MEMBER

/* What the driver does not have is NULL. */
void dispatch_load_instance(struct instance_table *table, PFN_vkGetInstanceProcAddr get,
                            VkInstance instance);
void dispatch_load_device(struct device_table *table, PFN_vkGetDeviceProcAddr get, VkDevice device);

/* Instances and devices of this process by dispatch key, queues by handle: to pointers. */
extern struct handle_map dispatch_map;

/* What all dispatchable handles of one instance, or of one device, have in common: the loader's
 * table, which their first word points to. */
static inline uint64_t dispatch_key(const void *handle)
{
    return (uint64_t)(uintptr_t)*(void *const *)handle;
}

static inline void *dispatch_find(uint64_t key)
{
    uint64_t value = 0;

    handle_map_get(&dispatch_map, key, &value);
    return (void *)(uintptr_t)value;
}

#define DISPATCH_HANDLE(handle) ((uint64_t)(uintptr_t)(handle))

/* The struct of that type in a chain, or NULL. */
const void *dispatch_in_chain(const void *chain, VkStructureType type);

#endif
