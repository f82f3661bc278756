/* SPDX-License-Identifier: MIT */
#include "mediator/layer/completion.h"

#include "mediator/base/util.h"
#include "mediator/layer/clock.h"
#include "protocol/lease_wait.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

/* A device that is lost may never answer. */
#define LOOK_NS 500000000u
#define FAILED_LOOK_US 20000u

/* For so long a piece is young, and not waited for. It is the most by which the time of a short one
 * may be wrong, and little of what any of the longer ones takes. */
#define YOUNG_US 200u
/* So often the watcher looks for a piece after the last one, before it sleeps until it is woken. */
#define IDLE_LOOKS 5

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#define STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)

/* ---- accounting: one thread at a time, who has q->harvesting --------------------------------- */

static bool try_to_lock(struct gate_queue *q)
{
    return !__atomic_exchange_n(&q->harvesting, true, __ATOMIC_ACQUIRE);
}

static void unlock(struct gate_queue *q)
{
    STORE(&q->harvesting, false);
}

/* Long ones are believed at once, short ones after a while: too short a prediction puts more in
 * flight than was meant. */
static void learn(struct gate_queue *q, const struct gate_harvest *h)
{
    uint32_t was_us = LOAD(&q->typical_us);

    if (h->submits == 0)
        return;
    uint64_t us = h->to_ns > h->from_ns ? (h->to_ns - h->from_ns) / 1000 / h->submits : 0;
    uint32_t seen_us = (uint32_t)MIN(us, LEASE_PREDICTED_MAX_US);
    if (was_us != UINT32_MAX && seen_us < was_us)
        seen_us = was_us - (was_us - seen_us + 7) / 8;
    STORE(&q->typical_us, seen_us);
}

static void account(struct gate_queue *q, const struct gate_piece *piece, uint64_t value,
                    uint64_t seen_ns, bool idle)
{
    const struct link *link = q->device->link;
    struct gate_harvest *h = &q->harvest;
    uint64_t submitted_ns = LOAD(&piece->submitted_ns), completed_ns = seen_ns, stamped_ns;

    if (q->stopwatch && stopwatch_read(q->stopwatch, value, &stamped_ns))
        completed_ns = MIN(stamped_ns, seen_ns);
    /* The watcher reads the clock before it asks what has ended: this may have come in between. */
    completed_ns = MAX(completed_ns, submitted_ns);
    if (h->submits == 0)
        h->from_ns = MAX(h->to_ns, submitted_ns);
    h->to_ns = completed_ns;
    const struct work work = {.begin_ns = submitted_ns,
                              .end_ns = completed_ns,
                              .submits = LOAD(&piece->submits),
                              .queue = q->index};
    h->submits += work.submits;
    work_ring_put(link->ring, &work);
    if (!device_is_lost(q->device)) /* else it has ended, but is not complete */
        work_ring_count(link->ring, completed_ns - LOAD(&piece->asked_ns));
    lease_release(&link->lease, link->doorbell_fd, piece->predicted_us, submitted_ns, completed_ns,
                  idle);
    if (LEASE_LOAD_COUNT(LOAD(&link->lease.slot->load)) != 0)
        lease_note_start(&link->lease, seen_ns);
}

/* Takes out of the lease what is complete up to this value of done. Who waits is told first: once
 * the lease is given back, others may have the processors. */
