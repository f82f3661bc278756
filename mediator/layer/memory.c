/* SPDX-License-Identifier: MIT */
#include "mediator/layer/memory.h"

#include "mediator/base/util.h"
#include "mediator/layer/backing.h"
#include "mediator/layer/device.h"
#include "protocol/layer_memory.h"

#define PAGE_BYTES 4096u

/* In device->memories. */
#define HEAP_BITS 4
#define HEAP_MASK ((1u << HEAP_BITS) - 1)
_Static_assert(VK_MAX_MEMORY_HEAPS <= HEAP_MASK + 1, "a heap's number fits");
/* More no GPU has, and it keeps HEAP_BITS free. */
#define BYTES_MAX (UINT64_MAX >> HEAP_BITS)

/* ---- allocations ---------------------------------------------------------------------------- */

/* It is somebody's already, who was charged for it if he is one of us. */
static bool is_import(const VkMemoryAllocateInfo *info)
{
    const VkImportMemoryFdInfoKHR *fd =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);
    const VkImportMemoryHostPointerInfoEXT *pointer =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT);

    return (fd && fd->handleType != 0) || (pointer && pointer->handleType != 0);
}

static bool is_export(const VkMemoryAllocateInfo *info)
{
    const VkExportMemoryAllocateInfo *export =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);

    return export && export->handleTypes != 0;
}

static void charge_heap(struct layer_device *d, uint32_t heap, uint64_t bytes)
{
    __atomic_add_fetch(&d->gpu->heap_used[heap], bytes, __ATOMIC_RELAXED);
}

static uint32_t slot_of(const struct layer_device *d)
{
    return (uint32_t)(d->link->slot - d->link->memory->slots);
}

static void give_back(struct layer_device *d, uint64_t record)
{
    uint64_t bytes = record >> HEAP_BITS;

    layer_memory_give(d->link->memory, slot_of(d), bytes);
    charge_heap(d, record & HEAP_MASK, -bytes);
}

VkResult VKAPI_CALL memory_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                    const VkAllocationCallbacks *allocator, VkDeviceMemory *ret)
{
    struct layer_device *d = device_of(device);
    VkMemoryAllocateInfo rounded = *info;

    if (is_import(info))
        return backing_import(d, info, allocator, ret);
    if (info->memoryTypeIndex >= d->memory.memoryTypeCount ||
        info->allocationSize > BYTES_MAX - PAGE_BYTES)
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    /* lavapipe exports a file of just that size, sealed, of which a guest can map whole pages. */
    if (d->is_lavapipe && is_export(info))
        rounded.allocationSize =
            (info->allocationSize + PAGE_BYTES - 1) & ~(VkDeviceSize)(PAGE_BYTES - 1);
    uint32_t heap = d->memory.memoryTypes[info->memoryTypeIndex].heapIndex;
    if (!layer_memory_take(d->link->memory, slot_of(d), rounded.allocationSize)) {
        __atomic_add_fetch(&d->link->slot->refused, 1, __ATOMIC_RELAXED);
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    uint64_t record = rounded.allocationSize << HEAP_BITS | heap;
    charge_heap(d, heap, rounded.allocationSize);
    VkResult result = backing_is_for(d, info)
                          ? backing_allocate(d, &rounded, allocator, ret)
                          : d->table.AllocateMemory(device, &rounded, allocator, ret);
    if (result == VK_SUCCESS && handle_map_put(&d->memories, DISPATCH_HANDLE(*ret), record) < 0) {
        struct backing *backing = backing_take(d, *ret);

        d->table.FreeMemory(device, *ret, allocator);
        backing_destroy(backing);
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    if (result != VK_SUCCESS)
        give_back(d, record);
    return result;
}

void VKAPI_CALL memory_free(VkDevice device, VkDeviceMemory memory,
                            const VkAllocationCallbacks *allocator)
{
    struct layer_device *d = device_of(device);
    uint64_t record = 0;
    /* Before: the driver may give the same handle to the next one. Imported memory is not there. */
    bool counted =
        memory != VK_NULL_HANDLE && handle_map_take(&d->memories, DISPATCH_HANDLE(memory), &record);
    struct backing *backing = memory != VK_NULL_HANDLE ? backing_take(d, memory) : NULL;

    d->table.FreeMemory(device, memory, allocator);
    backing_destroy(backing);
    if (counted)
        give_back(d, record);
}

static void give_back_each(uint64_t key, uint64_t record, void *device)
{
    give_back(device, record);
}

void memory_free_all(struct layer_device *d)
{
    handle_map_each(&d->memories, give_back_each, d);
}

/* ---- heaps ---------------------------------------------------------------------------------- */

static void cap_heaps(const struct link *link, VkPhysicalDeviceMemoryProperties *properties)
{
    uint64_t quota = layer_memory_quota(link->memory);

    for (uint32_t i = 0; i < properties->memoryHeapCount; i++)
        properties->memoryHeaps[i].size = MIN(properties->memoryHeaps[i].size, quota);
}

/* The process's own usage, and what the vGPU has left besides, where that is less than the driver
 * says. */
static void cap_budget(struct layer_instance *instance, VkPhysicalDevice handle, uint32_t heaps,
                       VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget)
{
    struct layer_gpu *gpu = instance_gpu(instance, handle);
    uint64_t left = layer_memory_left(instance->link->memory);

    if (!gpu)
        return;
    for (uint32_t i = 0; i < heaps; i++) {
        uint64_t used = __atomic_load_n(&gpu->heap_used[i], __ATOMIC_RELAXED);
        uint64_t most = left > UINT64_MAX - used ? UINT64_MAX : used + left;

        budget->heapBudget[i] = MIN(budget->heapBudget[i], most);
        budget->heapUsage[i] = used;
    }
}

void VKAPI_CALL memory_properties(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties *ret)
{
    struct layer_instance *instance = dispatch_find(dispatch_key(gpu));

    instance->table.GetPhysicalDeviceMemoryProperties(gpu, ret);
    cap_heaps(instance->link, ret);
}

void VKAPI_CALL memory_properties2(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties2 *ret)
{
    struct layer_instance *instance = dispatch_find(dispatch_key(gpu));
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget =
        (VkPhysicalDeviceMemoryBudgetPropertiesEXT *)dispatch_in_chain(
            ret->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);

    instance->table.GetPhysicalDeviceMemoryProperties2(gpu, ret);
    cap_heaps(instance->link, &ret->memoryProperties);
    if (budget)
        cap_budget(instance, gpu, ret->memoryProperties.memoryHeapCount, budget);
}
