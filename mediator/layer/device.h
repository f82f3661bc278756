/* SPDX-License-Identifier: MIT */
/*
 * A VkInstance and a VkDevice, as the layer knows them.
 */
#ifndef ALIQUOT_LAYER_DEVICE_H
#define ALIQUOT_LAYER_DEVICE_H

#include "mediator/layer/dispatch.h"
#include "mediator/layer/gpu_choice.h"
#include "mediator/layer/link.h"

#include <pthread.h>
#include <stdbool.h>

struct gate_queue;

/* What the process holds of each heap of a GPU. */
struct layer_gpu {
    struct layer_gpu *next; /* of layer_instance */
    VkPhysicalDevice handle;
    uint64_t heap_used[VK_MAX_MEMORY_HEAPS]; /* bytes; atomic */
};

struct layer_instance {
    VkInstance handle;
    struct instance_table table;
    const struct link *link; /* borrowed; NULL = nothing to do but to pass all on */
    uint32_t api_version;
    struct gpu_choice choice; /* of the GPUs that it sees */
    VkQueueGlobalPriority priority;
    pthread_mutex_t lock;   /* of gpus */
    struct layer_gpu *gpus; /* owned; those that had a device made or were asked for a budget */
};

struct layer_device {
    VkDevice handle;
    struct device_table table;
    struct layer_instance *instance; /* borrowed */
    const struct link *link;         /* borrowed; as the instance's */
    bool gated;

    /* Of the driver. */
    bool is_lavapipe;   /* exported memory has to be whole pages, see memory.c */
    bool backs_exports; /* and is files of ours, see backing.h */
    bool is_software;
    float timestamp_period_ns;
    bool has_calibration;
    PFN_vkSetDeviceLoaderData set_loader_data;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t family_count;
    VkQueueFamilyProperties *families; /* owned */

    struct layer_gpu *gpu;       /* borrowed of instance */
    struct handle_map memories;  /* VkDeviceMemory → bytes << 4 | heap */
    struct handle_map backings;  /* VkDeviceMemory → struct backing, owned */
    struct handle_map timelines; /* VkSemaphore → value that work that has entered will signal */
    struct handle_map binaries; /* VkSemaphore that a held piece will signal → which, see order.h */

    pthread_mutex_t lock;      /* of queues */
    struct gate_queue *queues; /* owned */
    uint32_t held;             /* pieces; atomic */
    bool lost;                 /* for good; atomic */
};

/* The GPU's record, made if need be; NULL: no memory. Any thread. */
struct layer_gpu *instance_gpu(struct layer_instance *instance, VkPhysicalDevice handle);

VkResult VKAPI_CALL instance_create(const VkInstanceCreateInfo *info,
                                    const VkAllocationCallbacks *allocator, VkInstance *ret);
void VKAPI_CALL instance_destroy(VkInstance handle, const VkAllocationCallbacks *allocator);

VkResult VKAPI_CALL device_create(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info,
                                  const VkAllocationCallbacks *allocator, VkDevice *ret);
void VKAPI_CALL device_destroy(VkDevice handle, const VkAllocationCallbacks *allocator);
void VKAPI_CALL device_get_queue(VkDevice handle, uint32_t family, uint32_t index, VkQueue *ret);
void VKAPI_CALL device_get_queue2(VkDevice handle, const VkDeviceQueueInfo2 *info, VkQueue *ret);

static inline struct layer_device *device_of(VkDevice handle)
{
    return dispatch_find(dispatch_key(handle));
}

/* Its handle, and NULL if the queue has no gate: there was no memory for it. */
static inline struct gate_queue *device_queue(VkQueue handle)
{
    return dispatch_find(DISPATCH_HANDLE(handle));
}

/* True from when the driver said so, or the lease was revoked. */
bool device_is_lost(struct layer_device *d);
void device_set_lost(struct layer_device *d);
/* The result; and the device is lost if it says so. */
VkResult device_note(struct layer_device *d, VkResult result);

#endif
