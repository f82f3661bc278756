/* SPDX-License-Identifier: MIT */
#include "protocol/lease.h"

#include "protocol/lease_atomic.h"

#include <errno.h>
#include <string.h>

#define LIVE 1u
#define WAITERS(word) ((word) & 0xffffu)
#define WAITERS_BITS (LEASE_WAITS_EVENT | 0xffffu)
#define LOAD_BITS (0xffffffff00000000ull | LEASE_LOAD_ROOM | 0xffffu)
#define GENERATION_MAX 0x7fffffffu

/* ---- participants --------------------------------------------------------------------------- */

static int take_slot(struct lease_participant *p)
{
    uint32_t generation = LEASE_LOAD(&p->grant->generation[p->index]);
    uint32_t owner = LEASE_LOAD(&p->slot->owner);

    if (owner >> 1 == generation || !LEASE_CAS(&p->slot->owner, &owner, generation << 1))
        return -EBUSY;
    /* Ours, and not counted by the broker before all of it is in order. The counters go on. */
    LEASE_STORE(&p->slot->waiters, 0u);
    LEASE_STORE(&p->slot->load, (uint64_t)0);
    LEASE_STORE(&p->slot->owner, generation << 1 | LIVE);
    return 0;
}

int lease_attach(struct lease_participant *ret_p, const struct lease_grant_page *grant,
                 struct lease_ack_page *ack, uint32_t slot)
{
    uint32_t slots = LEASE_STAT_LOAD(&grant->slots);
    uint32_t first = slot == LEASE_SLOT_ANY ? LEASE_SLOT_GL + 1 : slot;
    uint32_t last = slot == LEASE_SLOT_ANY ? slots - 1 : slot;
    int result = -EBUSY;

    if (LEASE_STAT_LOAD(&grant->magic) != LEASE_MAGIC ||
        LEASE_STAT_LOAD(&grant->version) != LEASE_VERSION || slots == 0 || slots > LEASE_SLOTS_MAX)
        return -EPROTO;
    if (last >= slots)
        return -EINVAL;
    for (uint32_t i = first; i <= last && result < 0; i++) {
        struct lease_participant p = {grant, ack, &ack->slots[i], i};

        result = take_slot(&p);
        if (result == 0)
            *ret_p = p;
    }
    return result;
}

int lease_detach(struct lease_participant *p)
{
    if (LEASE_LOAD(&p->slot->waiters) != 0 || LEASE_LOAD(&p->slot->load) != 0)
        return -EBUSY;
    LEASE_STORE(&p->slot->owner, 0u);
    return 0;
}

uint32_t lease_word(const struct lease_participant *p)
{
    return LEASE_LOAD(&p->grant->word);
}

enum lease_verdict lease_verdict(uint32_t word)
{
    switch (LEASE_STATE(word)) {
    case LEASE_GRANTED:
        return LEASE_OPEN;
    case LEASE_REVOKED:
        return LEASE_LOST;
    default:
        return LEASE_CLOSED;
    }
}

static uint64_t charge_of(uint32_t predicted_us)
{
    uint64_t us = predicted_us < LEASE_PREDICTED_MAX_US ? predicted_us : LEASE_PREDICTED_MAX_US;

    return us << 32 | 1;
}

/* True if one more submission fits. The first always does, or a long one would wait for ever. */
static bool has_room(const struct lease_participant *p, uint32_t word, uint64_t load,
                     uint64_t charge)
{
    uint32_t count = LEASE_LOAD_COUNT(load);

    if (count == 0)
        return true;
    if (count >= LEASE_IN_FLIGHT_MAX)
        return false;
    if (word & LEASE_UNGATED)
        return true;
    return count < LEASE_STAT_LOAD(&p->grant->max_in_flight) &&
           (uint64_t)LEASE_LOAD_US(load) + LEASE_LOAD_US(charge) <=
               LEASE_STAT_LOAD(&p->grant->max_predicted_us);
}

