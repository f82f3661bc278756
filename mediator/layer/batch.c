/* SPDX-License-Identifier: MIT */
#include "mediator/layer/batch.h"

#include "mediator/layer/dispatch.h"

static const VkSubmitInfo *submit(const struct batch *b, uint32_t info)
{
    return (const VkSubmitInfo *)b->infos + info;
}

static const VkSubmitInfo2 *submit2(const struct batch *b, uint32_t info)
{
    return (const VkSubmitInfo2 *)b->infos + info;
}

static const VkBindSparseInfo *sparse(const struct batch *b, uint32_t info)
{
    return (const VkBindSparseInfo *)b->infos + info;
}

static const VkTimelineSemaphoreSubmitInfo *values_in(const void *chain)
{
    return dispatch_in_chain(chain, VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
}

static struct batch_semaphore waited(VkSemaphore handle, const void *chain, uint32_t i)
{
    const VkTimelineSemaphoreSubmitInfo *values = values_in(chain);
    bool has = values && i < values->waitSemaphoreValueCount;

    return (struct batch_semaphore){handle, has ? values->pWaitSemaphoreValues[i] : 0};
}

static struct batch_semaphore signalled(VkSemaphore handle, const void *chain, uint32_t i)
{
    const VkTimelineSemaphoreSubmitInfo *values = values_in(chain);
    bool has = values && i < values->signalSemaphoreValueCount;

    return (struct batch_semaphore){handle, has ? values->pSignalSemaphoreValues[i] : 0};
}

uint32_t batch_wait_count(const struct batch *b, uint32_t info)
{
    switch (b->kind) {
    case BATCH_SUBMIT:
        return submit(b, info)->waitSemaphoreCount;
    case BATCH_SUBMIT2:
        return submit2(b, info)->waitSemaphoreInfoCount;
    case BATCH_SPARSE:
        return sparse(b, info)->waitSemaphoreCount;
    case BATCH_PRESENT:
        return ((const VkPresentInfoKHR *)b->infos)->waitSemaphoreCount;
    }
    return 0;
}

uint32_t batch_signal_count(const struct batch *b, uint32_t info)
{
    switch (b->kind) {
    case BATCH_SUBMIT:
        return submit(b, info)->signalSemaphoreCount;
    case BATCH_SUBMIT2:
        return submit2(b, info)->signalSemaphoreInfoCount;
    case BATCH_SPARSE:
        return sparse(b, info)->signalSemaphoreCount;
    case BATCH_PRESENT:
        break;
    }
    return 0;
}

struct batch_semaphore batch_wait(const struct batch *b, uint32_t info, uint32_t i)
{
    switch (b->kind) {
    case BATCH_SUBMIT:
        return waited(submit(b, info)->pWaitSemaphores[i], submit(b, info)->pNext, i);
    case BATCH_SPARSE:
        return waited(sparse(b, info)->pWaitSemaphores[i], sparse(b, info)->pNext, i);
    case BATCH_SUBMIT2: {
        const VkSemaphoreSubmitInfo *s = &submit2(b, info)->pWaitSemaphoreInfos[i];

        return (struct batch_semaphore){s->semaphore, s->value};
    }
    case BATCH_PRESENT:
        break;
    }
    return (struct batch_semaphore){((const VkPresentInfoKHR *)b->infos)->pWaitSemaphores[i], 0};
}

struct batch_semaphore batch_signal(const struct batch *b, uint32_t info, uint32_t i)
{
    switch (b->kind) {
    case BATCH_SUBMIT:
        return signalled(submit(b, info)->pSignalSemaphores[i], submit(b, info)->pNext, i);
    case BATCH_SPARSE:
        return signalled(sparse(b, info)->pSignalSemaphores[i], sparse(b, info)->pNext, i);
    case BATCH_SUBMIT2: {
        const VkSemaphoreSubmitInfo *s = &submit2(b, info)->pSignalSemaphoreInfos[i];

        return (struct batch_semaphore){s->semaphore, s->value};
    }
    case BATCH_PRESENT:
        break;
    }
    return (struct batch_semaphore){0};
}

static bool info_has_work(const struct batch *b, uint32_t info)
{
    switch (b->kind) {
    case BATCH_SUBMIT:
        return submit(b, info)->commandBufferCount > 0;
    case BATCH_SUBMIT2:
        return submit2(b, info)->commandBufferInfoCount > 0;
    case BATCH_SPARSE:
        return sparse(b, info)->bufferBindCount > 0 || sparse(b, info)->imageOpaqueBindCount > 0 ||
               sparse(b, info)->imageBindCount > 0;
    case BATCH_PRESENT:
        break;
    }
    return true;
}

bool batch_has_work(const struct batch *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (info_has_work(b, i))
            return true;
    return false;
}

bool batch_has_end(const struct batch *b)
{
    if (b->fence != VK_NULL_HANDLE)
        return true;
    for (uint32_t info = 0; info < b->count; info++)
        for (uint32_t i = 0; i < batch_signal_count(b, info); i++)
            if (batch_signal(b, info, i).value != 0)
                return true;
    return false;
}

struct batch batch_part(const struct batch *b, uint32_t first, uint32_t count)
{
    static const size_t sizes[] = {
        [BATCH_SUBMIT] = sizeof(VkSubmitInfo),
        [BATCH_SUBMIT2] = sizeof(VkSubmitInfo2),
        [BATCH_SPARSE] = sizeof(VkBindSparseInfo),
        [BATCH_PRESENT] = sizeof(VkPresentInfoKHR),
    };

    return (struct batch){.kind = b->kind,
                          .count = count,
                          .infos = (const char *)b->infos + first * sizes[b->kind],
                          .fence = first + count == b->count ? b->fence : VK_NULL_HANDLE};
}
