/* SPDX-License-Identifier: MIT */
/*
 * What will happen on the virtual clock: a binary heap; events of one time come in the order in
 * which they were added. Used by sim.c.
 */
#ifndef ALIQUOT_SIM_EVENT_QUEUE_H
#define ALIQUOT_SIM_EVENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_event {
    uint64_t at_ns;
    uint64_t sequence; /* the queue's own */
    size_t vgpu;
    int kind;
};

/* {0} is an empty queue. */
struct sim_event_queue {
    struct sim_event *heap; /* owned */
    size_t n, room;
    uint64_t sequence;
};

void sim_event_queue_finish(struct sim_event_queue *q);
/* 0 or -ENOMEM. */
int sim_event_queue_add(struct sim_event_queue *q, uint64_t at_ns, int kind, size_t vgpu);
/* The time of the next event, UINT64_MAX if there is none. */
uint64_t sim_event_queue_next_ns(const struct sim_event_queue *q);
/* Takes the next event out; there must be one. */
struct sim_event sim_event_queue_take(struct sim_event_queue *q);

#endif