/* Takes charge out of what is in flight; idle as in lease_exit(). */
static void leave(const struct lease_participant *p, uint64_t charge, bool idle, uint32_t *duties)
{
    uint64_t load = LEASE_LOAD(&p->slot->load), next;

    do
        next = (load - charge) & ~(uint64_t)LEASE_LOAD_ROOM;
    while (!LEASE_CAS(&p->slot->load, &load, next));
    if (load & LEASE_LOAD_ROOM) {
        *duties |= LEASE_DUTY_ROOM;
        idle = false;
    }
    if (LEASE_LOAD_COUNT(next) != 0)
        return;
    /* The broker that took the grant away either sees the 0 or has us see what it wrote. */
    uint32_t word = lease_word(p);
    enum lease_state state = LEASE_STATE(word);
    if (state == LEASE_YIELDING || state == LEASE_REVOKED ||
        (state == LEASE_GRANTED && (word & LEASE_CONTENDED) && idle))
        *duties |= LEASE_DUTY_RING;
}

enum lease_verdict lease_enter(const struct lease_participant *p, uint32_t predicted_us,
                               uint32_t *duties)
{
    uint64_t charge = charge_of(predicted_us);
    /* Saves most of those that will not be let in from counting up and down, and ringing. */
    uint32_t word = lease_word(p);

    if (lease_verdict(word) != LEASE_OPEN)
        return lease_verdict(word);
    uint64_t load = LEASE_LOAD(&p->slot->load);
    do
        if (!has_room(p, word, load, charge))
            return LEASE_FULL;
    while (!LEASE_CAS(&p->slot->load, &load, load + charge));
    /* Only this look counts: what is in flight is visible before it. */
    enum lease_verdict verdict = lease_verdict(lease_word(p));
    if (verdict == LEASE_OPEN)
        LEASE_STAT_ADD(&p->slot->submits, (uint64_t)1);
    else
        leave(p, charge, false, duties);
    return verdict;
}

