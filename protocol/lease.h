/* SPDX-License-Identifier: MIT */
/*
 * The lease: who may put work on the GPU now. Two shared pages per vGPU and the operations on them,
 * for the broker (which gives the GPU to one vGPU after the other) and for the participants of a
 * vGPU (the renderer's GL gate and the processes of the Vulkan layer). docs/lease.md tells the same
 * to those who write another participant.
 *
 *              a participant waits            lease_grant()
 *     IDLE ──────────────────────► WAITING ─────────────────► GRANTED ◄─┐ work starts and ends,
 *      ▲ ▲                                                      │  │ └──┘ without a system call
 *      │ └── lease_settle(): nothing in flight ── YIELDING ◄────┘  │
 *      │                                             lease_yield() │ lease_revoke(), from any state
 *      └─────────────── lease_reset() ◄──────── REVOKED ◄──────────┘
 *
 * The grant page is written by the broker alone; it holds the state, but for WAITING, which is IDLE
 * with a waiter in the ack page. The ack page is written by the participants, one slot each; the
 * broker only reads it, each word once, and believes none of it further than docs/lease.md says.
 *
 * Why nothing is lost. All accesses to the words of the protocol are sequentially consistent: there
 * is one order of all of them.
 *  - To start work:   in_flight + 1, then look at the grant.
 *    To take away:    the grant says YIELDING, then look at in_flight.
 *    Whoever comes second in the one order sees the other: the participant backs out, or the broker
 *    waits. So once the broker has seen nothing in flight, nothing starts until it grants again.
 *  - Work ends:       in_flight - 1, then look at the grant; rings if it says YIELDING.
 *    To take away is as above: the broker sees 0, or the participant sees YIELDING and rings.
 *  - To wait:         waiters + 1, then look at the grant; if there is none, ring, then sleep.
 *    To grant:        the grant says GRANTED, then look at waiters.
 *    The participant sees the grant, or the broker sees the waiter and wakes it. (The futex
 * compares once more, so that a wake between look and sleep is not lost either.) A waiter that
 * finds the grant gone again stays marked and need not ring: the broker looks at waiters after each
 *    settle, and that look comes after the mark.
 *  - To wait for room: look at the grant, then at its bounds; mark the load, then sleep for as long
 * as neither the load nor the grant changes. To raise the bounds: they, then the grant; then look
 * for marks. The sleeper's last look sees the grant's change, or the broker sees the mark and
 * wakes.
 *
 * All functions here are free of system calls and of locks. What has to be done outside is told to
 * the caller: participants get duties, the broker gets a set of wake-ups. lease_wait.h does them.
 */
#ifndef ALIQUOT_PROTOCOL_LEASE_H
#define ALIQUOT_PROTOCOL_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEASE_MAGIC 0x4c514c41u /* "ALQL" */
#define LEASE_VERSION 1
/* Participants of one vGPU: the GL gate and 15 processes of the Vulkan layer. */
#define LEASE_SLOTS_MAX 16
#define LEASE_SLOT_GL 0
#define LEASE_SLOT_ANY UINT32_MAX
/* In flight in one slot, whatever the bound (a lease without a gate has none). */
#define LEASE_IN_FLIGHT_MAX 4096u
/* A longer prediction counts as this one, so that LEASE_IN_FLIGHT_MAX of them fit 32 bits. */
#define LEASE_PREDICTED_MAX_US 1000000u

/* ---- the pages ------------------------------------------------------------------------------ */

/* The grant word: epoch << 8 | flags | state. It is what waiting threads' futex compares. */
enum lease_state {
    LEASE_IDLE = 0,
    LEASE_GRANTED = 1,
    LEASE_YIELDING = 2,
    LEASE_REVOKED = 3,
};
#define LEASE_STATE(word) ((enum lease_state)((word) & 7u))
/* Another vGPU waits: long streams are cut, and whoever goes idle rings. */
#define LEASE_CONTENDED (1u << 3)
/* The vGPU has the GPU for itself (policy exclusive): GRANTED for good, no bounds, no slice. */
#define LEASE_UNGATED (1u << 4)
/* Grants so far. It wraps; nothing depends on its never coming back, it is for people and traces.
 */
