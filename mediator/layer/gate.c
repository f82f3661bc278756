/* SPDX-License-Identifier: MIT */
#include "mediator/layer/gate.h"

#include "mediator/base/util.h"
#include "mediator/layer/clock.h"
#include "mediator/layer/completion.h"
#include "mediator/layer/order.h"
#include "protocol/lease_wait.h"

#include <string.h>

/* How long the keeper waits for one semaphore before it looks whether the device is lost. */
#define KEEPER_LOOK_NS 100000000u

/* How often who has GATE_PIECES pieces looks whether one has ended. */
#define FULL_LOOK_US 50u

#define LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#define STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)

/* What a held piece needs before it may enter, and what has to be known when it has. */
struct gate_held {
    uint64_t open_value;
    uint32_t waits, timelines, binaries;
    struct batch_semaphore semaphores[]; /* waits; timelines and binaries that it signals */
};

static struct gate_piece *piece_at(struct gate_queue *q, uint64_t position)
{
    return &q->pieces[position % GATE_PIECES];
}

static const struct lease_participant *lease_of(const struct gate_queue *q)
{
    return &q->device->link->lease;
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* The next place in pieces; NULL: the device is lost. Waits for one if there is none: for the GPU,
 * or, if all that many are held, for the grant. */
static struct gate_piece *next_piece(struct gate_queue *q)
{
    while (q->queued - LOAD(&q->retired) >= GATE_PIECES) {
        if (device_is_lost(q->device))
            return NULL;
        clock_sleep_us(FULL_LOOK_US);
    }
    return piece_at(q, q->queued);
}

static void fill_piece(struct gate_queue *q, struct gate_piece *piece, const struct batch *b,
                       bool work, uint32_t predicted_us)
{
    STORE(&piece->asked_ns, clock_now_ns());
    STORE(&piece->submitted_ns, (uint64_t)0);
    piece->predicted_us = predicted_us;
    piece->expected_us = predicted_us;
    piece->submits = b->count;
    piece->work = work;
    STORE(&piece->awaited, batch_has_end(b));
    piece->held = NULL;
    q->value++;
}

static uint32_t prediction_us(const struct gate_queue *q, const struct batch *b)
{
    uint32_t typical_us = LOAD(&q->typical_us);
    uint64_t all_us = typical_us == UINT32_MAX ? 0 : (uint64_t)typical_us * b->count;

    return (uint32_t)MIN(all_us, LEASE_PREDICTED_MAX_US);
}

uint32_t gate_part_max(const struct gate_queue *q)
{
    uint32_t typical_us = LOAD(&q->typical_us),
             bound_us = LOAD(&lease_of(q)->grant->max_predicted_us);

    if (typical_us == 0 || typical_us == UINT32_MAX)
        return UINT32_MAX;
    return MAX(bound_us / typical_us, 1u);
}

/* Short work that is in flight had better get company before it fills the bounds. */
static bool is_crowded(const struct gate_queue *q)
{
    const struct lease_participant *p = lease_of(q);
    uint32_t word = lease_word(p);
    uint32_t bound = word & LEASE_UNGATED ? LEASE_IN_FLIGHT_MAX : LOAD(&p->grant->max_in_flight);

    return lease_verdict(word) == LEASE_OPEN &&
           LEASE_LOAD_COUNT(LOAD(&p->slot->load)) >= (bound + 1) / 2;
}

/* Lets the submission be part of the last piece, if both are short. */
static bool ride(struct gate_queue *q, const struct batch *b, struct gate_ticket *t)
{
    uint32_t expected_us = prediction_us(q, b);

    if (q->queued == 0 || LOAD(&q->typical_us) == UINT32_MAX)
        return false;
    struct gate_piece *piece = piece_at(q, q->queued - 1);
    uint64_t end = LOAD(&piece->end);
    if (end & GATE_CLOSED || !piece->work ||
        piece->expected_us + (uint64_t)expected_us > GATE_RIDE_US)
        return false;
    /* The keeper may enter it just now, and the watcher see its end. */
    while (!__atomic_compare_exchange_n(&piece->end, &end, end + (1 << 2), false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        if (end & GATE_CLOSED)
            return false;
    if (batch_has_end(b))
        STORE(&piece->awaited, true);
    piece->expected_us += expected_us;
    __atomic_add_fetch(&piece->submits, b->count, __ATOMIC_RELAXED);
    *t = (struct gate_ticket){.done_value = ++q->value, .piece = piece, .rides = true};
    return true;
}

/* Waits for nothing and signals nothing: nobody has to know when it enters. */
static bool is_plain(const struct batch *b)
{
    for (uint32_t info = 0; info < b->count; info++)
        if (batch_wait_count(b, info) > 0 || batch_signal_count(b, info) > 0)
            return false;
    return b->kind != BATCH_PRESENT;
}

static void start_piece(struct gate_queue *q, struct gate_piece *piece, const struct batch *b,
                        uint32_t predicted_us, struct gate_ticket *t)
{
    const struct lease_participant *p = lease_of(q);

    fill_piece(q, piece, b, true, predicted_us);
    uint64_t now_ns = LOAD(&piece->asked_ns);
    STORE(&piece->submitted_ns, now_ns);
    if (LEASE_LOAD_COUNT(LOAD(&p->slot->load)) == 1)
        lease_note_start(p, now_ns);
    STORE(&piece->end, q->value << 2 | GATE_ENTERED);
    /* In this order, so that the keeper never sees something held. */
    STORE(&q->entered, q->queued + 1);
    __atomic_store_n(&q->queued, q->queued + 1, __ATOMIC_SEQ_CST);
    *t = (struct gate_ticket){.done_value = q->value, .piece = piece};
    completion_wake(q);
}

/* ---- holding -------------------------------------------------------------------------------- */

static void *keep(void *queue);

static struct gate_held *held_create(struct layer_device *d, const struct batch *b)
{
    uint32_t waits = 0, signals = 0;

    for (uint32_t info = 0; info < b->count; info++) {
        waits += batch_wait_count(b, info);
        signals += batch_signal_count(b, info);
    }
    struct gate_held *held =
        calloc(1, sizeof(*held) + ((size_t)waits + signals) * sizeof(held->semaphores[0]));
    if (!held)
        return NULL;
    struct batch_semaphore *next = held->semaphores;
    for (uint32_t info = 0; info < b->count; info++)
        for (uint32_t i = 0; i < batch_wait_count(b, info); i++)
            if (!order_wait_is_met(d, b, info, i, next)) {
                held->waits++;
                next++;
            }
    for (int binary = 0; binary < 2; binary++)
        for (uint32_t info = 0; info < b->count; info++)
            for (uint32_t i = 0; i < batch_signal_count(b, info); i++) {
                struct batch_semaphore s = batch_signal(b, info, i);
                uint64_t unused;
                bool timeline = s.value != 0 &&
                                handle_map_get(&d->timelines, DISPATCH_HANDLE(s.handle), &unused);

                if (timeline == (binary != 0))
                    continue;
                *next++ = s;
                if (binary)
                    held->binaries++;
                else
                    held->timelines++;
            }
    return held;
}

static uint64_t binary_value(const struct gate_queue *q, const struct gate_held *held)
{
    return order_binary(q, held->open_value);
}

static void forget_binaries(struct gate_queue *q, const struct gate_held *held)
{
    struct layer_device *d = q->device;
    const struct batch_semaphore *s = &held->semaphores[held->waits + held->timelines];

    /* A later piece may signal the same one again. */
    for (uint32_t i = 0; i < held->binaries; i++)
        handle_map_take_exactly(&d->binaries, DISPATCH_HANDLE(s[i].handle), binary_value(q, held));
}

static bool start_keeper(struct gate_queue *q)
{
    if (!q->has_keeper)
        q->has_keeper = pthread_create(&q->keeper, NULL, keep, q) == 0;
    return q->has_keeper;
}

static VkResult hold(struct gate_queue *q, const struct batch *b, bool work, struct gate_ticket *t)
{
    struct layer_device *d = q->device;
    struct gate_piece *piece = next_piece(q);

    if (!piece)
        return VK_ERROR_DEVICE_LOST;
    struct gate_held *held = held_create(d, b);
    if (!held || !start_keeper(q)) {
        free(held);
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    held->open_value = q->open_value + 1;
    const struct batch_semaphore *s = &held->semaphores[held->waits + held->timelines];
    for (uint32_t i = 0; i < held->binaries; i++)
        if (handle_map_put(&d->binaries, DISPATCH_HANDLE(s[i].handle), binary_value(q, held)) < 0) {
            forget_binaries(q, held);
            free(held);
            return VK_ERROR_OUT_OF_HOST_MEMORY;
        }
    fill_piece(q, piece, b, work, prediction_us(q, b));
    piece->held = held;
    q->open_value++;
    STORE(&piece->end, q->value << 2);
    __atomic_add_fetch(&d->held, 1, __ATOMIC_ACQ_REL);
    *t = (struct gate_ticket){.open_value = q->open_value, .done_value = q->value, .piece = piece};
    pthread_mutex_lock(&q->lock);
    __atomic_store_n(&q->queued, q->queued + 1, __ATOMIC_SEQ_CST);
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
    completion_wake(q);
    return VK_SUCCESS;
}

/* ---- the keeper ----------------------------------------------------------------------------- */

/* False: the device is lost. */
static bool wait_for(struct layer_device *d, struct batch_semaphore s)
{
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &s.handle,
                                      .pValues = &s.value};
    VkResult result = VK_TIMEOUT;

    while (result == VK_TIMEOUT && !device_is_lost(d)) {
        if (order_is_reached(d, s.handle, s.value))
            return !device_is_lost(d);
        result = device_note(d, d->table.WaitSemaphores(d->handle, &info, KEEPER_LOOK_NS));
    }
    return !device_is_lost(d);
}

/* True: the piece may go. */
static bool enter_held(struct gate_queue *q, struct gate_piece *piece)
{
    struct layer_device *d = q->device;
    const struct link *link = d->link;
    uint64_t end = LOAD(&piece->end);

    for (uint32_t i = 0; i < piece->held->waits && !(LOAD(&piece->end) & GATE_CLOSED); i++)
        if (!wait_for(d, piece->held->semaphores[i]))
            return false;
    if (end & GATE_CLOSED || !piece->work)
        return true;
    /* Nobody but us is kept waiting by this, and we hold no lock. */
    if (lease_acquire(&link->lease, link->doorbell_fd, piece->predicted_us, 0) < 0) {
        device_set_lost(d);
        return false;
    }
    uint64_t now_ns = clock_now_ns();
    STORE(&piece->submitted_ns, now_ns);
    if (LEASE_LOAD_COUNT(LOAD(&link->lease.slot->load)) == 1)
        lease_note_start(&link->lease, now_ns);
    end = LOAD(&piece->end);
    while (!(end & GATE_CLOSED) &&
           !__atomic_compare_exchange_n(&piece->end, &end, end | GATE_ENTERED, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    if (end & GATE_CLOSED) /* the driver would not have it */
        lease_release(&link->lease, link->doorbell_fd, piece->predicted_us, 0, 0, true);
    return true;
}

static bool let_go(struct gate_queue *q, struct gate_piece *piece)
{
    struct layer_device *d = q->device;
    struct gate_held *held = TAKE_PTR(piece->held);
    const VkSemaphoreSignalInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                        .semaphore = q->open,
                                        .value = held->open_value};
    const struct batch_semaphore *s = &held->semaphores[held->waits];

    if (!(LOAD(&piece->end) & GATE_CLOSED))
        for (uint32_t i = 0; i < held->timelines; i++)
            handle_map_raise(&d->timelines, DISPATCH_HANDLE(s[i].handle), s[i].value);
    forget_binaries(q, held);
    free(held);
    STORE(&q->entered, q->entered + 1);
    __atomic_sub_fetch(&d->held, 1, __ATOMIC_ACQ_REL);
    return device_note(d, d->table.SignalSemaphore(d->handle, &info)) == VK_SUCCESS;
}

/* Lets go what is held, in order. Once the device is lost nothing is let go any more: what the
 * driver has of it stays where it is until the process ends. */
static void *keep(void *queue)
{
    struct gate_queue *q = queue;
    bool closing = false, lost = false;

    while (!closing && !lost) {
        pthread_mutex_lock(&q->lock);
        while (gate_queue_is_empty(q) && !q->closing)
            pthread_cond_wait(&q->changed, &q->lock);
        closing = gate_queue_is_empty(q);
        pthread_mutex_unlock(&q->lock);
        struct gate_piece *piece = piece_at(q, LOAD(&q->entered));
        if (!closing)
            lost = !enter_held(q, piece) || !let_go(q, piece);
    }
    return NULL;
}

/* ---- for who submits ------------------------------------------------------------------------ */

VkResult gate_enter(struct gate_queue *q, const struct batch *b, struct gate_ticket *ret)
{
    struct layer_device *d = q->device;
    const struct link *link = d->link;
    bool work = batch_has_work(b);
    uint32_t duties = 0, predicted_us = prediction_us(q, b);

    if (device_is_lost(d))
        return VK_ERROR_DEVICE_LOST;
    *ret = (struct gate_ticket){0};
    /* One at a time: who submits the next has probably seen the end of the one before. */
    if (q->queued - LOAD(&q->retired) == 1)
        completion_harvest(q);
    bool behind = LOAD(&q->entered) != q->queued, ready = !behind && order_is_ready(d, b);
    if (ready && !work) {
        gate_note_end(q, b);
        return VK_SUCCESS;
    }
    if (((ready && is_crowded(q)) || (behind && is_plain(b))) && ride(q, b, ret))
        return VK_SUCCESS;
    if (ready) {
        struct gate_piece *piece = next_piece(q);
        if (!piece)
            return VK_ERROR_DEVICE_LOST;
        enum lease_verdict verdict = lease_enter(&link->lease, predicted_us, &duties);

        if (duties != 0)
            lease_do(&link->lease, link->doorbell_fd, duties);
        if (verdict == LEASE_OPEN) {
            start_piece(q, piece, b, predicted_us, ret);
            return VK_SUCCESS;
        }
    }
    /* What is shown waits for binary semaphores only, and there is no way to hold it: it is hardly
     * work for the GPU, and goes. */
    if (b->kind == BATCH_PRESENT)
        return VK_SUCCESS;
    return hold(q, b, work, ret);
}

/* The driver did not take it. */
static void take_back(struct gate_queue *q, const struct batch *b, const struct gate_ticket *t)
{
    const struct link *link = q->device->link;
    uint64_t end = LOAD(&t->piece->end), next;

    do {
        if (end & GATE_CLOSED)
            return; /* the watcher gave it up with all others: the device is lost */
        next = t->rides ? end - (1 << 2) : end | GATE_CLOSED;
    } while (!__atomic_compare_exchange_n(&t->piece->end, &end, next, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    q->value--;
    if (t->rides)
        __atomic_sub_fetch(&t->piece->submits, b->count, __ATOMIC_RELAXED);
    else if (end & GATE_ENTERED)
        lease_release(&link->lease, link->doorbell_fd, t->piece->predicted_us, 0, 0, true);
}

void gate_submitted(struct gate_queue *q, const struct batch *b, const struct gate_ticket *t,
                    VkResult result)
{
    struct layer_device *d = q->device;

    device_note(d, result);
    if (result < 0) {
        if (t->piece)
            take_back(q, b, t);
        return;
    }
    if (t->open_value == 0)
        order_note_signals(d, b);
    if (t->piece)
        __atomic_add_fetch(&d->link->slot->batches, 1, __ATOMIC_RELAXED);
}

void gate_note_end(struct gate_queue *q, const struct batch *b)
{
    if (q->queued > 0 && batch_has_end(b))
        STORE(&piece_at(q, q->queued - 1)->awaited, true);
}

bool gate_should_cut(const struct gate_queue *q)
{
    return lease_should_cut(lease_of(q));
}

/* ---- life ----------------------------------------------------------------------------------- */

static VkResult create_timeline(struct layer_device *d, VkSemaphore *ret)
{
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                        .pNext = &type};

    return d->table.CreateSemaphore(d->handle, &info, NULL, ret);
}

static void finish(struct gate_queue *q)
{
    struct layer_device *d = q->device;

    d->table.DestroySemaphore(d->handle, q->done, NULL);
    d->table.DestroySemaphore(d->handle, q->open, NULL);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

VkResult gate_queue_create(struct layer_device *d, VkQueue handle, uint32_t index,
                           struct stopwatch *stopwatch, struct gate_queue **ret)
{
    struct gate_queue *q = calloc(1, sizeof(*q));
    VkResult result = VK_ERROR_OUT_OF_HOST_MEMORY;

    if (!q)
        return result;
    q->device = d;
    q->handle = handle;
    q->index = index;
    q->typical_us = UINT32_MAX;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    result = create_timeline(d, &q->done);
    if (result == VK_SUCCESS)
        result = create_timeline(d, &q->open);
    q->stopwatch = stopwatch;
    if (result == VK_SUCCESS && pthread_create(&q->watcher, NULL, completion_watch, q) != 0)
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    if (result != VK_SUCCESS) {
        finish(q);
        return result;
    }
    *ret = q;
    return VK_SUCCESS;
}

bool gate_queue_is_empty(const struct gate_queue *q)
{
    uint64_t queued = LOAD(&q->queued); /* first: the other is never behind it for long */

    return queued <= LOAD(&q->entered);
}

void gate_queue_destroy(struct gate_queue *q)
{
    pthread_mutex_lock(&q->lock);
    __atomic_store_n(&q->closing, true, __ATOMIC_SEQ_CST);
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
    if (q->has_keeper)
        pthread_join(q->keeper, NULL);
    completion_wake(q);
    pthread_join(q->watcher, NULL);
    stopwatch_destroy(q->stopwatch);
    if (gate_queue_is_empty(q))
        finish(q);
    /* else the driver still refers to the semaphores: it stays, as the device does */
}