void lease_note_start(const struct lease_participant *p, uint64_t now_ns)
{
    LEASE_STAT_STORE(&p->slot->started_ns, now_ns);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Raises *word to value and returns what it was. */
static uint64_t raise(uint64_t *word, uint64_t value)
{
    uint64_t was = LEASE_STAT_LOAD(word);

    while (was < value && !LEASE_STAT_CAS(word, &was, value))
        ;
    return was;
}

static void account(const struct lease_participant *p, uint64_t submitted_ns, uint64_t completed_ns)
{
    if (completed_ns != 0) {
        uint64_t from_ns = max_u64(submitted_ns, raise(&p->ack->last_completion_ns, completed_ns));

        from_ns = max_u64(from_ns, LEASE_STAT_LOAD(&p->grant->charge_from_ns));
        /* The time before the sum, so that nobody reads a sum that its time cannot explain. */
        raise(&p->slot->last_completion_ns, completed_ns);
        if (completed_ns > from_ns)
            LEASE_STAT_ADD(&p->slot->busy_ns, completed_ns - from_ns);
    }
    LEASE_STAT_ADD(&p->slot->completions, (uint64_t)1);
}

void lease_exit(const struct lease_participant *p, uint32_t predicted_us, uint64_t submitted_ns,
                uint64_t completed_ns, bool idle, uint32_t *duties)
{
    /* First the counters: when the broker sees nothing in flight, they are final. */
    account(p, submitted_ns, completed_ns);
    leave(p, charge_of(predicted_us), idle, duties);
}

static uint32_t mark_of(enum lease_how how)
{
    return how == LEASE_BY_EVENT ? LEASE_WAITS_EVENT : 1;
}

enum lease_verdict lease_wait_begin(const struct lease_participant *p, enum lease_how how,
                                    uint32_t *duties)
{
    LEASE_ADD(&p->slot->waiters, mark_of(how));
    /* A broker that granted before it could see the mark will not wake us. */
    enum lease_verdict verdict = lease_verdict(lease_word(p));
    if (verdict == LEASE_CLOSED)
        *duties |= LEASE_DUTY_RING;
    else if (verdict == LEASE_LOST)
        LEASE_ADD(&p->slot->waiters, -mark_of(how));
    return verdict;
}

void lease_wait_end(const struct lease_participant *p, enum lease_how how, bool idle,
                    uint32_t *duties)
{
    LEASE_ADD(&p->slot->waiters, -mark_of(how));
    if (!idle)
        return;
    /* The grant that we asked for and do not use would else stay parked while others wait. */
    uint32_t word = lease_word(p);
    if (LEASE_STATE(word) == LEASE_GRANTED && (word & LEASE_CONTENDED))
        *duties |= LEASE_DUTY_RING;
}

bool lease_wait_room(const struct lease_participant *p, uint32_t predicted_us, uint32_t *ret_seen,
                     uint32_t *ret_word)
{
    uint32_t word = lease_word(p);
    uint64_t load = LEASE_LOAD(&p->slot->load);

    do
        if (lease_verdict(word) != LEASE_OPEN || has_room(p, word, load, charge_of(predicted_us)))
            return false;
    while (!LEASE_CAS(&p->slot->load, &load, load | LEASE_LOAD_ROOM));
    *ret_seen = (uint32_t)load | LEASE_LOAD_ROOM;
    *ret_word = word;
    return true;
}

bool lease_should_cut(const struct lease_participant *p)
{
    uint32_t word = LEASE_STAT_LOAD(&p->grant->word);

    return LEASE_STATE(word) != LEASE_GRANTED || (word & LEASE_CONTENDED);
}

void lease_count_cut(const struct lease_participant *p)
{
    LEASE_STAT_ADD(&p->slot->cuts, (uint64_t)1);
}

/* ---- the broker ----------------------------------------------------------------------------- */

static void set_word(struct lease_broker *b, uint32_t word)
{
    if (word == b->word)
        return;
    b->word = word;
    LEASE_STORE(&b->grant->word, word);
}

static void set_state(struct lease_broker *b, enum lease_state state)
{
    set_word(b, (b->word & ~7u) | state);
}

enum lease_state lease_state(const struct lease_broker *b)
{
    return LEASE_STATE(b->word);
}

void lease_broker_init(struct lease_broker *b, struct lease_grant_page *grant,
                       const struct lease_ack_page *ack, uint32_t slots, uint64_t now_ns)
{
    *b = (struct lease_broker){
        .grant = grant, .ack = ack, .slots = slots, .settled = true, .born_ns = now_ns};
    for (uint32_t i = 0; i < LEASE_SLOTS_MAX; i++) {
        b->generation[i] = 1;
        LEASE_STAT_STORE(&grant->generation[i], 1u);
    }
    LEASE_STAT_STORE(&grant->slots, slots);
    LEASE_STAT_STORE(&grant->version, (uint32_t)LEASE_VERSION);
    LEASE_STAT_STORE(&grant->magic, LEASE_MAGIC);
}

/* Of this generation: everything else in a slot is what a dead process left behind. */
static bool is_live(const struct lease_broker *b, uint32_t slot)
{
    return LEASE_LOAD(&b->ack->slots[slot].owner) == (b->generation[slot] << 1 | LIVE);
}

static uint32_t waiters_to_wake(const struct lease_broker *b)
{
    uint32_t wakes = 0;

    for (uint32_t i = 0; i < b->slots; i++) {
        uint32_t waiters = is_live(b, i) ? LEASE_LOAD(&b->ack->slots[i].waiters) : 0;

        if (waiters & LEASE_WAITS_EVENT)
            wakes |= 1u << i;
        if (WAITERS(waiters) != 0)
            wakes |= LEASE_WAKE_THREADS;
    }
    return wakes;
}

bool lease_wants(const struct lease_broker *b)
{
    return waiters_to_wake(b) != 0;
}

bool lease_is_drained(const struct lease_broker *b)
{
    for (uint32_t i = 0; i < b->slots; i++)
        if (is_live(b, i) && LEASE_LOAD_COUNT(LEASE_LOAD(&b->ack->slots[i].load)) != 0)
            return false;
    return true;
}

bool lease_is_parked(const struct lease_broker *b)
{
    /* In this order: whoever was woken is in flight before it stops to be a waiter. */
    return lease_state(b) == LEASE_GRANTED && !lease_wants(b) && lease_is_drained(b);
}

/* Those that wait for room sleep on the grant word as well. */
static uint32_t room_to_wake(const struct lease_broker *b)
{
    for (uint32_t i = 0; i < b->slots; i++)
        if (is_live(b, i) && LEASE_LOAD(&b->ack->slots[i].load) & LEASE_LOAD_ROOM)
            return LEASE_WAKE_THREADS;
    return 0;
}

int lease_grant(struct lease_broker *b, const struct lease_terms *terms,
                const struct lease_broker *previous, bool early, uint32_t *ret_wakes)
{
    uint32_t flags =
        (terms->contended ? LEASE_CONTENDED : 0) | (terms->ungated ? LEASE_UNGATED : 0);

    if (lease_state(b) == LEASE_REVOKED)
        return -EBUSY;
    if (previous && previous != b && !previous->settled &&
        (!early || lease_state(previous) == LEASE_GRANTED))
        return -EBUSY;
    bool wider = terms->max_in_flight > LEASE_STAT_LOAD(&b->grant->max_in_flight) ||
                 terms->max_predicted_us > LEASE_STAT_LOAD(&b->grant->max_predicted_us) ||
                 (terms->ungated && !(b->word & LEASE_UNGATED));
    LEASE_STAT_STORE(&b->grant->max_in_flight, terms->max_in_flight);
    LEASE_STAT_STORE(&b->grant->max_predicted_us, terms->max_predicted_us);
    LEASE_STAT_STORE(&b->grant->slice_end_ns, terms->slice_end_ns);
    LEASE_STAT_STORE(&b->grant->charge_from_ns, terms->charge_from_ns);
    if (terms->max_in_flight > b->max_in_flight)
        b->max_in_flight = terms->max_in_flight;
    if (terms->ungated)
        b->max_in_flight = LEASE_IN_FLIGHT_MAX;
    b->settled = false;
    set_word(b, (LEASE_EPOCH(b->word) + 1) << 8 | flags | LEASE_GRANTED);
    *ret_wakes = waiters_to_wake(b) | (wider ? room_to_wake(b) : 0);
    return 0;
}

void lease_yield(struct lease_broker *b)
{
    if (lease_state(b) == LEASE_GRANTED)
        set_state(b, LEASE_YIELDING);
}

bool lease_settle(struct lease_broker *b)
{
    if (b->settled)
        return true;
    if (lease_state(b) == LEASE_GRANTED || !lease_is_drained(b))
        return false;
    b->settled = true;
    if (lease_state(b) == LEASE_YIELDING)
        set_state(b, LEASE_IDLE);
    return true;
}

uint32_t lease_revoke(struct lease_broker *b)
{
    set_state(b, LEASE_REVOKED);
    return waiters_to_wake(b);
}

int lease_reset(struct lease_broker *b)
{
    if (lease_state(b) != LEASE_REVOKED || !b->settled)
        return -EBUSY;
    set_state(b, LEASE_IDLE);
    return 0;
}

void lease_set_contended(struct lease_broker *b, bool contended)
{
    if (lease_state(b) == LEASE_GRANTED)
        set_word(b, contended ? b->word | LEASE_CONTENDED : b->word & ~LEASE_CONTENDED);
}

void lease_set_charge_from(struct lease_broker *b, uint64_t charge_from_ns)
{
    LEASE_STAT_STORE(&b->grant->charge_from_ns, charge_from_ns);
}

void lease_slot_forget(struct lease_broker *b, uint32_t slot)
{
    b->generation[slot] = b->generation[slot] < GENERATION_MAX ? b->generation[slot] + 1 : 1;
    LEASE_STORE(&b->grant->generation[slot], b->generation[slot]);
}

static const char *const fault_texts[] = {
    [LEASE_FAULT_NONE] = "nothing",
    [LEASE_FAULT_OWNER] = "an owner that was never possible",
    [LEASE_FAULT_STATE] = "an impossible state",
    [LEASE_FAULT_IN_FLIGHT] = "more in flight than was ever allowed",
    [LEASE_FAULT_BACKWARDS] = "a counter that ran backwards",
    [LEASE_FAULT_COMPLETIONS] = "more completions than submissions",
    [LEASE_FAULT_FUTURE] = "a completion in the future",
    [LEASE_FAULT_BUSY] = "more GPU time than has gone by",
};
_Static_assert(sizeof(fault_texts) / sizeof(fault_texts[0]) == LEASE_FAULTS, "a text for each");

const char *lease_fault_text(enum lease_fault fault)
{
    return fault_texts[fault];
}

enum lease_fault lease_ack_read(const struct lease_broker *b, uint32_t slot, uint64_t now_ns,
                                const struct lease_ack *previous, struct lease_ack *ret_ack)
{
    const struct lease_slot *s = &b->ack->slots[slot];
    /* What must not be larger is read before what it must not be larger than. */
    uint64_t busy_ns = LEASE_STAT_LOAD(&s->busy_ns);
    uint64_t completions = LEASE_STAT_LOAD(&s->completions);
    uint64_t submits = LEASE_STAT_LOAD(&s->submits);
    uint64_t last_ns = LEASE_STAT_LOAD(&s->last_completion_ns);
    uint64_t cuts = LEASE_STAT_LOAD(&s->cuts);
    uint32_t owner = LEASE_STAT_LOAD(&s->owner);
    uint32_t waiters = LEASE_STAT_LOAD(&s->waiters);
    uint64_t load = LEASE_STAT_LOAD(&s->load);
    uint32_t in_flight = LEASE_LOAD_COUNT(load);
    bool live = owner == (b->generation[slot] << 1 | LIVE);

    if (owner >> 1 > b->generation[slot])
        return LEASE_FAULT_OWNER;
    if (live && ((waiters & ~WAITERS_BITS) || (load & ~LOAD_BITS) || (in_flight == 0 && load != 0)))
        return LEASE_FAULT_STATE;
    if (live && in_flight > b->max_in_flight)
        return LEASE_FAULT_IN_FLIGHT;
    if (busy_ns < previous->busy_ns || completions < previous->completions ||
        submits < previous->submits || cuts < previous->cuts ||
        last_ns < previous->last_completion_ns)
        return LEASE_FAULT_BACKWARDS;
    if (completions > submits)
        return LEASE_FAULT_COMPLETIONS;
    if (last_ns > now_ns && last_ns - now_ns > LEASE_CLOCK_SLACK_NS)
        return LEASE_FAULT_FUTURE;
    if (busy_ns > (last_ns > b->born_ns ? last_ns - b->born_ns : 0))
        return LEASE_FAULT_BUSY;
    *ret_ack = (struct lease_ack){
        .live = live,
        .waiting = live ? WAITERS(waiters) + !!(waiters & LEASE_WAITS_EVENT) : 0,
        .in_flight = live ? in_flight : 0,
        .predicted_us = live ? LEASE_LOAD_US(load) : 0,
        .submits = submits,
        .completions = completions,
        .busy_ns = busy_ns,
        .cuts = cuts,
        .last_completion_ns = last_ns,
        .started_ns = LEASE_STAT_LOAD(&s->started_ns),
    };
    return LEASE_FAULT_NONE;
}
