/* SPDX-License-Identifier: MIT */
#include "mediator/layer/quota.h"

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

uint64_t quota_bytes(const struct layer_memory *memory)
{
    return load(&memory->quota_bytes);
}

uint64_t quota_left(const struct layer_memory *memory)
{
    uint64_t quota = quota_bytes(memory), used = load(&memory->used_bytes);

    return used < quota ? quota - used : 0;
}

bool quota_take(struct layer_memory *memory, struct layer_slot *slot, uint64_t bytes)
{
    uint64_t used = load(&memory->used_bytes), quota;

    do {
        quota = quota_bytes(memory);
        /* More may be in use than the quota allows: it was lowered. */
        if (used > quota || bytes > quota - used) {
            __atomic_add_fetch(&slot->refused, 1, __ATOMIC_RELAXED);
            return false;
        }
    } while (!__atomic_compare_exchange_n(&memory->used_bytes, &used, used + bytes, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    __atomic_add_fetch(&slot->memory_bytes, bytes, __ATOMIC_ACQ_REL);
    return true;
}

void quota_give_back(struct layer_memory *memory, struct layer_slot *slot, uint64_t bytes)
{
    __atomic_sub_fetch(&slot->memory_bytes, bytes, __ATOMIC_ACQ_REL);
    __atomic_sub_fetch(&memory->used_bytes, bytes, __ATOMIC_ACQ_REL);
}
