/* SPDX-License-Identifier: MIT */
/* What the daemon makes of rings of work: whose it is, what is kept of it, and what it does not
 * believe. */
#include "mediator/daemon/work_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct work_log *log;
    struct work_source source;
    struct work_rings *rings; /* the renderer's */
    int fd;
};

static int set_up(void **state)
{
    static struct fixture f;

    f.log = work_log_create();
    assert_non_null(f.log);
    assert_int_equal(work_source_init(&f.source, &f.fd), 0);
    assert_int_equal(work_rings_map(f.fd, &f.rings), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    work_rings_unmap(f->rings);
    close(f->fd);
    work_source_finish(&f->source);
    work_source_finish(&f->source);
    work_log_destroy(f->log);
    work_log_destroy(NULL);
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void put(struct fixture *f, uint32_t slot, uint64_t begin_ns, uint64_t end_ns)
{
    const struct work work = {.begin_ns = begin_ns, .end_ns = end_ns, .submits = 3, .queue = 1};
    work_ring_put(&f->rings->slots[slot], &work);
}

static void test_taken_once(void **state)
{
    struct fixture *f = *state;
    uint64_t begin_ns = now_ns(), cursor = 0, later = UINT64_MAX, lost;
    struct work_record r[8];

    put(f, 0, begin_ns, now_ns());
    put(f, 15, begin_ns, now_ns());
    assert_int_equal(work_log_read(f->log, &later, r, 8, &lost), 0);
    work_log_take(f->log, &f->source, 7);
    work_log_take(f->log, &f->source, 7);
    assert_int_equal(work_log_read(f->log, &cursor, r, 8, &lost), 2);
    assert_int_equal(lost, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r[i].vgpu, 7);
        assert_int_equal(r[i].slot, i == 0 ? 0 : 15);
        assert_int_equal(r[i].lost, 0);
        assert_int_equal(r[i].work.begin_ns, begin_ns);
        assert_int_equal(r[i].work.submits, 3);
        assert_int_equal(r[i].work.queue, 1);
    }
    assert_int_equal(work_log_read(f->log, &cursor, r, 8, &lost), 0);
    assert_int_equal(work_log_read(f->log, &later, r, 1, &lost), 1);
    assert_int_equal(work_log_read(f->log, &later, r, 1, &lost), 1);
    assert_int_equal(r[0].slot, 15);
}

/* Nothing before the renderer began, nothing that ends before it begins, or in the future. */
static void test_impossible(void **state)
{
    struct fixture *f = *state;
    uint64_t now = now_ns(), cursor = 0, lost;
    struct work_record r[8];

    put(f, 2, f->source.born_ns - 1, now);
    put(f, 2, now, now - 1);
    put(f, 2, now, now + UINT64_C(3600000000000));
    put(f, 2, UINT64_MAX, 0);
    put(f, 2, f->source.born_ns, now);
    work_log_take(f->log, &f->source, 1);
    assert_int_equal(work_log_read(f->log, &cursor, r, 8, &lost), 2);
    assert_int_equal(r[0].lost, 0);
    assert_int_equal(r[0].work.end_ns, now);
    assert_int_equal(r[1].lost, 4);
    assert_int_equal(r[1].slot, 2);
    assert_true(r[1].work.end_ns >= now && r[1].work.end_ns <= now_ns());
}

/* Of what came faster than it was taken, and of what nobody has read. */
static void test_lost(void **state)
{
    struct fixture *f = *state;
    uint64_t now = now_ns(), cursor = 0, lost, records = 0;
    static struct work_record r[WORK_RING_ENTRIES];

    for (unsigned i = 0; i < WORK_RING_ENTRIES + 5; i++)
        put(f, 1, now, now);
    work_log_take(f->log, &f->source, 1);
    assert_int_equal(work_log_read(f->log, &cursor, r, WORK_RING_ENTRIES, &lost),
                     WORK_RING_ENTRIES);
    assert_int_equal(work_log_read(f->log, &cursor, r, WORK_RING_ENTRIES, &lost), 1);
    assert_int_equal(r[0].lost, 5);
    while (records < WORK_LOG_RECORDS + 10) {
        put(f, 1, now, now);
        work_log_take(f->log, &f->source, 1);
        records++;
    }
    assert_int_equal(work_log_read(f->log, &cursor, r, 1, &lost), 1);
    assert_int_equal(lost, 10);
}

#define SECOND_NS UINT64_C(1000000000)

static uint64_t total(const struct arbiter_histogram *h)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < ARBITER_BUCKETS; i++)
        n += h->buckets[i];
    return n;
}

