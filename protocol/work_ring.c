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

/* Of all words of an entry: a writer that was held up while the others went once around mixes its
 * words into somebody else's entry, and a number alone would not tell. (The finalizer is
 * SplitMix64's.) Of zeros it is 0. */
static uint64_t checksum(const struct work_entry *e)
{
    const uint64_t words[] = {e->begin_ns, e->end_ns, e->detail};
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        sum += words[i];
        sum = (sum ^ sum >> 30) * 0xbf58476d1ce4e5b9u;
        sum = (sum ^ sum >> 27) * 0x94d049bb133111ebu;
        sum ^= sum >> 31;
    }
    return sum;
}

void work_ring_put(struct work_ring *ring, const struct work *work)
{
    if (!ring)
        return;
    uint64_t number = __atomic_fetch_add(&ring->next, (uint64_t)1, __ATOMIC_ACQ_REL);
    struct work_entry *e = &ring->entries[number % WORK_RING_ENTRIES];
    struct work_entry entry = {.begin_ns = work->begin_ns,
                               .end_ns = work->end_ns,
                               .detail = (uint64_t)work->queue << 32 | work->submits};

    LEASE_STAT_STORE(&e->begin_ns, entry.begin_ns);
    LEASE_STAT_STORE(&e->end_ns, entry.end_ns);
    LEASE_STAT_STORE(&e->detail, entry.detail);
    LEASE_STAT_STORE(&e->seal, number + 1 + checksum(&entry));
}

void work_ring_count(struct work_ring *ring, uint64_t ns)
{
    if (!ring)
        return;
    struct work_latency *l = &ring->latency;
    uint64_t max_ns = LEASE_STAT_LOAD(&l->max_ns);

    LEASE_STAT_ADD(&l->buckets[histogram_bucket(ns)], 1);
    LEASE_STAT_ADD(&l->sum_ns, ns);
    while (max_ns < ns && !LEASE_STAT_CAS(&l->max_ns, &max_ns, ns))
        ;
}

/* True if the entry with that number, from 1 on, is there as it was written. */
static bool copy(const struct work_entry *e, uint64_t number, struct work *ret)
{
    struct work_entry entry = {.seal = LEASE_STAT_LOAD(&e->seal),
                               .begin_ns = LEASE_STAT_LOAD(&e->begin_ns),
                               .end_ns = LEASE_STAT_LOAD(&e->end_ns),
                               .detail = LEASE_STAT_LOAD(&e->detail)};

    if (entry.seal - checksum(&entry) != number)
        return false;
    *ret = (struct work){.begin_ns = entry.begin_ns,
                         .end_ns = entry.end_ns,
                         .submits = (uint32_t)entry.detail,
                         .queue = (uint32_t)(entry.detail >> 32)};
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
