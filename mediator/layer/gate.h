/* SPDX-License-Identifier: MIT */
/*
 * The gate of one VkQueue: what is submitted to it enters the lease (protocol/lease.h) piece by
 * piece, in order. docs/vulkan.md tells the rules and why they are such.
 *
 * A piece is what is given to the driver in one call; the layer adds the signal of a timeline
 * semaphore of its own (`done`) behind it, by which completion.c sees the end. A piece that may
 * start at once has entered the lease before it is given to the driver. Another is given to the
 * driver too, so that the caller never waits here, but behind a wait for a second semaphore
 * (`open`); a thread of the queue enters the lease for it later and signals that. Such a piece is
 * held, and so is all that is submitted to the queue after it.
 *
 * Of a queue's functions only gate_queue_create() and _destroy() and what the two threads do are
 * not serialised by the application, as Vulkan wants VkQueue to be.
 */
#ifndef ALIQUOT_LAYER_GATE_H
#define ALIQUOT_LAYER_GATE_H

#include "mediator/layer/batch.h"
#include "mediator/layer/device.h"
#include "mediator/layer/stopwatch.h"
#include "protocol/lease.h"

#include <pthread.h>

/* Pieces of one queue, held and in flight. Who submits beyond that waits for the first to end. */
#define GATE_PIECES LEASE_IN_FLIGHT_MAX

/* Several small submissions make one piece while half of what may be in flight is, as long as all
 * of them together are predicted to be shorter than this: an eighth of what the broker lets be in
 * flight, so that its bound in time is kept. */
#define GATE_RIDE_US 250u

/* The end of a piece: the value of done at which it is complete, shifted left, with these bits. */
#define GATE_CLOSED 1ull  /* it has ended, or never began; who sets it takes it out of the lease */
#define GATE_ENTERED 2ull /* it is counted in the lease */
#define GATE_VALUE(end) ((end) >> 2)

struct gate_held;

struct gate_piece {
    uint64_t end;           /* atomic */
    uint64_t asked_ns;      /* CLOCK_MONOTONIC; when it was submitted; atomic */
    uint64_t submitted_ns;  /* likewise; when it entered */
    uint32_t predicted_us;  /* the lease's charge */
    uint32_t expected_us;   /* with all that rides on it */
    uint32_t submits;       /* that it consists of, as infos in batches; atomic */
    bool work;              /* it has something for the GPU to do, so that it needs the lease */
    bool awaited;           /* the application can learn of its end; atomic */
    struct gate_held *held; /* owned; NULL unless held */
};

/* What was seen to be complete at one time; completion.c's. */
struct gate_harvest {
    uint64_t from_ns, to_ns; /* when the first began, the last ended */
    uint32_t submits;
};

struct gate_queue {
    struct layer_device *device; /* borrowed */
    struct gate_queue *next;     /* of device->queues */
    VkQueue handle;
    uint32_t index;              /* among the device's queues */
    VkSemaphore done, open;      /* owned; timeline */
    struct stopwatch *stopwatch; /* owned; NULL = times are those at which the end is seen */

    uint64_t value;      /* the last of done that was given away; submitter */
    uint64_t open_value; /* the same of open; submitter */

    /* Positions in pieces, ever growing: retired ≤ entered ≤ queued. Atomic. */
    uint64_t queued;     /* written by the submitter */
    uint64_t entered;    /* by the submitter while nothing is held, else by the gate's thread */
    uint64_t retired;    /* by who has harvesting */
    uint32_t typical_us; /* of one submission, as far as known; UINT32_MAX = not at all. Atomic */

    bool harvesting;             /* a lock that is tried only; atomic */
    struct gate_harvest harvest; /* of who has it */
    bool watching;               /* the watcher waits in the driver; atomic */
    uint32_t asleep;             /* the watcher wants completion_wake(); futex, atomic */

    pthread_mutex_t lock;   /* of changed's condition alone */
    pthread_cond_t changed; /* something is held, or closing */
    bool closing;           /* atomic */
    bool has_keeper, has_watcher;
    pthread_t keeper;  /* gate.c's thread, made with the first held piece */
    pthread_t watcher; /* completion.c's */

    struct gate_piece pieces[GATE_PIECES];
};

/* stopwatch: owned if it succeeds. VK_SUCCESS, or an error after which there is no queue. */
VkResult gate_queue_create(struct layer_device *d, VkQueue handle, uint32_t index,
                           struct stopwatch *stopwatch, struct gate_queue **ret);
/* All is complete, or the device is lost: then pieces in flight are given back. */
void gate_queue_destroy(struct gate_queue *q);
/* False: pieces are held that never will be let go, so that the driver's queue will not end. */
bool gate_queue_is_empty(const struct gate_queue *q);

/* How a batch is to be given to the driver. */
struct gate_ticket {
    uint64_t open_value; /* wait for this value of open before it; 0 = no */
    uint64_t done_value; /* signal this value of done after it; 0 = no */
    struct gate_piece *piece;
    bool rides; /* on an earlier submission's piece */
};

/*
 * Before the driver is called: VK_SUCCESS and a ticket, or
 * VK_ERROR_DEVICE_LOST         revoked, or lost before
 * VK_ERROR_OUT_OF_HOST_MEMORY  nothing has changed
 * Then, when the driver has been called, gate_submitted() with its result.
 */
VkResult gate_enter(struct gate_queue *q, const struct batch *batch, struct gate_ticket *ret);
void gate_submitted(struct gate_queue *q, const struct batch *batch, const struct gate_ticket *t,
                    VkResult result);

/* The batch is given to the driver without a ticket: its end, if the application can learn of it,
 * is that of the last piece. */
void gate_note_end(struct gate_queue *q, const struct batch *batch);

/* True if a batch of several submissions had better be given to the gate one by one. */
bool gate_should_cut(const struct gate_queue *q);
/* How many of them may go together if nobody waits: what is in flight when somebody comes can't be
 * called back. At least 1. */
uint32_t gate_part_max(const struct gate_queue *q);

#endif
