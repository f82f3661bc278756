/* SPDX-License-Identifier: MIT */
/*
 * How long OpenGL's command streams take from being taken up, before any wait for the lease, to
 * their completion on the GPU: a histogram in the page of counters (struct broker_stats), and
 * intervals for the trace (struct work_ring). Used by the device model, where each stream is a
 * command with a fence, and by the vtest server, where one fence is for all that came before it.
 */
#ifndef ALIQUOT_RENDERER_LATENCY_H
#define ALIQUOT_RENDERER_LATENCY_H

#include "protocol/broker.h"
#include "protocol/work_ring.h"

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t latency_clock_ns(void);
/* What was taken up then is complete now. ring: NULL = there is no trace. */
void latency_count(struct broker_stats *stats, struct work_ring *ring, uint64_t taken_ns);

/* Streams that are not complete, oldest first. More than anybody has under way; those that find no
 * room are not counted. */
#define LATENCY_QUEUE_MAX 256
struct latency_queue {
    uint64_t taken_ns[LATENCY_QUEUE_MAX];
    size_t first, count;
};
void latency_queue_add(struct latency_queue *q, uint64_t taken_ns);
/* The first n are complete now, by one fence. */
void latency_queue_count(struct latency_queue *q, size_t n, struct broker_stats *stats,
                         struct work_ring *ring);

#endif