#define LEASE_EPOCH(word) ((word) >> 8)

struct lease_grant_page {
    uint32_t magic;
    uint32_t version;
    uint32_t slots; /* in use: 1 … LEASE_SLOTS_MAX */
    uint32_t pad;
    /* A slot whose owner word carries another generation is free, whatever else is in it. */
    uint32_t generation[LEASE_SLOTS_MAX];
    _Alignas(64) uint32_t word;
    uint32_t max_in_flight;    /* submissions, per slot */
    uint32_t max_predicted_us; /* of all that is in flight in a slot; the first always fits */
    uint32_t pad2;
    uint64_t slice_end_ns;   /* CLOCK_MONOTONIC; advice: what would end later had better be cut */
    uint64_t charge_from_ns; /* before this the GPU worked for somebody else */
};

/* One participant. Two cache lines: neighbours are fetched in pairs. */
struct lease_slot {
    _Alignas(128) uint32_t owner; /* generation << 1 | live; live = the other words are set up */
    uint32_t waiters;             /* threads that wait, plus LEASE_WAITS_EVENT */
    uint64_t load;                /* what is in flight, see LEASE_LOAD_… */
    /* Ever growing, also from one owner of the slot to the next. */
    uint64_t submits;            /* lease_enter() that succeeded */
    uint64_t completions;        /* … and ended */
    uint64_t busy_ns;            /* GPU time, see lease_exit() */
    uint64_t cuts;               /* streams cut because others waited */
    uint64_t last_completion_ns; /* CLOCK_MONOTONIC; 0 = none yet */
    uint64_t started_ns;         /* when what is in flight began, as lease_note_start() was told */
};
#define LEASE_WAITS_EVENT (1u << 31) /* an event loop waits: wake it by its eventfd */
#define LEASE_LOAD_COUNT(load) ((uint32_t)(load) & 0xffffu)
#define LEASE_LOAD_ROOM (1u << 31) /* threads wait for room (futex on the lower half of load) */
#define LEASE_LOAD_US(load) ((uint32_t)((load) >> 32))

struct lease_ack_page {
    uint64_t last_completion_ns; /* of the whole vGPU, for the accounting; not read by the broker */
    struct lease_slot slots[LEASE_SLOTS_MAX];
};

_Static_assert(sizeof(struct lease_grant_page) <= 4096, "one page");
_Static_assert(sizeof(struct lease_ack_page) <= 4096, "one page");
_Static_assert(offsetof(struct lease_grant_page, word) == 128, "as docs/lease.md says");
_Static_assert(offsetof(struct lease_grant_page, charge_from_ns) == 152, "as docs/lease.md says");
_Static_assert(offsetof(struct lease_ack_page, slots) == 128, "as docs/lease.md says");
_Static_assert(offsetof(struct lease_slot, last_completion_ns) == 48, "as docs/lease.md says");
_Static_assert(sizeof(struct lease_slot) == 128, "slots share no cache lines");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "load's lower half comes first");

/* ---- participants --------------------------------------------------------------------------- */

/* One per process and vGPU; all its threads share it. The pages are borrowed. */
struct lease_participant {
    const struct lease_grant_page *grant;
    struct lease_ack_page *ack;
    struct lease_slot *slot; /* inside ack */
    uint32_t index;
};

enum lease_verdict {
    LEASE_OPEN,   /* go ahead */
    LEASE_CLOSED, /* no grant: wait for one */
    LEASE_FULL,   /* the bounds are reached: wait for an end of this slot's own work */
    LEASE_LOST,   /* revoked: nothing will be granted before a reset, fail the work */
};

/* Duties: what a caller has to do after a call, or-ed into *duties. lease_do() does them. */
#define LEASE_DUTY_RING (1u << 0) /* write the vGPU's doorbell */
#define LEASE_DUTY_ROOM (1u << 1) /* futex-wake all that wait for room in this slot */

/*
 * Takes a slot: this one, or with LEASE_SLOT_ANY the first free one but the GL gate's. Returns 0,
 * or -EPROTO pages of another version    -EINVAL no such slot    -EBUSY taken, or none is free
 */
