/* SPDX-License-Identifier: MIT */
/* Whether processes of one vGPU share its memory quota, and nothing is lost when they race or end.
 */
#include "protocol/layer_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct page {
    int fd;
    const struct layer_memory *seen; /* as aliquotd does */
    struct layer_memory *m;
};

static int set_up(void **state)
{
    static struct page p;

    assert_int_equal(layer_memory_create(&p.fd, &p.seen), 0);
    assert_int_equal(layer_memory_map(p.fd, &p.m), 0);
    assert_false(layer_memory_is_valid(p.seen));
    layer_memory_init(p.m, 1000);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct page *p = *state;

    layer_memory_unmap(p->m);
    layer_memory_unmap(p->seen);
    close(p->fd);
    return 0;
}

static void test_page(void **state)
{
    struct page *p = *state;
    struct layer_memory *m;
    int small = memfd_create("small", MFD_CLOEXEC);

    assert_true(layer_memory_is_valid(p->seen));
    assert_true(ftruncate(p->fd, 0) < 0 && ftruncate(p->fd, 8192) < 0);
    assert_true(fcntl(p->fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(ftruncate(small, 4095), 0);
    assert_int_equal(layer_memory_map(small, &m), -EINVAL);
    close(small);
    layer_memory_unmap(NULL);
}

static void test_one_quota(void **state)
{
    struct page *p = *state;
    struct layer_sums sums;

    assert_true(layer_memory_take(p->m, LEASE_SLOT_GL, 400));
    assert_true(layer_memory_take(p->m, 3, 600));
    assert_false(layer_memory_take(p->m, 4, 1));
    assert_true(layer_memory_take(p->m, 4, 0));
    assert_false(layer_memory_take(p->m, 4, UINT64_MAX));
    layer_memory_read(p->seen, &sums);
    assert_int_equal(sums.memory_bytes, 600);
    layer_memory_give(p->m, LEASE_SLOT_GL, 100);
    assert_true(layer_memory_take(p->m, 4, 100));
    assert_int_equal(p->m->used_bytes, 1000);
    assert_int_equal(layer_memory_left(p->m), 0);
    assert_false(layer_memory_take(p->m, 4, UINT64_MAX - 39)); /* no wrap-around */
    /* A smaller one takes nothing away, and gives nothing. */
    p->m->quota_bytes = 500;
    assert_int_equal(layer_memory_quota(p->m), 500);
    assert_int_equal(layer_memory_left(p->m), 0);
    assert_false(layer_memory_take(p->m, 4, 0));
    assert_false(layer_memory_take(p->m, 4, 1));
    layer_memory_give(p->m, 3, 600);
    assert_int_equal(layer_memory_left(p->m), 100);
    assert_true(layer_memory_take(p->m, 4, 100));
    p->m->quota_bytes = UINT64_MAX;
    assert_true(layer_memory_take(p->m, 4, UINT64_MAX / 2));
    assert_false(layer_memory_take(p->m, 4, UINT64_MAX));
}

static void test_reclaim(void **state)
{
    struct page *p = *state;
    struct layer_sums before, after;

    assert_true(layer_memory_take(p->m, LEASE_SLOT_GL, 100));
    assert_true(layer_memory_take(p->m, 5, 900));
    p->m->slots[5].submits = 10;
    p->m->slots[5].batches = 20;
    p->m->slots[5].refused = 3;
    p->m->slots[5].devices = 2;
    layer_memory_read(p->seen, &before);
    assert_int_equal(before.devices, 2);
    layer_memory_reclaim(p->m, 5);
    layer_memory_reclaim(p->m, 5);
    layer_memory_read(p->seen, &after);
    assert_int_equal(after.submits, before.submits);
    assert_int_equal(after.batches, before.batches);
    assert_int_equal(after.refused, before.refused);
    assert_int_equal(after.devices, 0);
    assert_int_equal(after.memory_bytes, 0);
    assert_int_equal(p->m->used_bytes, 100);
    /* A slot that lies can't make it wrap. */
    p->m->slots[6].memory_bytes = UINT64_MAX;
    layer_memory_reclaim(p->m, 6);
    assert_int_equal(p->m->used_bytes, 0);
}

static void *race(void *opaque)
{
    struct layer_memory *m = opaque;
    static uint32_t slots;
    uint32_t slot = 1 + __atomic_fetch_add(&slots, 1, __ATOMIC_RELAXED) % 4;

    for (int i = 0; i < 20000; i++) {
        if (layer_memory_take(m, slot, 300))
            layer_memory_give(m, slot, 300);
        if (__atomic_load_n(&m->used_bytes, __ATOMIC_ACQUIRE) > 1000)
            return m; /* beyond the quota */
    }
    return NULL;
}

static void test_race(void **state)
{
    struct page *p = *state;
    pthread_t threads[4];
    void *failed = NULL;

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, p->m), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(p->m->used_bytes, 0);
    for (int i = 0; i < LEASE_SLOTS_MAX; i++)
        assert_int_equal(p->m->slots[i].memory_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_quota, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reclaim, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
