/* SPDX-License-Identifier: MIT */
/* Rings of work: what is read is what was written, what was not read is counted, and neither a
 * writer that died nor one that lies keeps a reader for long. */
#include "protocol/work_ring.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct pages {
    int fd;
    const struct work_rings *seen; /* as aliquotd does */
    struct work_rings *rings;
    struct work_ring *ring;
    uint64_t cursor, lost;
};

static int set_up(void **state)
{
    static struct pages p;

    p = (struct pages){0};
    assert_int_equal(work_rings_create(&p.fd, &p.seen), 0);
    assert_int_equal(work_rings_map(p.fd, &p.rings), 0);
    p.ring = &p.rings->slots[3];
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct pages *p = *state;

    work_rings_unmap(p->rings);
    work_rings_unmap(p->seen);
    close(p->fd);
    return 0;
}

static void put(struct pages *p, uint64_t n)
{
    work_ring_put(p->ring, &(struct work){.begin_ns = n,
                                          .end_ns = 2 * n,
                                          .submits = (uint32_t)n,
                                          .queue = UINT32_MAX - (uint32_t)n});
}

static bool is_whole(const struct work *w)
{
    return w->end_ns == 2 * w->begin_ns && w->submits == (uint32_t)w->begin_ns &&
           w->queue == UINT32_MAX - w->submits;
}

static size_t take(struct pages *p, struct work *ret, size_t max)
{
    return work_ring_take(&p->seen->slots[3], &p->cursor, ret, max, &p->lost);
}

static void test_pages(void **state)
{
    struct pages *p = *state;
    struct work_rings *rings;
    int small = memfd_create("small", MFD_CLOEXEC);

    assert_true(ftruncate(p->fd, 0) < 0 && ftruncate(p->fd, sizeof(*rings) + 4096) < 0);
    assert_int_equal(ftruncate(small, sizeof(*rings) - 1), 0);
    assert_int_equal(work_rings_map(small, &rings), -EINVAL);
    close(small);
    work_rings_unmap(NULL);
    work_ring_put(NULL, &(struct work){0});
}

static void test_in_order(void **state)
{
    struct pages *p = *state;
    struct work w[10];

    assert_int_equal(take(p, w, 10), 0);
    for (uint64_t n = 1; n <= 7; n++)
        put(p, n);
    assert_int_equal(take(p, w, 5), 5);
    assert_int_equal(take(p, w + 5, 5), 2);
    assert_int_equal(take(p, w, 0), 0);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(w[i].begin_ns, i + 1);
        assert_true(is_whole(&w[i]));
    }
    assert_int_equal(take(p, w, 10), 0);
    assert_int_equal(p->lost, 0);
    /* Other slots have nothing of it. */
    uint64_t cursor = 0;
    assert_int_equal(work_ring_take(&p->seen->slots[4], &cursor, w, 10, &p->lost), 0);
}

static void test_overwritten(void **state)
{
    struct pages *p = *state;
    struct work w;

    for (uint64_t n = 0; n < WORK_RING_ENTRIES + 100; n++)
        put(p, n);
    assert_int_equal(take(p, &w, 1), 1);
    assert_int_equal(w.begin_ns, 100);
    assert_int_equal(p->lost, 100);
    assert_int_equal(take(p, &w, 1), 1);
    assert_int_equal(w.begin_ns, 101);
    assert_int_equal(p->lost, 100);
}

/* Somebody has begun an entry. */
static void begin_entry(struct pages *p)
{
    p->ring->next++;
}

static void test_half_written(void **state)
{
    struct pages *p = *state;
    struct work w[100];

    put(p, 1);
    begin_entry(p);
    put(p, 3);
    assert_int_equal(take(p, w, 100), 1); /* it may come yet */
    assert_int_equal(take(p, w, 100), 0);
    p->ring->entries[1] = (struct work_entry){.seal = 2};
    assert_int_equal(take(p, w, 100), 2);
    assert_int_equal(w[1].begin_ns, 3);
    assert_int_equal(p->lost, 0);

    begin_entry(p); /* and dies */
    for (uint64_t n = 0; n < 70; n++)
        put(p, n);
    assert_int_equal(take(p, w, 100), 70);
    assert_int_equal(w[0].begin_ns, 0);
    assert_int_equal(p->lost, 1);
}

/* Somebody was held up in the middle of an entry while the others went once around, and goes on:
 * with each of its words in turn. */
