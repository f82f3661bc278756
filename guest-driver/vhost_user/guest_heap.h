/* SPDX-License-Identifier: MIT */
/*
 * Which parts of the shared memory are in use: an allocator of page-aligned blocks of a range of
 * offsets. All its bookkeeping lives in private memory, where the device can't reach it; the range
 * itself is never touched. Used for backing and for commands too large for a slot, and for the
 * host-visible region. Nothing here locks.
 *
 * Free blocks hang in lists by power-of-two size, and each block knows its neighbours, so that a
 * freed block merges at once. Both directions take constant time, apart from the search inside one
 * size class.
 */
#ifndef ALIQUOT_GUEST_HEAP_H
#define ALIQUOT_GUEST_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* A page: blocks of different owners never share one, so a page can be given back to the kernel
 * when its block is freed. */
#define GUEST_HEAP_GRANULE 4096u
#define GUEST_HEAP_CLASSES 52 /* class c holds free blocks of 2^c … 2^(c+1)-1 granules */

struct guest_block {
    uint64_t offset; /* bytes from the start of the range */
    uint64_t size;   /* bytes, a multiple of the granule */
    /* for the heap alone: */
    bool free;
    struct guest_block *prev, *next;           /* neighbours by address, owned by the heap */
    struct guest_block *free_prev, *free_next; /* in the list of its class, if free */
};

struct guest_heap {
    uint64_t size_bytes;
    uint64_t free_bytes;
    struct guest_block *first; /* owned: all blocks, by address */
    uint64_t class_mask;       /* bit c: classes[c] is not empty */
    struct guest_block *classes[GUEST_HEAP_CLASSES];
};

/* Takes offsets 0 … size_bytes, a multiple of the granule. Returns 0, -EINVAL or -ENOMEM. */
int guest_heap_init(struct guest_heap *heap, uint64_t size_bytes);
/* Forgets all blocks, allocated or not. */
void guest_heap_finish(struct guest_heap *heap);

/* Allocates bytes, rounded up to the granule. Returns 0, -EINVAL (0 bytes), -ENOSPC (no free block
 * is large enough), -ENOMEM (of private memory). *ret belongs to the heap until it is freed. */
int guest_heap_alloc(struct guest_heap *heap, uint64_t bytes, struct guest_block **ret);
/* NULL is fine. */
void guest_heap_free(struct guest_heap *heap, struct guest_block *block);

#endif
