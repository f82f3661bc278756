/* SPDX-License-Identifier: MIT */
/* The allocator of shared memory, by cases and against a plain map of pages. */
#include "guest-driver/vhost_user/guest_heap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE GUEST_HEAP_GRANULE

static void test_rejects_bad_sizes(void **state)
{
    struct guest_heap heap;
    struct guest_block *block = NULL;

    assert_int_equal(guest_heap_init(&heap, 0), -EINVAL);
    assert_int_equal(guest_heap_init(&heap, PAGE + 1), -EINVAL);
    assert_int_equal(guest_heap_init(&heap, 4 * PAGE), 0);
    assert_int_equal(guest_heap_alloc(&heap, 0, &block), -EINVAL);
    assert_int_equal(guest_heap_alloc(&heap, 4 * PAGE + 1, &block), -ENOSPC);
    assert_int_equal(guest_heap_alloc(&heap, UINT64_MAX, &block), -ENOSPC);
    assert_null(block);
    guest_heap_free(&heap, NULL);
    assert_int_equal(heap.free_bytes, 4 * PAGE);
    guest_heap_finish(&heap);
}

static void test_rounds_up_and_fills_the_range(void **state)
{
    struct guest_heap heap;
    struct guest_block *blocks[4], *none;

    assert_int_equal(guest_heap_init(&heap, 4 * PAGE), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(guest_heap_alloc(&heap, i == 0 ? 1 : PAGE, &blocks[i]), 0);
        assert_int_equal(blocks[i]->size, PAGE);
    }
    assert_int_equal(heap.free_bytes, 0);
    assert_int_equal(guest_heap_alloc(&heap, 1, &none), -ENOSPC);
    for (unsigned i = 0; i < 4; i++)
        guest_heap_free(&heap, blocks[i]);
    assert_int_equal(guest_heap_alloc(&heap, 4 * PAGE, &blocks[0]), 0);
    assert_int_equal(blocks[0]->offset, 0);
    guest_heap_finish(&heap);
}

static void test_merges_in_any_order(void **state)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}};
    struct guest_heap heap;

    assert_int_equal(guest_heap_init(&heap, 3 * PAGE), 0);
    for (unsigned o = 0; o < 4; o++) {
        struct guest_block *blocks[3], *all;
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(guest_heap_alloc(&heap, PAGE, &blocks[i]), 0);
        for (unsigned i = 0; i < 3; i++)
            guest_heap_free(&heap, blocks[orders[o][i]]);
        assert_int_equal(guest_heap_alloc(&heap, 3 * PAGE, &all), 0);
        guest_heap_free(&heap, all);
    }
    guest_heap_finish(&heap);
}

/* A free block of the same size class that is too small must not hide one that is large enough. */
static void test_finds_the_fit_within_a_class(void **state)
{
    struct guest_heap heap;
    struct guest_block *a, *b, *c, *wall;

    assert_int_equal(guest_heap_init(&heap, 16 * PAGE), 0);
    assert_int_equal(guest_heap_alloc(&heap, 7 * PAGE, &a), 0);
    assert_int_equal(guest_heap_alloc(&heap, PAGE, &wall), 0);
    assert_int_equal(guest_heap_alloc(&heap, 5 * PAGE, &b), 0);
    assert_int_equal(guest_heap_alloc(&heap, 3 * PAGE, &c), 0);
    guest_heap_free(&heap, a);
    guest_heap_free(&heap, b); /* first in its class now, and too small */
    assert_int_equal(guest_heap_alloc(&heap, 6 * PAGE, &a), 0);
    assert_int_equal(a->offset, 0);
    guest_heap_finish(&heap);
}

#define MODEL_PAGES 256
#define MODEL_BLOCKS 64

static void check_against_model(const struct guest_heap *heap, const uint8_t *used)
{
    uint64_t free_pages = 0, offset = 0;

    for (unsigned i = 0; i < MODEL_PAGES; i++)
        free_pages += !used[i];
    assert_int_equal(heap->free_bytes, free_pages * PAGE);
    for (const struct guest_block *b = heap->first; b; b = b->next) {
        assert_int_equal(b->offset, offset);
        assert_false(b->free && b->next && b->next->free);
        for (uint64_t p = b->offset / PAGE; p < (b->offset + b->size) / PAGE; p++)
            assert_int_equal(used[p], !b->free);
        offset += b->size;
    }
    assert_int_equal(offset, MODEL_PAGES * PAGE);
}

static unsigned longest_free_run(const uint8_t *used)
{
    unsigned best = 0, run = 0;

    for (unsigned i = 0; i < MODEL_PAGES; i++) {
        run = used[i] ? 0 : run + 1;
        best = run > best ? run : best;
    }
    return best;
}

static void test_agrees_with_a_map_of_pages(void **state)
{
    struct guest_heap heap;
    struct guest_block *blocks[MODEL_BLOCKS] = {0};
    uint8_t used[MODEL_PAGES] = {0};
    unsigned seed = 1;

    assert_int_equal(guest_heap_init(&heap, MODEL_PAGES * PAGE), 0);
    for (unsigned step = 0; step < 20000; step++) {
        struct guest_block **block = &blocks[rand_r(&seed) % MODEL_BLOCKS];
        if (*block) {
            memset(used + (*block)->offset / PAGE, 0, (*block)->size / PAGE);
            guest_heap_free(&heap, *block);
            *block = NULL;
        } else {
            unsigned pages = 1 + (unsigned)rand_r(&seed) % 24;
            int result = guest_heap_alloc(&heap, pages * (uint64_t)PAGE, block);
            /* It fails if, and only if, no run is long enough. */
            assert_int_equal(result, longest_free_run(used) >= pages ? 0 : -ENOSPC);
            if (result == 0) {
                assert_int_equal((*block)->size, pages * PAGE);
                memset(used + (*block)->offset / PAGE, 1, pages);
            }
        }
        if (step % 64 == 0)
            check_against_model(&heap, used);
    }
    guest_heap_finish(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejects_bad_sizes),
        cmocka_unit_test(test_rounds_up_and_fills_the_range),
        cmocka_unit_test(test_merges_in_any_order),
        cmocka_unit_test(test_finds_the_fit_within_a_class),
        cmocka_unit_test(test_agrees_with_a_map_of_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