int lease_attach(struct lease_participant *ret_p, const struct lease_grant_page *grant,
                 struct lease_ack_page *ack, uint32_t slot);

/* Gives the slot back: 0, or -EBUSY while something is in flight or waits. */
int lease_detach(struct lease_participant *p);

/*
 * Asks to start one submission of predicted_us (0 = no idea). LEASE_OPEN: it is counted as in
 * flight; start it, and call lease_exit() with the same prediction when the GPU is done. Otherwise
 * nothing has changed. Any thread.
 */
enum lease_verdict lease_enter(const struct lease_participant *p, uint32_t predicted_us,
                               uint32_t *duties);

/* Tells the broker since when the participant has something in flight, for accounts of what takes
 * long. For participants of one thread. */
void lease_note_start(const struct lease_participant *p, uint64_t now_ns);

/*
 * The submission has ended. The GPU time charged is from the latest of (submitted_ns, the vGPU's
 * previous completion, charge_from_ns) to completed_ns; completed_ns = 0: it never reached the GPU.
 * idle: the caller has nothing more to submit now. Any thread.
 */
void lease_exit(const struct lease_participant *p, uint32_t predicted_us, uint64_t submitted_ns,
                uint64_t completed_ns, bool idle, uint32_t *duties);

/* How a waiter sleeps. At most one per slot waits by LEASE_BY_EVENT. */
enum lease_how { LEASE_BY_FUTEX, LEASE_BY_EVENT };

/*
 * After LEASE_CLOSED: marks a waiter, until lease_wait_end().
 *   LEASE_CLOSED  the doorbell is due, the only time for this wait; sleep while lease_verdict() of
 *                 the word is LEASE_CLOSED, then lease_enter()
 *   LEASE_OPEN    granted meanwhile: lease_enter() at once
 *   LEASE_LOST    it is not marked
 * If lease_enter() says LEASE_CLOSED again, sleep again, without a new mark or ring. The mark goes
 * only after lease_enter() has counted the work, so that the broker sees one or the other and does
 * not take a grant from somebody who is about to use it.
 */
enum lease_verdict lease_wait_begin(const struct lease_participant *p, enum lease_how how,
                                    uint32_t *duties);

/* Ends a wait. idle: the waiter has given up, nothing was entered and nothing more is to come. */
void lease_wait_end(const struct lease_participant *p, enum lease_how how, bool idle,
                    uint32_t *duties);

/*
 * After LEASE_FULL: true if the caller may sleep while the lower half of slot->load is *ret_seen
 * and the grant word is *ret_word, on both; false: lease_enter() again. Who itself ends the slot's
 * work waits for that instead.
 */
bool lease_wait_room(const struct lease_participant *p, uint32_t predicted_us, uint32_t *ret_seen,
                     uint32_t *ret_word);

/* The grant word now, and what it says: OPEN, CLOSED or LOST. */
uint32_t lease_word(const struct lease_participant *p);
enum lease_verdict lease_verdict(uint32_t word);

/* True if a long stream should be cut here: others wait, or the grant is being taken away. */
bool lease_should_cut(const struct lease_participant *p);
/* It was. */
void lease_count_cut(const struct lease_participant *p);

/* ---- the broker ----------------------------------------------------------------------------- */

/* One per vGPU, used by one thread at a time. The pages are borrowed. */
struct lease_broker {
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    uint32_t slots;
    uint32_t word;                        /* what the page says; it is never read back */
    bool settled;                         /* nothing of the last grant is in flight */
    uint32_t max_in_flight;               /* the largest bound ever given */
    uint64_t born_ns;                     /* no time in the page can be earlier */
    uint32_t generation[LEASE_SLOTS_MAX]; /* likewise never read back */
};

/* A set of wake-ups: bit i = write the eventfd of slot i, LEASE_WAKE_THREADS = futex-wake all that
 * wait on the grant word. */
#define LEASE_WAKE_THREADS (1u << 31)

/* Sets both up for fresh (zeroed) pages. */
void lease_broker_init(struct lease_broker *b, struct lease_grant_page *grant,
                       const struct lease_ack_page *ack, uint32_t slots, uint64_t now_ns);

