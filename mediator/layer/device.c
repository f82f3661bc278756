/* SPDX-License-Identifier: MIT */
#include "mediator/layer/device.h"

#include "mediator/base/util.h"
#include "mediator/layer/backing.h"
#include "mediator/layer/gate.h"
#include "mediator/layer/memory.h"
#include "mediator/layer/priority.h"
#include "mediator/layer/wait.h"

#include <string.h>

/* Extensions that the layer needs; the device has them enabled if the driver knows them. */
static const char *const wanted[] = {
    VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME,    VK_KHR_CALIBRATED_TIMESTAMPS_EXTENSION_NAME,
    VK_EXT_CALIBRATED_TIMESTAMPS_EXTENSION_NAME, VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME,
    VK_EXT_GLOBAL_PRIORITY_EXTENSION_NAME,       VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME,
};
enum {
    WANTS_TIMELINE,
    WANTS_CALIBRATION_KHR,
    WANTS_CALIBRATION_EXT,
    WANTS_PRIORITY_KHR,
    WANTS_PRIORITY_EXT,
    WANTS_HOST_MEMORY,
};

/* Queues of one device; order.c needs their number to fit 8 bits. */
#define QUEUES_MAX 255u

bool device_is_lost(struct layer_device *d)
{
    if (!__atomic_load_n(&d->lost, __ATOMIC_ACQUIRE) && d->gated &&
        lease_verdict(lease_word(&d->link->lease)) == LEASE_LOST)
        device_set_lost(d);
    return __atomic_load_n(&d->lost, __ATOMIC_ACQUIRE);
}

void device_set_lost(struct layer_device *d)
{
    __atomic_store_n(&d->lost, true, __ATOMIC_RELEASE);
}

VkResult device_note(struct layer_device *d, VkResult result)
{
    if (result == VK_ERROR_DEVICE_LOST)
        device_set_lost(d);
    return result;
}

/* ---- what it is created with ---------------------------------------------------------------- */

static void *find_loader_info(const VkDeviceCreateInfo *info, VkLayerFunction function)
{
    for (const VkLayerDeviceCreateInfo *s = info->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && s->function == function)
            return (void *)s;
    return NULL;
}

static bool has_extension(const VkExtensionProperties *extensions, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(extensions[i].extensionName, name) == 0)
            return true;
    return false;
}

static bool is_enabled(const VkDeviceCreateInfo *info, const char *name)
{
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        if (strcmp(info->ppEnabledExtensionNames[i], name) == 0)
            return true;
    return false;
}

static bool is_lavapipe(const struct layer_instance *instance, VkPhysicalDevice gpu)
{
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver};

    instance->table.GetPhysicalDeviceProperties2(gpu, &properties);
    return driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE;
}

/* Which of the wanted ones the driver has and this device needs, as bits. */
static VkResult find_extensions(const struct layer_device *d, VkPhysicalDevice gpu,
                                uint32_t *ret_bits)
{
    const struct layer_instance *instance = d->instance;
    uint32_t count = 0, bits = 0;
    VkResult result = instance->table.EnumerateDeviceExtensionProperties(gpu, NULL, &count, NULL);

    if (result < 0)
        return result;
    VkExtensionProperties *extensions = calloc(count + 1, sizeof(*extensions));
    if (!extensions)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    result = instance->table.EnumerateDeviceExtensionProperties(gpu, NULL, &count, extensions);
    for (uint32_t i = 0; i < ARRAY_SIZE(wanted) && result >= 0; i++)
        if (has_extension(extensions, count, wanted[i]))
            bits |= 1u << i;
    free(extensions);
    if (result < 0)
        return result;
    if (bits & 1u << WANTS_CALIBRATION_KHR)
        bits &= ~(1u << WANTS_CALIBRATION_EXT);
    if (bits & 1u << WANTS_PRIORITY_KHR)
        bits &= ~(1u << WANTS_PRIORITY_EXT);
    if (!d->gated)
        bits &= 1u << WANTS_HOST_MEMORY;
    if (!d->is_lavapipe)
        bits &= ~(1u << WANTS_HOST_MEMORY);
    *ret_bits = bits;
    return VK_SUCCESS;
}

/* The application's word on timeline semaphores, in whichever struct it is; NULL: it says nothing.
 */
