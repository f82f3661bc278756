/* SPDX-License-Identifier: MIT */
#include "mediator/layer/wait.h"

#include "mediator/base/util.h"
#include "mediator/layer/clock.h"
#include "mediator/layer/completion.h"
#include "mediator/layer/gate.h"

/* A wait is one of many of this length, and a look between them. */
#define LOOK_NS 100000000u

/* ---- semaphores ----------------------------------------------------------------------------- */

VkResult VKAPI_CALL wait_create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                          const VkAllocationCallbacks *allocator, VkSemaphore *ret)
{
    struct layer_device *d = device_of(device);
    const VkSemaphoreTypeCreateInfo *type =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
    VkResult result = d->table.CreateSemaphore(device, info, allocator, ret);

    if (result != VK_SUCCESS || !type || type->semaphoreType != VK_SEMAPHORE_TYPE_TIMELINE)
        return result;
    if (handle_map_put(&d->timelines, DISPATCH_HANDLE(*ret), type->initialValue) < 0) {
        d->table.DestroySemaphore(device, *ret, allocator);
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    return VK_SUCCESS;
}

void VKAPI_CALL wait_destroy_semaphore(VkDevice device, VkSemaphore semaphore,
                                       const VkAllocationCallbacks *allocator)
{
    struct layer_device *d = device_of(device);
    uint64_t unused;

    /* Before: the driver may give the same handle to the next one. */
    if (semaphore != VK_NULL_HANDLE)
        handle_map_take(&d->timelines, DISPATCH_HANDLE(semaphore), &unused);
    d->table.DestroySemaphore(device, semaphore, allocator);
}

VkResult VKAPI_CALL wait_import_semaphore_fd(VkDevice device,
                                             const VkImportSemaphoreFdInfoKHR *info)
{
    struct layer_device *d = device_of(device);
    VkResult result = d->table.ImportSemaphoreFdKHR(device, info);
    uint64_t unused;

    /* Another payload: what we believed of the value is not true any more. */
    if (result == VK_SUCCESS &&
        handle_map_get(&d->timelines, DISPATCH_HANDLE(info->semaphore), &unused))
        handle_map_put(&d->timelines, DISPATCH_HANDLE(info->semaphore), 0);
    return result;
}

/* ---- waits ---------------------------------------------------------------------------------- */

/* Who has waited successfully, has waited for the end of something. */
static VkResult seen(struct layer_device *d, VkResult result)
{
    if (result == VK_SUCCESS)
        completion_harvest_all(d);
    return result;
}

/* How long the next look may wait; false: the time is up. */
static bool next_look(uint64_t begun_ns, uint64_t timeout_ns, uint64_t *ret_ns)
{
    uint64_t gone_ns = clock_now_ns() - begun_ns;

    *ret_ns = MIN(timeout_ns - MIN(gone_ns, timeout_ns), (uint64_t)LOOK_NS);
    return *ret_ns > 0;
}

VkResult VKAPI_CALL wait_for_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info,
                                        uint64_t timeout_ns)
{
    struct layer_device *d = device_of(device);
    uint64_t begun_ns = clock_now_ns(), look_ns = MIN(timeout_ns, (uint64_t)LOOK_NS);
    VkResult result;

    do {
        if (device_is_lost(d))
            return VK_ERROR_DEVICE_LOST;
        result = device_note(d, d->table.WaitSemaphores(device, info, look_ns));
    } while (result == VK_TIMEOUT && next_look(begun_ns, timeout_ns, &look_ns));
    return seen(d, result);
}

VkResult VKAPI_CALL wait_for_fences(VkDevice device, uint32_t count, const VkFence *fences,
                                    VkBool32 all, uint64_t timeout_ns)
{
    struct layer_device *d = device_of(device);
    uint64_t begun_ns = clock_now_ns(), look_ns = MIN(timeout_ns, (uint64_t)LOOK_NS);
    VkResult result;

    do {
        if (device_is_lost(d))
            return VK_ERROR_DEVICE_LOST;
        result = device_note(d, d->table.WaitForFences(device, count, fences, all, look_ns));
    } while (result == VK_TIMEOUT && next_look(begun_ns, timeout_ns, &look_ns));
    return seen(d, result);
}

VkResult VKAPI_CALL wait_semaphore_value(VkDevice device, VkSemaphore semaphore, uint64_t *ret)
{
    struct layer_device *d = device_of(device);

    if (device_is_lost(d))
        return VK_ERROR_DEVICE_LOST;
    return device_note(d, d->table.GetSemaphoreCounterValue(device, semaphore, ret));
}

VkResult VKAPI_CALL wait_fence_status(VkDevice device, VkFence fence)
{
    struct layer_device *d = device_of(device);

    if (device_is_lost(d))
        return VK_ERROR_DEVICE_LOST;
    return seen(d, device_note(d, d->table.GetFenceStatus(device, fence)));
}

/* All that the layer has given to the driver, which waits without us for the rest. */
static VkResult wait_for_pieces(struct gate_queue *q)
{
    uint64_t value = q->value;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &q->done,
                                      .pValues = &value};

    return wait_for_semaphores(q->device->handle, &info, UINT64_MAX);
}

VkResult VKAPI_CALL wait_queue_idle(VkQueue queue)
{
    struct gate_queue *q = device_queue(queue);
    VkResult result = q ? wait_for_pieces(q) : VK_ERROR_OUT_OF_HOST_MEMORY;

    if (result == VK_SUCCESS)
        result = device_note(q->device, q->device->table.QueueWaitIdle(queue));
    return result;
}

VkResult VKAPI_CALL wait_device_idle(VkDevice device)
{
    struct layer_device *d = device_of(device);
    VkResult result = VK_SUCCESS;

    /* The application lets nobody submit meanwhile, nor make a queue. */
    for (struct gate_queue *q = d->queues; q && result == VK_SUCCESS; q = q->next)
        result = wait_for_pieces(q);
    if (result == VK_SUCCESS)
        result = device_note(d, d->table.DeviceWaitIdle(device));
    return result;
}
