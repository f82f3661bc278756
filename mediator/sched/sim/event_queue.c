/* SPDX-License-Identifier: MIT */
#include "mediator/sched/sim/event_queue.h"

#include <errno.h>
#include <stdlib.h>

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event kept = *a;

    *a = *b;
    *b = kept;
}

void sim_event_queue_finish(struct sim_event_queue *q)
{
    free(q->heap);
    *q = (struct sim_event_queue){0};
}

int sim_event_queue_add(struct sim_event_queue *q, uint64_t at_ns, int kind, size_t vgpu)
{
    if (q->n == q->room) {
        size_t room = q->room ? q->room * 2 : 64;
        struct sim_event *heap = reallocarray(q->heap, room, sizeof(*heap));
        if (!heap)
            return -ENOMEM;
        q->heap = heap;
        q->room = room;
    }
    size_t i = q->n++;
    q->heap[i] = (struct sim_event){at_ns, q->sequence++, vgpu, kind};
    for (; i > 0 && earlier(&q->heap[i], &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&q->heap[i], &q->heap[(i - 1) / 2]);
    return 0;
}

uint64_t sim_event_queue_next_ns(const struct sim_event_queue *q)
{
    return q->n > 0 ? q->heap[0].at_ns : UINT64_MAX;
}

struct sim_event sim_event_queue_take(struct sim_event_queue *q)
{
    struct sim_event first = q->heap[0];
    size_t i = 0;

    q->heap[0] = q->heap[--q->n];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= q->n)
            return first;
        if (child + 1 < q->n && earlier(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (!earlier(&q->heap[child], &q->heap[i]))
            return first;
        swap(&q->heap[i], &q->heap[child]);
        i = child;
    }
}
