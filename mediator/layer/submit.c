/* SPDX-License-Identifier: MIT */
#include "mediator/layer/submit.h"

#include "mediator/base/util.h"
#include "mediator/layer/gate.h"
#include "mediator/layer/order.h"

#include <string.h>

/* Submissions that are given to the driver in one call; what the application gives in one goes in
 * several, which is the same but for the fence, which belongs to the last. So there is always room
 * on the stack for ours before and after them. */
#define PART_MAX 14u

/* Ours before: a submission that waits for the gate to open. All that is behind it on the queue
 * waits too (Vulkan 1.3, 7.4.2 "semaphore waiting": all commands later in submission order). Ours
 * behind: one that signals when all before it is complete, and may stamp the time. */

static VkResult give_submit(struct gate_queue *q, const struct batch *b,
                            const struct gate_ticket *t)
{
    static const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkTimelineSemaphoreSubmitInfo open_value = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = 1,
        .pWaitSemaphoreValues = &t->open_value};
    const VkTimelineSemaphoreSubmitInfo done_value = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &t->done_value};
    VkCommandBuffer stamp = VK_NULL_HANDLE;
    VkSubmitInfo infos[PART_MAX + 2];
    uint32_t n = 0;

    if (t->open_value != 0)
        infos[n++] = (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                    .pNext = &open_value,
                                    .waitSemaphoreCount = 1,
                                    .pWaitSemaphores = &q->open,
                                    .pWaitDstStageMask = &all};
    if (b->count > 0)
        memcpy(&infos[n], b->infos, b->count * sizeof(infos[0]));
    n += b->count;
    if (t->done_value != 0) {
        if (q->stopwatch)
            stamp = stopwatch_stamp(q->stopwatch, t->done_value);
        infos[n++] = (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                    .pNext = &done_value,
                                    .commandBufferCount = stamp != VK_NULL_HANDLE,
                                    .pCommandBuffers = &stamp,
                                    .signalSemaphoreCount = 1,
                                    .pSignalSemaphores = &q->done};
    }
    return q->device->table.QueueSubmit(q->handle, n, infos, b->fence);
}

static VkResult give_submit2(struct gate_queue *q, const struct batch *b,
                             const struct gate_ticket *t)
{
    const VkSemaphoreSubmitInfo open = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                        .semaphore = q->open,
                                        .value = t->open_value,
                                        .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    const VkSemaphoreSubmitInfo done = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                        .semaphore = q->done,
                                        .value = t->done_value,
                                        .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    VkCommandBufferSubmitInfo stamp = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO};
    VkSubmitInfo2 infos[PART_MAX + 2];
    uint32_t n = 0;

    if (t->open_value != 0)
        infos[n++] = (VkSubmitInfo2){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                                     .waitSemaphoreInfoCount = 1,
                                     .pWaitSemaphoreInfos = &open};
    if (b->count > 0)
        memcpy(&infos[n], b->infos, b->count * sizeof(infos[0]));
    n += b->count;
    if (t->done_value != 0) {
        if (q->stopwatch)
            stamp.commandBuffer = stopwatch_stamp(q->stopwatch, t->done_value);
        infos[n++] =
            (VkSubmitInfo2){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                            .commandBufferInfoCount = stamp.commandBuffer != VK_NULL_HANDLE,
                            .pCommandBufferInfos = &stamp,
                            .signalSemaphoreInfoCount = 1,
                            .pSignalSemaphoreInfos = &done};
    }
    return q->device->table.QueueSubmit2(q->handle, n, infos, b->fence);
}

/* A queue may know nothing but this. */
static VkResult give_sparse(struct gate_queue *q, const struct batch *b,
                            const struct gate_ticket *t)
{
    const VkTimelineSemaphoreSubmitInfo open_value = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = 1,
        .pWaitSemaphoreValues = &t->open_value};
    const VkTimelineSemaphoreSubmitInfo done_value = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &t->done_value};
    VkBindSparseInfo infos[PART_MAX + 2];
    uint32_t n = 0;

    if (t->open_value != 0)
        infos[n++] = (VkBindSparseInfo){.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
                                        .pNext = &open_value,
                                        .waitSemaphoreCount = 1,
                                        .pWaitSemaphores = &q->open};
    if (b->count > 0)
        memcpy(&infos[n], b->infos, b->count * sizeof(infos[0]));
    n += b->count;
    if (t->done_value != 0)
        infos[n++] = (VkBindSparseInfo){.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
                                        .pNext = &done_value,
                                        .signalSemaphoreCount = 1,
                                        .pSignalSemaphores = &q->done};
    return q->device->table.QueueBindSparse(q->handle, n, infos, b->fence);
}

