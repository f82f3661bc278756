/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/work_log.h"

#include "mediator/base/util.h"
#include "protocol/lease_atomic.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* Taken from a ring at a time. */
#define TAKE_MAX 64u

struct work_log {
    uint64_t n_records; /* so far */
    struct work_record records[WORK_LOG_RECORDS];
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct work_log *work_log_create(void)
{
    return calloc(1, sizeof(struct work_log)); /* of which most is never touched */
}

void work_log_destroy(struct work_log *log)
{
    free(log);
}

int work_source_init(struct work_source *s, int *ret_fd)
{
    *s = (struct work_source){.born_ns = now_ns()};
    return work_rings_create(ret_fd, &s->rings);
}

void work_source_finish(struct work_source *s)
{
    work_rings_unmap(TAKE_PTR(s->rings));
}

/* ---- latency --------------------------------------------------------------------------------- */

static void add(uint64_t *sum, uint64_t n)
{
    *sum += MIN(n, UINT64_MAX - *sum);
}

static uint64_t product(uint64_t a, uint64_t b)
{
    uint64_t result;

    return __builtin_mul_overflow(a, b, &result) ? UINT64_MAX : result;
}

static void add_slot(const struct work_latency *l, uint64_t age_ns, struct arbiter_histogram *sum)
{
    uint64_t count = 0, max_count = age_ns / 1000;
    uint64_t max_ns = MIN(LEASE_STAT_LOAD(&l->max_ns), age_ns);

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_floor_ns(i) <= age_ns; i++) {
        uint64_t n = MIN(LEASE_STAT_LOAD(&l->buckets[i]), max_count - count);
        add(&sum->buckets[i], n);
        count += n;
    }
    if (count == 0)
        return;
    add(&sum->count, count);
    add(&sum->sum_ns, MIN(LEASE_STAT_LOAD(&l->sum_ns), product(count, max_ns)));
    sum->max_ns = MAX(sum->max_ns, max_ns);
}

void work_source_add_latency(const struct work_source *s, struct arbiter_histogram *sum)
{
    uint64_t age_ns = now_ns() - s->born_ns;

    for (uint32_t slot = 0; slot < LEASE_SLOTS_MAX && s->rings; slot++)
        if (slot != LEASE_SLOT_GL)
            add_slot(&s->rings->slots[slot].latency, age_ns, sum);
}

/* ---- taking --------------------------------------------------------------------------------- */

static void note(struct work_log *log, struct work_record record)
{
    log->records[log->n_records++ % WORK_LOG_RECORDS] = record;
}

/* now_ns was read after it was. */
static bool is_possible(const struct work_source *s, const struct work *w, uint64_t now_ns)
{
    return s->born_ns <= w->begin_ns && w->begin_ns <= w->end_ns && w->end_ns <= now_ns;
}

static void take_slot(struct work_log *log, struct work_source *s, uint32_t vgpu, uint32_t slot)
{
    const struct work_ring *ring = &s->rings->slots[slot];
    struct work works[TAKE_MAX];
    uint64_t lost = 0, seen_ns = 0;
    size_t n = TAKE_MAX;

    /* A renderer that goes on filling it while we read is no reason to stay. */
    for (unsigned taken = 0; n == TAKE_MAX && taken < WORK_RING_ENTRIES; taken += TAKE_MAX) {
        n = work_ring_take(ring, &s->cursors[slot], works, TAKE_MAX, &lost);
        seen_ns = now_ns();
        for (size_t i = 0; i < n; i++) {
            if (is_possible(s, &works[i], seen_ns))
                note(log, (struct work_record){.vgpu = vgpu, .slot = slot, .work = works[i]});
            else
                lost++;
        }
    }
    if (lost > 0)
        note(log, (struct work_record){
                      .vgpu = vgpu, .slot = slot, .lost = lost, .work.end_ns = seen_ns});
}

void work_log_take(struct work_log *log, struct work_source *s, uint32_t vgpu)
{
    for (uint32_t slot = 0; slot < LEASE_SLOTS_MAX && s->rings; slot++)
        take_slot(log, s, vgpu, slot);
}

/* ---- reading -------------------------------------------------------------------------------- */

size_t work_log_read(const struct work_log *log, uint64_t *cursor, struct work_record *ret,
                     size_t max, uint64_t *ret_lost)
{
    uint64_t end = log->n_records, oldest = end > WORK_LOG_RECORDS ? end - WORK_LOG_RECORDS : 0;
    size_t n = 0;

    *ret_lost = *cursor < oldest ? oldest - *cursor : 0;
    *cursor = MIN(MAX(*cursor, oldest), end);
    while (n < max && *cursor < end)
        ret[n++] = log->records[(*cursor)++ % WORK_LOG_RECORDS];
    return n;
}