/* Of all slots but GL's, on top of what was there. */
static void test_latency(void **state)
{
    struct fixture *f = *state;
    struct arbiter_histogram h = {0};

    f->source.born_ns = now_ns() - 10 * SECOND_NS;
    work_source_add_latency(&f->source, &h);
    assert_true(h.count == 0 && h.sum_ns == 0 && h.max_ns == 0 && total(&h) == 0);
    work_ring_count(&f->rings->slots[LEASE_SLOT_GL], 7000);
    work_ring_count(&f->rings->slots[1], 3000);
    work_ring_count(&f->rings->slots[15], 5000);
    work_ring_count(&f->rings->slots[15], 9 * SECOND_NS);
    for (unsigned i = 1; i <= 2; i++) {
        work_source_add_latency(&f->source, &h);
        assert_int_equal(h.count, 3 * i);
        assert_int_equal(total(&h), 3 * i);
        assert_int_equal(h.buckets[2], i);
        assert_int_equal(h.buckets[3], i);
        assert_int_equal(h.buckets[24], i);
        assert_int_equal(h.sum_ns, i * (9 * SECOND_NS + 8000));
        assert_int_equal(h.max_ns, 9 * SECOND_NS);
    }
}

/* Whatever is in there: no more than there was time for, nothing longer than that, and no sum that
 * wraps. */
static void test_impossible_latency(void **state)
{
    struct fixture *f = *state;
    struct work_latency *l = &f->rings->slots[4].latency;
    struct arbiter_histogram h = {0};

    f->source.born_ns = now_ns() - 10 * SECOND_NS;
    l->max_ns = l->sum_ns = UINT64_MAX;
    work_source_add_latency(&f->source, &h); /* of none */
    assert_true(h.count == 0 && h.sum_ns == 0 && h.max_ns == 0);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        l->buckets[i] = UINT64_MAX - i;
    work_source_add_latency(&f->source, &h);
    uint64_t age_ns = now_ns() - f->source.born_ns;
    assert_int_equal(h.count, total(&h));
    assert_true(h.count >= 10 * SECOND_NS / 1000 && h.count <= age_ns / 1000);
    assert_true(h.max_ns >= 10 * SECOND_NS && h.max_ns <= age_ns);
    assert_true(h.sum_ns <= h.count * age_ns);
    /* Longer than it exists. */
    *l = (struct work_latency){.buckets[25] = 1, .buckets[26] = 1, .max_ns = 1, .sum_ns = 1};
    h = (struct arbiter_histogram){0};
    work_source_add_latency(&f->source, &h);
    assert_int_equal(h.count, 0);
    /* What was there already is full. */
    l->buckets[0] = 5;
    h = (struct arbiter_histogram){
        .buckets[0] = UINT64_MAX, .count = UINT64_MAX - 1, .sum_ns = UINT64_MAX};
    work_source_add_latency(&f->source, &h);
    assert_true(h.buckets[0] == UINT64_MAX && h.count == UINT64_MAX && h.sum_ns == UINT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_taken_once), TEST(test_impossible),
                                       TEST(test_lost), TEST(test_latency),
                                       TEST(test_impossible_latency)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
