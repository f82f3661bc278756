/* SPDX-License-Identifier: MIT */
#include "protocol/work_ring.h"

#include "protocol/lease_atomic.h"
#include "protocol/shared_file.h"

#include <stdbool.h>
#include <sys/mman.h>

/* Threads that may write to one ring at the same time: an entry that is not there yet is waited for
 * only among that many of the last. An older one was begun by somebody who has died. */
#define WRITERS_MAX 64u

int work_rings_create(int *ret_fd, const struct work_rings **ret)
{
    return shared_file_create("aliquot-work", sizeof(**ret), PROT_READ, 0, ret_fd, (void **)ret);
}

int work_rings_map(int fd, struct work_rings **ret)
{
    return shared_file_map(fd, sizeof(**ret), PROT_READ | PROT_WRITE, (void **)ret);
}

void work_rings_unmap(const struct work_rings *rings)
{
    if (rings)
        munmap((void *)rings, sizeof(*rings));
}

void work_ring_put(struct work_ring *ring, const struct work *work)
{
    if (!ring)
        return;
    uint64_t number = __atomic_fetch_add(&ring->next, (uint64_t)1, __ATOMIC_ACQ_REL);
    struct work_entry *e = &ring->entries[number % WORK_RING_ENTRIES];

    LEASE_STAT_STORE(&e->sequence, (uint64_t)0);
    /* Who sees one of these sees the 0, or what comes after it. */
    LEASE_STAT_STORE(&e->begin_ns, work->begin_ns);
    LEASE_STAT_STORE(&e->end_ns, work->end_ns);
    LEASE_STAT_STORE(&e->detail, (uint64_t)work->queue << 32 | work->submits);
    LEASE_STAT_STORE(&e->sequence, number + 1);
}

/* True if the entry was there, and still is. */
static bool copy(const struct work_entry *e, uint64_t sequence, struct work *ret)
{
    if (LEASE_STAT_LOAD(&e->sequence) != sequence)
        return false;
    uint64_t begin_ns = LEASE_STAT_LOAD(&e->begin_ns), end_ns = LEASE_STAT_LOAD(&e->end_ns);
    uint64_t detail = LEASE_STAT_LOAD(&e->detail);
    if (LEASE_STAT_LOAD(&e->sequence) != sequence)
        return false;
    *ret = (struct work){.begin_ns = begin_ns,
                         .end_ns = end_ns,
                         .submits = (uint32_t)detail,
                         .queue = (uint32_t)(detail >> 32)};
    return true;
}

size_t work_ring_take(const struct work_ring *ring, uint64_t *cursor, struct work *ret, size_t max,
                      uint64_t *lost)
{
    uint64_t next = LEASE_STAT_LOAD(&ring->next), at = *cursor;
    size_t n = 0;

    if (next < at) /* no ring of ours goes back */
        at = next;
    if (next - at > WORK_RING_ENTRIES) {
        *lost += next - at - WORK_RING_ENTRIES;
        at = next - WORK_RING_ENTRIES;
    }
    for (; n < max && at != next; at++) {
        if (copy(&ring->entries[at % WORK_RING_ENTRIES], at + 1, &ret[n]))
            n++;
        else if (next - at <= WRITERS_MAX && LEASE_STAT_LOAD(&ring->next) - at <= WORK_RING_ENTRIES)
            break; /* it is being written */
        else
            ++*lost;
    }
    *cursor = at;
    return n;
}
