/* SPDX-License-Identifier: MIT */
#include "mediator/layer/order.h"

#define INDEX_SHIFT 56
#define VALUE_MASK ((1ull << INDEX_SHIFT) - 1)

uint64_t order_binary(const struct gate_queue *q, uint64_t open_value)
{
    return (uint64_t)q->index << INDEX_SHIFT | open_value;
}

bool order_is_reached(struct layer_device *d, VkSemaphore semaphore, uint64_t value)
{
    uint64_t now = 0;

    if (handle_map_get(&d->timelines, DISPATCH_HANDLE(semaphore), &now) && now >= value)
        return true;
    if (d->table.GetSemaphoreCounterValue(d->handle, semaphore, &now) != VK_SUCCESS)
        return true; /* lost: whatever comes next tells */
    handle_map_raise(&d->timelines, DISPATCH_HANDLE(semaphore), now);
    return now >= value;
}

/* An earlier submission of the same batch signals it. */
static bool is_within(const struct batch *b, uint32_t before, struct batch_semaphore wait)
{
    for (uint32_t info = 0; info < before; info++)
        for (uint32_t i = 0; i < batch_signal_count(b, info); i++) {
            struct batch_semaphore s = batch_signal(b, info, i);

            if (s.handle == wait.handle && s.value >= wait.value)
                return true;
        }
    return false;
}

bool order_wait_is_met(struct layer_device *d, const struct batch *b, uint32_t info, uint32_t i,
                       struct batch_semaphore *ret)
{
    struct batch_semaphore wait = batch_wait(b, info, i);
    uint64_t value;

    if (wait.value != 0 && handle_map_get(&d->timelines, DISPATCH_HANDLE(wait.handle), &value)) {
        *ret = wait;
        return value >= wait.value || is_within(b, info, wait) ||
               order_is_reached(d, wait.handle, wait.value);
    }
    if (__atomic_load_n(&d->held, __ATOMIC_ACQUIRE) == 0 ||
        !handle_map_get(&d->binaries, DISPATCH_HANDLE(wait.handle), &value))
        return true;
    pthread_mutex_lock(&d->lock);
    for (const struct gate_queue *q = d->queues; q; q = q->next)
        if (q->index == value >> INDEX_SHIFT)
            *ret = (struct batch_semaphore){q->open, value & VALUE_MASK};
    pthread_mutex_unlock(&d->lock);
    return false;
}

bool order_is_ready(struct layer_device *d, const struct batch *b)
{
    struct batch_semaphore unused;

    for (uint32_t info = 0; info < b->count; info++)
        for (uint32_t i = 0; i < batch_wait_count(b, info); i++)
            if (!order_wait_is_met(d, b, info, i, &unused))
                return false;
    return true;
}

void order_note_signals(struct layer_device *d, const struct batch *b)
{
    for (uint32_t info = 0; info < b->count; info++)
        for (uint32_t i = 0; i < batch_signal_count(b, info); i++) {
            struct batch_semaphore s = batch_signal(b, info, i);

            if (s.value != 0)
                handle_map_raise(&d->timelines, DISPATCH_HANDLE(s.handle), s.value);
        }
}
