/* SPDX-License-Identifier: MIT */
#include "mediator/layer/device.h"

#include "mediator/base/util.h"
#include "mediator/layer/priority.h"

static const VkLayerInstanceCreateInfo *find_link_info(const VkInstanceCreateInfo *info)
{
    for (const VkLayerInstanceCreateInfo *s = info->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO &&
            s->function == VK_LAYER_LINK_INFO)
            return s;
    return NULL;
}

static VkResult create_below(const VkInstanceCreateInfo *info,
                             const VkAllocationCallbacks *allocator, VkInstance *ret,
                             struct layer_instance *i)
{
    VkLayerInstanceCreateInfo *chain = (VkLayerInstanceCreateInfo *)find_link_info(info);

    if (!chain || !chain->u.pLayerInfo)
        return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr get = chain->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
    if (!create)
        return VK_ERROR_INITIALIZATION_FAILED;
    chain->u.pLayerInfo = chain->u.pLayerInfo->pNext; /* for who is below us */

    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO};
    VkInstanceCreateInfo ours = *info;
    if (info->pApplicationInfo)
        application = *info->pApplicationInfo;
    /* The driver's name comes with 1.1, and no driver with timelines is older. */
    if (i->link && application.apiVersion < VK_API_VERSION_1_1) {
        application.apiVersion = VK_API_VERSION_1_1;
        ours.pApplicationInfo = &application;
    }
    VkResult result = create(&ours, allocator, ret); /* the loader has put something there */
    if (result != VK_SUCCESS)
        return result;
    i->handle = *ret;
    i->api_version = application.apiVersion;
    dispatch_load_instance(&i->table, get, i->handle);
    return VK_SUCCESS;
}

VkResult VKAPI_CALL instance_create(const VkInstanceCreateInfo *info,
                                    const VkAllocationCallbacks *allocator, VkInstance *ret)
{
    struct layer_instance *i = calloc(1, sizeof(*i));

    if (!i)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    pthread_mutex_init(&i->lock, NULL);
    VkResult result = VK_ERROR_INITIALIZATION_FAILED;
    /* Without the renderer there is no limit to keep to, so there is no Vulkan. */
    if (link_get(&i->link) == 0 && gpu_choice_parse(getenv(LAYER_GPU_ENV), &i->choice) &&
        priority_parse(getenv(LAYER_PRIORITY_ENV), &i->priority))
        result = create_below(info, allocator, ret, i);
    if (result == VK_SUCCESS &&
        handle_map_put(&dispatch_map, dispatch_key(i->handle), DISPATCH_HANDLE(i)) < 0) {
        i->table.DestroyInstance(i->handle, allocator);
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    if (result != VK_SUCCESS) {
        pthread_mutex_destroy(&i->lock);
        free(i);
        return result;
    }
    return VK_SUCCESS;
}

void VKAPI_CALL instance_destroy(VkInstance handle, const VkAllocationCallbacks *allocator)
{
    uint64_t value = 0;

    if (!handle || !handle_map_take(&dispatch_map, dispatch_key(handle), &value))
        return;
    struct layer_instance *i = (struct layer_instance *)(uintptr_t)value;
    i->table.DestroyInstance(handle, allocator);
    while (i->gpus) {
        struct layer_gpu *gpu = i->gpus;

        i->gpus = gpu->next;
        free(gpu);
    }
    pthread_mutex_destroy(&i->lock);
    free(i);
}

struct layer_gpu *instance_gpu(struct layer_instance *i, VkPhysicalDevice handle)
{
    struct layer_gpu *gpu;

    pthread_mutex_lock(&i->lock);
    for (gpu = i->gpus; gpu && gpu->handle != handle; gpu = gpu->next)
        ;
    if (!gpu && (gpu = calloc(1, sizeof(*gpu)))) {
        gpu->handle = handle;
        gpu->next = i->gpus;
        i->gpus = gpu;
    }
    pthread_mutex_unlock(&i->lock);
    return gpu;
}