static VkBool32 *timeline_feature(const VkDeviceCreateInfo *info)
{
    VkPhysicalDeviceVulkan12Features *all = (VkPhysicalDeviceVulkan12Features *)dispatch_in_chain(
        info->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
    VkPhysicalDeviceTimelineSemaphoreFeatures *one =
        (VkPhysicalDeviceTimelineSemaphoreFeatures *)dispatch_in_chain(
            info->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES);

    if (all)
        return &all->timelineSemaphore;
    return one ? &one->timelineSemaphore : NULL;
}

/* Calls the next vkCreateDevice with what the layer needs besides. */
static VkResult create_below(PFN_vkCreateDevice create, VkPhysicalDevice gpu, bool gated,
                             uint32_t extensions, const VkDeviceCreateInfo *info,
                             const VkAllocationCallbacks *allocator, VkQueueGlobalPriority priority,
                             VkDevice *ret)
{
    bool has_priority = extensions & (1u << WANTS_PRIORITY_KHR | 1u << WANTS_PRIORITY_EXT);
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = (void *)info->pNext,
        .timelineSemaphore = VK_TRUE};
    VkBool32 *theirs = timeline_feature(info);
    VkDeviceCreateInfo ours = *info;
    _cleanup_free_ const char **names =
        (const char **)calloc(info->enabledExtensionCount + ARRAY_SIZE(wanted), sizeof(names[0]));

    if (!names)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        names[i] = info->ppEnabledExtensionNames[i];
    for (uint32_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (extensions & 1u << i && !is_enabled(info, wanted[i]))
            names[ours.enabledExtensionCount++] = wanted[i];
    ours.ppEnabledExtensionNames = names;
    if (gated && !theirs)
        ours.pNext = &timeline;
    if (!gated || !theirs || *theirs)
        return priority_create_device(create, gpu, &ours, allocator, has_priority, priority, ret);
    /* There may not be a second struct that says something else, and a chain of structs of unknown
     * sizes can't be copied: so it is changed for the time of the call. */
    *theirs = VK_TRUE;
    VkResult result =
        priority_create_device(create, gpu, &ours, allocator, has_priority, priority, ret);
    *theirs = VK_FALSE;
    return result;
}

/* ---- what it is ----------------------------------------------------------------------------- */

static VkResult ask_driver(struct layer_device *d, VkPhysicalDevice gpu, uint32_t extensions)
{
    const struct instance_table *t = &d->instance->table;
    VkPhysicalDeviceProperties properties;

    t->GetPhysicalDeviceProperties(gpu, &properties);
    d->backs_exports = (extensions & 1u << WANTS_HOST_MEMORY) != 0;
    d->is_software = properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    d->timestamp_period_ns = properties.limits.timestampPeriod;
    d->has_calibration =
        (extensions & (1u << WANTS_CALIBRATION_KHR | 1u << WANTS_CALIBRATION_EXT)) != 0 &&
        d->table.GetCalibratedTimestampsKHR;
    t->GetPhysicalDeviceMemoryProperties(gpu, &d->memory);
    t->GetPhysicalDeviceQueueFamilyProperties(gpu, &d->family_count, NULL);
    d->families = calloc(d->family_count + 1, sizeof(d->families[0]));
    d->gpu = instance_gpu(d->instance, gpu);
    if (!d->families || !d->gpu)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    t->GetPhysicalDeviceQueueFamilyProperties(gpu, &d->family_count, d->families);
    /* Nothing can be gated without; no driver of today lacks it. */
    if (d->gated &&
        !(d->table.WaitSemaphores && d->table.SignalSemaphore && d->table.GetSemaphoreCounterValue))
        return VK_ERROR_FEATURE_NOT_PRESENT;
    return VK_SUCCESS;
}

static void free_device(struct layer_device *d)
{
    handle_map_finish(&d->memories);
    backing_free_all(d);
    handle_map_finish(&d->backings);
    handle_map_finish(&d->timelines);
    handle_map_finish(&d->binaries);
    pthread_mutex_destroy(&d->lock);
    free(d->families);
    free(d);
}

static VkResult set_up(struct layer_device *d, VkPhysicalDevice gpu, uint32_t extensions,
                       PFN_vkGetDeviceProcAddr get)
{
    VkResult result = VK_SUCCESS;

    dispatch_load_device(&d->table, get, d->handle);
    if (d->link)
        result = ask_driver(d, gpu, extensions);
    if (result == VK_SUCCESS &&
        handle_map_put(&dispatch_map, dispatch_key(d->handle), DISPATCH_HANDLE(d)) < 0)
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    if (result == VK_SUCCESS && d->link)
        __atomic_add_fetch(&d->link->slot->devices, 1, __ATOMIC_RELAXED);
    return result;
}

VkResult VKAPI_CALL device_create(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info,
                                  const VkAllocationCallbacks *allocator, VkDevice *ret)
{
    struct layer_instance *instance = dispatch_find(dispatch_key(gpu));
    VkLayerDeviceCreateInfo *chain = find_loader_info(info, VK_LAYER_LINK_INFO);
    const VkLayerDeviceCreateInfo *callback = find_loader_info(info, VK_LOADER_DATA_CALLBACK);
    uint32_t extensions = 0;

    if (!instance || !chain || !chain->u.pLayerInfo)
        return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr get_instance = chain->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkGetDeviceProcAddr get = chain->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    PFN_vkCreateDevice create =
        (PFN_vkCreateDevice)get_instance(instance->handle, "vkCreateDevice");
    if (!create)
        return VK_ERROR_INITIALIZATION_FAILED;
    chain->u.pLayerInfo = chain->u.pLayerInfo->pNext; /* for who is below us */

    struct layer_device *d = calloc(1, sizeof(*d));
    if (!d)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    d->instance = instance;
    d->link = instance->link;
    d->gated = d->link && d->link->gated;
    d->set_loader_data = callback ? callback->u.pfnSetDeviceLoaderData : NULL;
    pthread_mutex_init(&d->lock, NULL);
    handle_map_init(&d->memories);
    handle_map_init(&d->backings);
    handle_map_init(&d->timelines);
    handle_map_init(&d->binaries);

    VkResult result = VK_SUCCESS;
    d->is_lavapipe = d->link && is_lavapipe(instance, gpu);
    if (d->link)
        result = find_extensions(d, gpu, &extensions);
    if (result == VK_SUCCESS && (d->gated || extensions))
        result = create_below(create, gpu, d->gated, extensions, info, allocator,
                              instance->priority, ret);
    else if (result == VK_SUCCESS)
        result = create(gpu, info, allocator, ret); /* the loader has put something there */
    if (result != VK_SUCCESS) {
        free_device(d);
        return result;
    }
    d->handle = *ret;
    result = set_up(d, gpu, extensions, get);
    if (result != VK_SUCCESS) {
        d->table.DestroyDevice(d->handle, allocator);
        free_device(d);
    }
    return result;
}

/* ---- its queues ----------------------------------------------------------------------------- */

static void add_queue(struct layer_device *d, VkQueue handle, uint32_t family, bool is_protected)
{
    struct gate_queue *q = NULL;

    pthread_mutex_lock(&d->lock);
    uint32_t index = d->queues ? d->queues->index + 1 : 0;
    if (!device_queue(handle) && index < QUEUES_MAX) {
        /* What is not protected can't be done on a protected queue. */
        struct stopwatch *stopwatch = is_protected ? NULL : stopwatch_create(d, family);

        if (gate_queue_create(d, handle, index, stopwatch, &q) != VK_SUCCESS)
            stopwatch_destroy(stopwatch);
        else if (handle_map_put(&dispatch_map, DISPATCH_HANDLE(handle), DISPATCH_HANDLE(q)) < 0)
            gate_queue_destroy(q); /* then it takes no work, see device_queue() */
        else {
            q->next = d->queues;
            __atomic_store_n(&d->queues, q, __ATOMIC_RELEASE); /* see completion_harvest_all() */
        }
    }
    pthread_mutex_unlock(&d->lock);
}

void VKAPI_CALL device_get_queue(VkDevice handle, uint32_t family, uint32_t index, VkQueue *ret)
{
    struct layer_device *d = device_of(handle);

    d->table.GetDeviceQueue(handle, family, index, ret);
    if (*ret)
        add_queue(d, *ret, family, false);
}

void VKAPI_CALL device_get_queue2(VkDevice handle, const VkDeviceQueueInfo2 *info, VkQueue *ret)
{
    struct layer_device *d = device_of(handle);

    d->table.GetDeviceQueue2(handle, info, ret);
    if (*ret)
        add_queue(d, *ret, info->queueFamilyIndex,
                  info->flags & VK_DEVICE_QUEUE_CREATE_PROTECTED_BIT);
}

/* ---- its end -------------------------------------------------------------------------------- */

/* True: the driver has nothing left of what we held. */
static bool destroy_queues(struct layer_device *d)
{
    bool empty = true;

    while (d->queues) {
        struct gate_queue *q = d->queues;
        uint64_t unused;

        d->queues = q->next;
        handle_map_take(&dispatch_map, DISPATCH_HANDLE(q->handle), &unused);
        empty = gate_queue_is_empty(q) && empty;
        gate_queue_destroy(q);
    }
    return empty;
}

void VKAPI_CALL device_destroy(VkDevice handle, const VkAllocationCallbacks *allocator)
{
    uint64_t value = 0, key = handle ? dispatch_key(handle) : 0;

    if (!handle || !handle_map_get(&dispatch_map, key, &value))
        return;
    struct layer_device *d = (struct layer_device *)(uintptr_t)value;
    /* The application should have done so. What it has in flight still is until it ends. */
    if (d->gated)
        wait_device_idle(handle);
    bool empty = destroy_queues(d);
    handle_map_take(&dispatch_map, key, &value);
    if (d->link) {
        memory_free_all(d);
        __atomic_sub_fetch(&d->link->slot->devices, 1, __ATOMIC_RELAXED);
    }
    if (!empty)
        return; /* The driver would wait for what we never let go. It ends with the process. */
    d->table.DestroyDevice(handle, allocator);
    free_device(d);
}
