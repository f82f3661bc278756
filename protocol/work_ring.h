/* SPDX-License-Identifier: MIT */
/*
 * What a vGPU has had its GPU do: intervals from submission to completion, for the trace, and a
 * histogram of how long its Vulkan submissions took. There is a ring for each slot of the lease,
 * written by the process behind the slot, from any of its threads, and read by aliquotd when
 * somebody records. A writer waits for nobody: what is not read in time is overwritten, and the
 * reader knows how much. Pages of the file that nobody has written cost nothing.
 *
 * What is in there decides nothing. It is a renderer's word, and shown as such.
 */
#ifndef ALIQUOT_PROTOCOL_WORK_RING_H
#define ALIQUOT_PROTOCOL_WORK_RING_H

#include "protocol/histogram.h"
#include "protocol/lease.h"

#include <stddef.h>
#include <stdint.h>

/* In slot LEASE_SLOT_GL: from taking up a command stream to the fence that tells of its end, and
 * how many streams that fence was for. In another one: from when a piece of a Vulkan queue could go
 * to the GPU to its end, and of how many submissions it consisted. */
struct work {
    uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
    uint32_t submits;
    uint32_t queue; /* of a Vulkan device, else 0 */
};

/* More than a GPU completes between two looks of who records. */
#define WORK_RING_ENTRIES 2048u

struct work_entry {
    uint64_t seal; /* which entry this is, from 1 on, plus a checksum of what follows */
    uint64_t begin_ns, end_ns;
    uint64_t detail; /* queue << 32 | submits */
};
/* How long submissions took, from being asked for, before any wait for the lease, to their
 * completion: sums that grow, whoever has the slot. Not of LEASE_SLOT_GL, whose are in struct
 * broker_stats. */
struct work_latency {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t sum_ns, max_ns;
};
struct work_ring {
    _Alignas(128) uint64_t next; /* entries so far */
    _Alignas(128) struct work_entry entries[WORK_RING_ENTRIES];
    _Alignas(128) struct work_latency latency;
};
struct work_rings {
    struct work_ring slots[LEASE_SLOTS_MAX];
};

/* As layer_memory_create() and layer_memory_map(): for aliquotd, which only reads, and for who
 * writes. */
int work_rings_create(int *ret_fd, const struct work_rings **ret);
int work_rings_map(int fd, struct work_rings **ret);
void work_rings_unmap(const struct work_rings *rings); /* of either kind; NULL is fine */

/* Any thread; no lock, no system call. ring: NULL = nothing happens. */
void work_ring_put(struct work_ring *ring, const struct work *work);

/* Counts one in the histogram. Likewise. */
void work_ring_count(struct work_ring *ring, uint64_t ns);

/* Copies up to max entries from *cursor on, and moves it: 0 at first. Those that were overwritten
 * before they were read are added to *lost. Returns how many. Whatever is in the ring, it takes
 * bounded time. */
size_t work_ring_take(const struct work_ring *ring, uint64_t *cursor, struct work *ret, size_t max,
                      uint64_t *lost);

#endif
