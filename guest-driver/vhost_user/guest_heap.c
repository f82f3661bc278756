/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/guest_heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static unsigned size_class(uint64_t size)
{
    return 63 - (unsigned)__builtin_clzll(size / GUEST_HEAP_GRANULE);
}

static void list_insert(struct guest_heap *heap, struct guest_block *block)
{
    unsigned class = size_class(block->size);

    block->free = true;
    block->free_prev = NULL;
    block->free_next = heap->classes[class];
    if (block->free_next)
        block->free_next->free_prev = block;
    heap->classes[class] = block;
    heap->class_mask |= 1ull << class;
    heap->free_bytes += block->size;
}

static void list_remove(struct guest_heap *heap, struct guest_block *block)
{
    unsigned class = size_class(block->size);

    if (block->free_prev)
        block->free_prev->free_next = block->free_next;
    else
        heap->classes[class] = block->free_next;
    if (block->free_next)
        block->free_next->free_prev = block->free_prev;
    if (!heap->classes[class])
        heap->class_mask &= ~(1ull << class);
    block->free = false;
    heap->free_bytes -= block->size;
}

/* Takes block b, the right neighbour of a, into a. Neither is in a list. */
static void absorb(struct guest_block *a, struct guest_block *b)
{
    a->size += b->size;
    a->next = b->next;
    if (a->next)
        a->next->prev = a;
    free(b);
}

int guest_heap_init(struct guest_heap *heap, uint64_t size_bytes)
{
    if (size_bytes == 0 || size_bytes % GUEST_HEAP_GRANULE ||
        size_class(size_bytes) >= GUEST_HEAP_CLASSES)
        return -EINVAL;
    struct guest_block *block = calloc(1, sizeof(*block));
    if (!block)
        return -ENOMEM;
    block->size = size_bytes;
    *heap = (struct guest_heap){.size_bytes = size_bytes, .first = block};
    list_insert(heap, block);
    return 0;
}

void guest_heap_finish(struct guest_heap *heap)
{
    while (heap->first) {
        struct guest_block *block = heap->first;
        heap->first = block->next;
        free(block);
    }
    *heap = (struct guest_heap){0};
}

static struct guest_block *find(const struct guest_heap *heap, uint64_t size)
{
    unsigned class = size_class(size);

    if (class >= GUEST_HEAP_CLASSES)
        return NULL;
    for (struct guest_block *b = heap->classes[class]; b; b = b->free_next) {
        if (b->size >= size)
            return b;
    }
    /* Any block of a higher class is large enough. */
    uint64_t higher = heap->class_mask & ~((2ull << class) - 1);
    return higher ? heap->classes[__builtin_ctzll(higher)] : NULL;
}

int guest_heap_alloc(struct guest_heap *heap, uint64_t bytes, struct guest_block **ret)
{
    if (bytes == 0)
        return -EINVAL;
    if (bytes > heap->size_bytes)
        return -ENOSPC;
    uint64_t size = (bytes + GUEST_HEAP_GRANULE - 1) / GUEST_HEAP_GRANULE * GUEST_HEAP_GRANULE;
    struct guest_block *block = find(heap, size);
    if (!block)
        return -ENOSPC;

    struct guest_block *rest = NULL;
    if (block->size > size) {
        rest = calloc(1, sizeof(*rest));
        if (!rest)
            return -ENOMEM;
    }
    list_remove(heap, block);
    if (rest) {
        rest->offset = block->offset + size;
        rest->size = block->size - size;
        rest->prev = block;
        rest->next = block->next;
        if (rest->next)
            rest->next->prev = rest;
        block->next = rest;
        block->size = size;
        list_insert(heap, rest);
    }
    *ret = block;
    return 0;
}

void guest_heap_free(struct guest_heap *heap, struct guest_block *block)
{
    if (!block)
        return;
    assert(!block->free);
    if (block->next && block->next->free) {
        list_remove(heap, block->next);
        absorb(block, block->next);
    }
    if (block->prev && block->prev->free) {
        block = block->prev;
        list_remove(heap, block);
        absorb(block, block->next);
    }
    list_insert(heap, block);
}