struct lease_terms {
    uint32_t max_in_flight; /* per slot, 1 … LEASE_IN_FLIGHT_MAX */
    uint32_t max_predicted_us;
    uint64_t slice_end_ns;
    uint64_t charge_from_ns;
    bool contended;
    bool ungated;
};

/*
 * Grants. previous: the vGPU that had the GPU before (NULL = none, or the same one). It must have
 * settled, or, if early, at least yield: then its last work still runs while this vGPU's starts.
 * Returns 0, or -EBUSY if previous may still start work (or, unless early, still runs some); then
 * nothing has changed. *ret_wakes: whom to wake, for the grant, or for room where bounds that were
 * there before are wider now. If that is nobody, the waiter has gone and will
 * not ring: where others wait, look at lease_is_parked() at once.
 */
int lease_grant(struct lease_broker *b, const struct lease_terms *terms,
                const struct lease_broker *previous, bool early, uint32_t *ret_wakes);

/* No new work from now on. Call lease_settle() at once (a parked grant is free immediately) and
 * after each ring. Does nothing unless GRANTED. */
void lease_yield(struct lease_broker *b);

/* Ends a grant that yields or was revoked: true once nothing is in flight, for good until the next
 * grant. YIELDING becomes IDLE. Look at lease_wants() after it, not before. */
bool lease_settle(struct lease_broker *b);

/* No work any more, waiters fail. Returns whom to wake. */
uint32_t lease_revoke(struct lease_broker *b);

/* A revoked and settled vGPU may be granted to again: 0, or -EBUSY. */
int lease_reset(struct lease_broker *b);

/* Says whether other vGPUs wait. After setting it, look at lease_is_parked(): a holder that is idle
 * already does not ring. */
void lease_set_contended(struct lease_broker *b, bool contended);

/* The earlier vGPU's last work has ended at this time (after an early grant). */
void lease_set_charge_from(struct lease_broker *b, uint64_t charge_from_ns);

/* Someone waits for a grant. */
bool lease_wants(const struct lease_broker *b);

/* Nothing is in flight. Final only if the vGPU may start nothing, see lease_settle(). */
bool lease_is_drained(const struct lease_broker *b);

/* Granted, but nothing in flight and nobody about to start. */
bool lease_is_parked(const struct lease_broker *b);

/* IDLE, GRANTED, YIELDING or REVOKED. */
enum lease_state lease_state(const struct lease_broker *b);

/* The process behind the slot is gone for certain: what it has in flight or waits for no longer
 * counts, and the slot is free. */
void lease_slot_forget(struct lease_broker *b, uint32_t slot);

/* A copy of a slot. */
struct lease_ack {
    bool live;
    uint32_t waiting; /* threads and event loop */
    uint32_t in_flight;
    uint32_t predicted_us;
    uint64_t submits, completions, busy_ns, cuts, last_completion_ns;
    uint64_t started_ns; /* of what is in flight; not checked: compare it with now */
};

enum lease_fault {
    LEASE_FAULT_NONE,
    LEASE_FAULT_OWNER,       /* an owner word that no broker made possible */
    LEASE_FAULT_STATE,       /* reserved bits, or a load or a number of waiters that cannot be */
    LEASE_FAULT_IN_FLIGHT,   /* above the largest bound ever given */
    LEASE_FAULT_BACKWARDS,   /* a counter or a time went back */
    LEASE_FAULT_COMPLETIONS, /* more than submits */
    LEASE_FAULT_FUTURE,      /* a completion later than now */
    LEASE_FAULT_BUSY,        /* more GPU time than has gone by */
    LEASE_FAULTS
};

/*
 * Copies a slot and says what is wrong with it; on a fault *ret_ack is untouched. previous: the
 * copy made before (zeroes at first; may be ret_ack). The caller read now_ns a moment ago, so that
 * a completion may be later than it; LEASE_CLOCK_SLACK_NS is the longest such moment.
 */
#define LEASE_CLOCK_SLACK_NS 1000000000ull
enum lease_fault lease_ack_read(const struct lease_broker *b, uint32_t slot, uint64_t now_ns,
                                const struct lease_ack *previous, struct lease_ack *ret_ack);
const char *lease_fault_text(enum lease_fault fault);

#endif