static void retire(struct gate_queue *q, uint64_t done, uint64_t seen_ns)
{
    uint64_t retired = LOAD(&q->retired);
    bool told = false;

    q->harvest.submits = 0;
    while (retired < LOAD(&q->entered)) {
        struct gate_piece *piece = &q->pieces[retired % GATE_PIECES];
        uint64_t end = LOAD(&piece->end);
        bool last = retired + 1 == LOAD(&q->queued);

        if (!(end & GATE_CLOSED)) {
            if (GATE_VALUE(end) > done)
                break;
            /* Somebody may just come to ride on it. */
            if (!__atomic_compare_exchange_n(&piece->end, &end, end | GATE_CLOSED, false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                continue;
            if (!told && LOAD(&piece->awaited)) {
                eventcount_signal(q->device->link->completions);
                told = true;
            }
            if (end & GATE_ENTERED)
                account(q, piece, GATE_VALUE(end), seen_ns, last && LOAD(&q->device->held) == 0);
        }
        STORE(&q->retired, ++retired);
    }
    learn(q, &q->harvest);
    if (q->stopwatch)
        stopwatch_complete(q->stopwatch, done);
}

void completion_harvest(struct gate_queue *q)
{
    struct layer_device *d = q->device;
    uint64_t done = 0;

    if (LOAD(&q->retired) == LOAD(&q->queued) || LOAD(&q->watching) || !try_to_lock(q))
        return;
    VkResult result = d->table.GetSemaphoreCounterValue(d->handle, q->done, &done);
    if (result == VK_SUCCESS)
        retire(q, done, clock_now_ns());
    unlock(q);
    device_note(d, result);
}

void completion_harvest_all(struct layer_device *d)
{
    for (struct gate_queue *q = LOAD(&d->queues); q; q = q->next)
        completion_harvest(q);
}

/* ---- the watcher ----------------------------------------------------------------------------- */

void completion_wake(struct gate_queue *q)
{
    /* Sequentially consistent, as in doze(): one of the two sees what the other wrote. */
    if (__atomic_load_n(&q->asleep, __ATOMIC_SEQ_CST) == 0)
        return;
    __atomic_store_n(&q->asleep, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &q->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool has_nothing(struct gate_queue *q)
{
    return LOAD(&q->retired) == __atomic_load_n(&q->queued, __ATOMIC_SEQ_CST) &&
           !__atomic_load_n(&q->closing, __ATOMIC_SEQ_CST);
}

static bool is_wanted(const struct gate_queue *q)
{
    return eventcount_is_wanted(q->device->link->completions);
}

/* Until there is something. */
static void doze(struct gate_queue *q)
{
    for (int i = 0; i < IDLE_LOOKS && has_nothing(q) && !is_wanted(q); i++)
        eventcount_rest(q->device->link->completions, YOUNG_US);
    while (has_nothing(q)) {
        __atomic_store_n(&q->asleep, 1, __ATOMIC_SEQ_CST);
        if (has_nothing(q))
            syscall(SYS_futex, &q->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
        __atomic_store_n(&q->asleep, 0, __ATOMIC_SEQ_CST);
    }
}

/* The guest sleeps until this one piece is complete, as far as can be told. */
static bool is_waited_for(const struct gate_queue *q, const struct gate_piece *piece)
{
    return LOAD(&piece->awaited) && LOAD(&q->queued) - LOAD(&q->retired) == 1 && is_wanted(q);
}

static bool is_young(const struct gate_piece *piece)
{
    return clock_now_ns() - LOAD(&piece->submitted_ns) < YOUNG_US * 1000;
}

static void watch(struct gate_queue *q, const struct gate_piece *piece)
{
    struct layer_device *d = q->device;
    uint64_t target = GATE_VALUE(LOAD(&piece->end)), done = 0;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &q->done,
                                      .pValues = &target};

    STORE(&q->watching, true);
    VkResult result = device_note(d, d->table.WaitSemaphores(d->handle, &info, LOOK_NS));
    uint64_t seen_ns = clock_now_ns();
    STORE(&q->watching, false);
    if (result == VK_SUCCESS)
        result = device_note(d, d->table.GetSemaphoreCounterValue(d->handle, q->done, &done));
    /* None of it will end any more, or nobody wants to know. */
    if (result == VK_ERROR_DEVICE_LOST || (LOAD(&q->closing) && device_is_lost(d)))
        done = UINT64_MAX >> 2;
    while (!try_to_lock(q))
        sched_yield();
    retire(q, done, seen_ns);
    unlock(q);
    if (result < 0)
        clock_sleep_us(FAILED_LOOK_US);
}

/* Looks after a while. True: something has ended meanwhile. */
static bool look_later(struct gate_queue *q)
{
    uint64_t retired = LOAD(&q->retired);

    if (is_wanted(q))
        clock_sleep_us(YOUNG_US);
    else
        eventcount_rest(q->device->link->completions, YOUNG_US);
    completion_harvest(q);
    return LOAD(&q->retired) != retired;
}

/*
 * Each wake-up by the driver costs its queue's thread, too: a thousand small submissions, which are
 * old when their turn comes, are not waited for one by one as long as every look finds some ended.
 */
void *completion_watch(void *queue)
{
    struct gate_queue *q = queue;
    bool moves = true;

    while (!LOAD(&q->closing) || LOAD(&q->retired) != LOAD(&q->entered)) {
        const struct gate_piece *piece = &q->pieces[LOAD(&q->retired) % GATE_PIECES];

        if (has_nothing(q))
            doze(q);
        else if (!gate_should_cut(q) && (moves || is_young(piece)) && !is_waited_for(q, piece))
            moves = look_later(q);
        else {
            watch(q, piece);
            moves = true;
        }
    }
    return NULL;
}