static VkResult give(struct gate_queue *q, const struct batch *b, const struct gate_ticket *t)
{
    switch (b->kind) {
    case BATCH_SUBMIT:
        return give_submit(q, b, t);
    case BATCH_SUBMIT2:
        return give_submit2(q, b, t);
    case BATCH_SPARSE:
        return give_sparse(q, b, t);
    case BATCH_PRESENT:
        break;
    }
    const struct batch nothing = {.kind = BATCH_SUBMIT};
    VkResult result = q->device->table.QueuePresentKHR(q->handle, b->infos);
    if (result >= 0 && t->done_value != 0) {
        VkResult signalled = give_submit(q, &nothing, t);

        if (signalled < 0)
            result = signalled;
    }
    return result;
}

/* How much of the rest makes one piece. */
static uint32_t piece_count(struct gate_queue *q, const struct batch *rest)
{
    const uint32_t bound = gate_part_max(q); /* may be another one each time that it is asked for */
    const uint32_t most = MIN(PART_MAX, bound);
    const struct batch part = batch_part(rest, 0, MIN(rest->count, most));

    if (part.count > 1 && gate_should_cut(q)) {
        lease_count_cut(&q->device->link->lease);
        return 1;
    }
    /* A later one may wait for what comes of an earlier one by way of another queue: together they
     * would be held, and wait for themselves. */
    if (part.count > 1 && !order_is_ready(q->device, &part))
        return 1;
    return part.count;
}

static VkResult give_all(VkQueue handle, const struct batch *all)
{
    static const struct gate_ticket none;
    struct gate_queue *q = device_queue(handle);

    if (!q)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    __atomic_add_fetch(&q->device->link->slot->submits, 1, __ATOMIC_RELAXED);
    /* A fence alone belongs behind what was submitted before, and is no work. */
    if (all->count == 0) {
        gate_note_end(q, all);
        return device_is_lost(q->device) ? VK_ERROR_DEVICE_LOST : give(q, all, &none);
    }

    VkResult result = VK_SUCCESS;
    for (uint32_t first = 0, n; first < all->count && result >= 0; first += n) {
        struct gate_ticket ticket;

        const struct batch rest = batch_part(all, first, all->count - first);
        n = piece_count(q, &rest);
        const struct batch part = batch_part(all, first, n);
        result = gate_enter(q, &part, &ticket);
        if (result == VK_SUCCESS) {
            result = give(q, &part, &ticket);
            gate_submitted(q, &part, &ticket, result);
        }
        /* A part of it runs, and cannot be taken back. */
        if (result < 0 && first > 0) {
            device_set_lost(q->device);
            result = VK_ERROR_DEVICE_LOST;
        }
    }
    return result;
}

VkResult VKAPI_CALL submit_queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                        VkFence fence)
{
    const struct batch all = {BATCH_SUBMIT, count, infos, fence};

    return give_all(queue, &all);
}

VkResult VKAPI_CALL submit_queue_submit2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *infos,
                                         VkFence fence)
{
    const struct batch all = {BATCH_SUBMIT2, count, infos, fence};

    return give_all(queue, &all);
}

VkResult VKAPI_CALL submit_queue_bind_sparse(VkQueue queue, uint32_t count,
                                             const VkBindSparseInfo *infos, VkFence fence)
{
    const struct batch all = {BATCH_SPARSE, count, infos, fence};

    return give_all(queue, &all);
}

VkResult VKAPI_CALL submit_queue_present(VkQueue queue, const VkPresentInfoKHR *info)
{
    const struct batch all = {BATCH_PRESENT, 1, info, VK_NULL_HANDLE};

    return give_all(queue, &all);
}
