/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/latency.h"

#include "mediator/base/util.h"
#include "protocol/histogram.h"

#include <time.h>

uint64_t latency_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Counters have one writer, so a relaxed load and store make an addition. */
static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void count(struct broker_stats *stats, uint64_t ns)
{
    add(&stats->latency[histogram_bucket(ns)], 1);
    add(&stats->latency_sum_ns, ns);
    if (ns > atomic_load_explicit(&stats->latency_max_ns, memory_order_relaxed))
        atomic_store_explicit(&stats->latency_max_ns, ns, memory_order_relaxed);
}

static void trace(struct work_ring *ring, uint64_t taken_ns, uint64_t now_ns, size_t streams)
{
    const struct work work = {.begin_ns = taken_ns, .end_ns = now_ns, .submits = (uint32_t)streams};

    work_ring_put(ring, &work);
}

void latency_count(struct broker_stats *stats, struct work_ring *ring, uint64_t taken_ns)
{
    uint64_t now_ns = latency_clock_ns();

    count(stats, now_ns - taken_ns);
    trace(ring, taken_ns, now_ns, 1);
}

void latency_queue_add(struct latency_queue *q, uint64_t taken_ns)
{
    if (q->count < LATENCY_QUEUE_MAX)
        q->taken_ns[(q->first + q->count++) % LATENCY_QUEUE_MAX] = taken_ns;
}

void latency_queue_count(struct latency_queue *q, size_t n, struct broker_stats *stats,
                         struct work_ring *ring)
{
    n = MIN(n, q->count);
    if (n == 0)
        return;
    uint64_t now_ns = latency_clock_ns();

    trace(ring, q->taken_ns[q->first], now_ns, n);
    for (; n > 0; n--, q->count--) {
        count(stats, now_ns - q->taken_ns[q->first]);
        q->first = (q->first + 1) % LATENCY_QUEUE_MAX;
    }
}