static void test_held_up(void **state)
{
    struct pages *p = *state;
    struct work w[2];

    for (unsigned word = 0; word < 3; word++) {
        uint64_t number = p->ring->next;
        struct work_entry *e = &p->ring->entries[number % WORK_RING_ENTRIES];
        struct work_entry late = {.begin_ns = 1, .end_ns = 2, .detail = 1};

        put(p, number);
        e->begin_ns = word == 0 ? late.begin_ns : e->begin_ns;
        e->end_ns = word == 1 ? late.end_ns : e->end_ns;
        e->detail = word == 2 ? late.detail : e->detail;
        put(p, number + 1);
        assert_int_equal(take(p, w, 2), 0); /* it may be being written */
        for (uint64_t n = 0; n < 64; n++)
            put(p, n);
        while (take(p, w, 1))
            assert_true(is_whole(&w[0]));
        assert_int_equal(p->lost, word + 1);
    }
}

static void test_lies(void **state)
{
    struct pages *p = *state;
    static struct work w[WORK_RING_ENTRIES + 1];

    for (uint64_t n = 0; n < 10; n++)
        put(p, n);
    assert_int_equal(take(p, w, 10), 10);
    p->ring->next = 3;
    assert_int_equal(take(p, w, WORK_RING_ENTRIES + 1), 0);
    p->ring->next = UINT64_MAX;
    assert_int_equal(take(p, w, WORK_RING_ENTRIES + 1), 0);
    assert_true(p->lost > WORK_RING_ENTRIES);
    p->ring->next = 0;
    put(p, 5);
    assert_int_equal(take(p, w, WORK_RING_ENTRIES + 1), 0);
    put(p, 6);
    assert_int_equal(take(p, w, WORK_RING_ENTRIES + 1), 1);
    assert_int_equal(w[0].begin_ns, 6);
}

#define WRITERS 3
#define EACH 100000u

static void *write_many(void *opaque)
{
    struct pages *p = opaque;

    for (uint64_t n = 1; n <= EACH; n++)
        put(p, n);
    return NULL;
}

static void test_race(void **state)
{
    struct pages *p = *state;
    pthread_t writers[WRITERS];
    struct work w[64];
    uint64_t taken = 0;

    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, p), 0);
    while (taken + p->lost < WRITERS * EACH) {
        size_t n = take(p, w, 64);
        for (size_t i = 0; i < n; i++)
            assert_true(is_whole(&w[i]));
        taken += n;
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    assert_int_equal(taken + p->lost, WRITERS * EACH);
    assert_int_equal(take(p, w, 64), 0);
}

static void test_count(void **state)
{
    struct pages *p = *state;
    const struct work_latency *l = &p->seen->slots[3].latency;

    work_ring_count(NULL, 1);
    work_ring_count(p->ring, 0);
    work_ring_count(p->ring, 999);
    work_ring_count(p->ring, 5000000);
    work_ring_count(p->ring, 1000);
    assert_int_equal(l->buckets[0], 2);
    assert_int_equal(l->buckets[1], 1);
    assert_int_equal(l->buckets[13], 1); /* 4096 µs … 8192 µs */
    assert_int_equal(l->sum_ns, 5001999);
    assert_int_equal(l->max_ns, 5000000);
    work_ring_count(p->ring, UINT64_MAX / 2);
    assert_int_equal(l->buckets[HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(l->max_ns, UINT64_MAX / 2);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket(histogram_floor_ns(i)), i);
        if (i > 0)
            assert_int_equal(histogram_bucket(histogram_floor_ns(i) - 1), i - 1);
    }
    /* It is another slot's business alone. */
    assert_int_equal(p->seen->slots[2].latency.sum_ns, 0);
}

static void *count_many(void *opaque)
{
    struct pages *p = opaque;

    for (uint64_t n = 1; n <= EACH; n++)
        work_ring_count(p->ring, n);
    return NULL;
}

static void test_count_race(void **state)
{
    struct pages *p = *state;
    pthread_t writers[WRITERS];
    const struct work_latency *l = &p->seen->slots[3].latency;
    uint64_t total = 0;

    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, count_many, p), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += l->buckets[i];
    assert_int_equal(total, WRITERS * EACH);
    assert_int_equal(l->sum_ns, WRITERS * (EACH * (EACH + UINT64_C(1)) / 2));
    assert_int_equal(l->max_ns, EACH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages),        TEST(test_in_order), TEST(test_overwritten),
        TEST(test_half_written), TEST(test_held_up),  TEST(test_lies),
        TEST(test_race),         TEST(test_count),    TEST(test_count_race)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
