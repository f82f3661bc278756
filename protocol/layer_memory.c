/* SPDX-License-Identifier: MIT */
#include "protocol/layer_memory.h"

#include "protocol/lease_atomic.h"
#include "protocol/shared_file.h"

#include <sys/mman.h>

#define PAGE_BYTES 4096

int layer_memory_create(int *ret_fd, const struct layer_memory **ret)
{
    return shared_file_create("aliquot-memory", PAGE_BYTES, PROT_READ, 0, ret_fd, (void **)ret);
}

int layer_memory_map(int fd, struct layer_memory **ret)
{
    return shared_file_map(fd, PAGE_BYTES, PROT_READ | PROT_WRITE, (void **)ret);
}

void layer_memory_unmap(const struct layer_memory *m)
{
    if (m)
        munmap((void *)m, PAGE_BYTES);
}

void layer_memory_init(struct layer_memory *m, uint64_t quota_bytes)
{
    LEASE_STAT_STORE(&m->quota_bytes, quota_bytes);
    LEASE_STAT_STORE(&m->version, (uint32_t)LAYER_VERSION);
    LEASE_STAT_STORE(&m->magic, LAYER_MAGIC);
}

bool layer_memory_is_valid(const struct layer_memory *m)
{
    return LEASE_STAT_LOAD(&m->magic) == LAYER_MAGIC &&
           LEASE_STAT_LOAD(&m->version) == LAYER_VERSION;
}

/* ---- taking part ------------------------------------------------------------------------------
 */

uint64_t layer_memory_quota(const struct layer_memory *m)
{
    return LEASE_STAT_LOAD(&m->quota_bytes);
}

uint64_t layer_memory_left(const struct layer_memory *m)
{
    uint64_t quota = layer_memory_quota(m), used = LEASE_STAT_LOAD(&m->used_bytes);

    return used < quota ? quota - used : 0;
}

bool layer_memory_take(struct layer_memory *m, uint32_t slot, uint64_t bytes)
{
    uint64_t quota = layer_memory_quota(m), used = LEASE_STAT_LOAD(&m->used_bytes);

    do {
        if (used > quota || bytes > quota - used)
            return false;
    } while (!LEASE_STAT_CAS(&m->used_bytes, &used, used + bytes));
    LEASE_STAT_ADD(&m->slots[slot].memory_bytes, bytes);
    return true;
}

/* Never below 0, whatever others have written. */
static void subtract(uint64_t *from, uint64_t bytes)
{
    uint64_t value = LEASE_STAT_LOAD(from);

    while (!LEASE_STAT_CAS(from, &value, value > bytes ? value - bytes : 0))
        ;
}

void layer_memory_give(struct layer_memory *m, uint32_t slot, uint64_t bytes)
{
    subtract(&m->slots[slot].memory_bytes, bytes);
    subtract(&m->used_bytes, bytes);
}

static uint64_t clear(uint64_t *word)
{
    return __atomic_exchange_n(word, (uint64_t)0, __ATOMIC_ACQ_REL);
}

void layer_memory_reclaim(struct layer_memory *m, uint32_t slot)
{
    struct layer_slot *s = &m->slots[slot], *kept = &m->slots[LEASE_SLOT_GL];

    subtract(&m->used_bytes, clear(&s->memory_bytes));
    LEASE_STAT_ADD(&kept->submits, clear(&s->submits));
    LEASE_STAT_ADD(&kept->batches, clear(&s->batches));
    LEASE_STAT_ADD(&kept->refused, clear(&s->refused));
    clear(&s->devices);
}

void layer_memory_read(const struct layer_memory *m, struct layer_sums *ret)
{
    struct layer_sums sums = {0};

    for (uint32_t i = 0; i < LEASE_SLOTS_MAX; i++) {
        const struct layer_slot *s = &m->slots[i];

        if (i != LEASE_SLOT_GL)
            sums.memory_bytes += LEASE_STAT_LOAD(&s->memory_bytes);
        sums.submits += LEASE_STAT_LOAD(&s->submits);
        sums.batches += LEASE_STAT_LOAD(&s->batches);
        sums.refused += LEASE_STAT_LOAD(&s->refused);
        sums.devices += LEASE_STAT_LOAD(&s->devices);
    }
    *ret = sums;
}
