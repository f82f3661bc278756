/* SPDX-License-Identifier: MIT */
#include "mediator/base/util.h"
#include "mediator/layer/clock.h"
#include "mediator/layer/gate.h"
#include "protocol/lease_wait.h"

/* Waking a watcher that waits for nothing is not what ends a queue's life slowly, see
 * gate_queue_destroy(); this is for a device that is lost, which may never answer. */
#define LOOK_NS 500000000u
#define FAILED_LOOK_US 20000u

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)

/* What was seen to be complete at one time. */
struct harvest {
    uint64_t from_ns, to_ns; /* when the first began, the last ended */
    uint32_t submits;
};

/* Long ones are believed at once, short ones after a while: too short a prediction puts more in
 * flight than was meant. */
static void learn(struct gate_queue *q, const struct harvest *h)
{
    uint32_t was_us = LOAD(&q->typical_us);

    if (h->submits == 0)
        return;
    uint64_t us = h->to_ns > h->from_ns ? (h->to_ns - h->from_ns) / 1000 / h->submits : 0;
    uint32_t seen_us = (uint32_t)MIN(us, LEASE_PREDICTED_MAX_US);
    if (was_us != UINT32_MAX && seen_us < was_us)
        seen_us = was_us - (was_us - seen_us + 7) / 8;
    __atomic_store_n(&q->typical_us, seen_us, __ATOMIC_RELEASE);
}

static void account(struct gate_queue *q, const struct gate_piece *piece, uint64_t value,
                    uint64_t seen_ns, bool idle, struct harvest *h)
{
    const struct link *link = q->device->link;
    uint64_t completed_ns = seen_ns, stamped_ns;

    if (q->stopwatch && stopwatch_read(q->stopwatch, value, &stamped_ns))
        completed_ns = MAX(MIN(stamped_ns, seen_ns), piece->submitted_ns);
    if (h->submits == 0)
        h->from_ns = MAX(h->to_ns, piece->submitted_ns);
    h->to_ns = completed_ns;
    h->submits += LOAD(&piece->submits);
    lease_release(&link->lease, link->doorbell_fd, piece->predicted_us, piece->submitted_ns,
                  completed_ns, idle);
    if (LEASE_LOAD_COUNT(LOAD(&link->lease.slot->load)) != 0)
        lease_note_start(&link->lease, seen_ns);
}

/* Takes out of the lease what is complete up to this value of done; h->to_ns: when what was
 * complete before ended. */
static void retire(struct gate_queue *q, uint64_t done, uint64_t seen_ns, struct harvest *h)
{
    h->submits = 0;
    while (q->retired < LOAD(&q->entered)) {
        struct gate_piece *piece = &q->pieces[q->retired % GATE_PIECES];
        uint64_t end = LOAD(&piece->end);
        bool last = q->retired + 1 == LOAD(&q->queued);

        if (!(end & GATE_CLOSED)) {
            if (GATE_VALUE(end) > done)
                break;
            /* Somebody may just come to ride on it. */
            if (!__atomic_compare_exchange_n(&piece->end, &end, end | GATE_CLOSED, false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                continue;
            if (end & GATE_ENTERED)
                account(q, piece, GATE_VALUE(end), seen_ns, last && LOAD(&q->device->held) == 0, h);
        }
        __atomic_store_n(&q->retired, q->retired + 1, __ATOMIC_RELEASE);
    }
    learn(q, h);
    if (q->stopwatch)
        stopwatch_complete(q->stopwatch, done);
}

void *completion_watch(void *queue)
{
    struct gate_queue *q = queue;
    struct layer_device *d = q->device;
    struct harvest harvest = {0};
    uint64_t done = 0;

    while (!LOAD(&q->closing) || q->retired != LOAD(&q->entered)) {
        /* Where nothing is submitted that is what will come next: so nobody has to wake us. */
        uint64_t target = done + 1;
        if (q->retired != LOAD(&q->queued))
            target = GATE_VALUE(LOAD(&q->pieces[q->retired % GATE_PIECES].end));
        const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                          .semaphoreCount = 1,
                                          .pSemaphores = &q->done,
                                          .pValues = &target};
        VkResult result = device_note(d, d->table.WaitSemaphores(d->handle, &info, LOOK_NS));
        uint64_t seen_ns = clock_now_ns();
        if (result == VK_SUCCESS)
            device_note(d, d->table.GetSemaphoreCounterValue(d->handle, q->done, &done));
        /* None of it will end any more, or nobody wants to know. */
        if (result == VK_ERROR_DEVICE_LOST || (LOAD(&q->closing) && device_is_lost(d)))
            done = UINT64_MAX >> 2;
        retire(q, done, seen_ns, &harvest);
        if (result < 0)
            clock_sleep_us(FAILED_LOOK_US);
    }
    return NULL;
}
