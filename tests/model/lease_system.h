/* SPDX-License-Identifier: MIT */
/*
 * What lease.c and lease_wait.c see as shared memory and as kernel while they are explored: each
 * access one step, futexes and eventfds of two vGPUs as fields of a world that can be copied.
 * Included once, by test_lease_model.c, which then includes the code itself.
 */
#ifndef ALIQUOT_TESTS_LEASE_SYSTEM_H
#define ALIQUOT_TESTS_LEASE_SYSTEM_H

#include "protocol/lease.h"
#include "tests/model/explore.h"

#include <stddef.h>

#define VGPUS 2
#define SLOTS 2
#define ACTORS EXPLORE_ACTORS_MAX
#define BROKER 0 /* the actor */

struct participant_local {
    uint32_t pc;
    uint32_t jobs_left;
    bool working;
};

struct broker_local {
    struct lease_broker b[VGPUS];
    uint32_t last; /* vGPU that was granted last */
    uint32_t pc, v, events, holder, wakes;
    bool wants[VGPUS];
    bool early; /* the one granted last began before the other had settled */
};

struct world {
    struct lease_grant_page grant[VGPUS];
    /* Ack pages, as far as they are used: what is copied often is kept short. */
    _Alignas(128) char ack[VGPUS][offsetof(struct lease_ack_page, slots) +
                                  SLOTS * sizeof(struct lease_slot)];
    struct broker_local broker;
    struct participant_local locals[ACTORS];
    bool dead[ACTORS];
    const uint32_t *sleeps_on[ACTORS];  /* futex */
    const uint32_t *sleeps_too[ACTORS]; /* a second one, either of which wakes */
    bool doorbell[VGPUS];
    bool slot_event[VGPUS][SLOTS];
    uint32_t happened; /* what else wakes the broker: HAPPENED_… */
    /* Kept for the assertions only. */
    uint32_t running[VGPUS][SLOTS]; /* work that was started and has not ended */
    int32_t rings_owed[VGPUS];
    bool settled[VGPUS];
};

#define HAPPENED_TIMER 1u
#define HAPPENED_REVOKE(v) (2u << (v))
#define HAPPENED_DEATH(v, slot) (16u << ((v) * SLOTS + (slot)))

static struct world world;

static struct lease_ack_page *ack_page(unsigned v)
{
    return (struct lease_ack_page *)world.ack[v];
}

static unsigned running_actor;
static bool in_wait; /* the running operation is between wait_begin and wait_end */

/*
 * The protocol's words. An operation that is run again gets what it got.
 *
 * Three things are left out, to have fewer states. Owner words do not change in these scenarios, so
 * reading one is no step. Nor is it one if the only thread of a slot reads what is in flight there.
 * And the grant word is written without its epoch: all grants look alike, which is the harder case,
 * since the protocol says that nothing depends on the epoch.
 */
static bool is_constant(const void *ptr)
{
    for (unsigned v = 0; v < VGPUS; v++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if (ptr == &ack_page(v)->slots[slot].owner)
                return true;
    return false;
}

static bool bounds_change; /* set by the model */

static bool is_changing_bound(const void *ptr)
{
    for (unsigned v = 0; v < VGPUS; v++)
        if (ptr == &world.grant[v].max_in_flight)
            return bounds_change;
    return false;
}

/* Of the running actor, and of no other. Set by the model. */
static const struct lease_slot *own_slot;

static void record_load(const void *ptr, uint64_t value)
{
    if (own_slot && ptr == &own_slot->load)
        explore_record_silently(value);
    else
        explore_record(value);
}

static uint64_t stored(const void *ptr, uint64_t value)
{
    for (unsigned v = 0; v < VGPUS; v++)
        if (ptr == &world.grant[v].word)
            return value & 0xff;
    return value;
}

#define STEP(type, ptr, change)                                                                    \
    ({                                                                                             \
        uint64_t was_;                                                                             \
        if (!explore_replay(&was_)) {                                                              \
            was_ = *(ptr);                                                                         \
            change;                                                                                \
            explore_record(was_);                                                                  \
        }                                                                                          \
        (type) was_;                                                                               \
    })
#define VALUE_OF(ptr) __typeof__(*(ptr) + 0)
#define LEASE_LOAD(ptr)                                                                            \
    ({                                                                                             \
        uint64_t is_;                                                                              \
        if (is_constant(ptr)) {                                                                    \
            is_ = *(ptr);                                                                          \
        } else if (!explore_replay(&is_)) {                                                        \
            is_ = *(ptr);                                                                          \
            record_load(ptr, is_);                                                                 \
        }                                                                                          \
        (VALUE_OF(ptr)) is_;                                                                       \
    })
/* The bound changes where a hand-over is early. */
#define LEASE_STAT_LOAD(ptr)                                                                       \
    (is_changing_bound(ptr) ? LEASE_LOAD(ptr) : __atomic_load_n((ptr), __ATOMIC_ACQUIRE))
#define LEASE_STORE(ptr, value)                                                                    \
    ((void)STEP(VALUE_OF(ptr), ptr, *(ptr) = (VALUE_OF(ptr))stored(ptr, value)))
#define LEASE_ADD(ptr, value) ((void)STEP(VALUE_OF(ptr), ptr, *(ptr) += (value)))
#define LEASE_CAS(ptr, expected, value)                                                            \
    ({                                                                                             \
        VALUE_OF(ptr) old_ = STEP(VALUE_OF(ptr), ptr, if (was_ == *(expected)) * (ptr) = (value)); \
        bool same_ = old_ == *(expected);                                                          \
        *(expected) = old_;                                                                        \
        same_;                                                                                     \
    })

/* The kernel. Descriptors: 100 + v is the doorbell of vGPU v, 10 * v + slot a slot's eventfd. */
#define LEASE_SYSTEM
#define DOORBELL(v) (100 + (int)(v))
#define SLOT_EVENT(v, slot) (10 * (int)(v) + (int)(slot))

static int futex_wait_either(const uint32_t *word, uint32_t seen, const uint32_t *other,
                             uint32_t other_seen, uint64_t deadline_ns)
{
    unsigned head = explore_position() - 1; /* the word was read there */
    uint64_t slept, woken;

    if (!explore_replay(&slept)) {
        slept = *word == seen && (!other || *other == other_seen);
        if (slept) {
            world.sleeps_on[running_actor] = word;
            world.sleeps_too[running_actor] = other;
        }
        explore_record(slept);
    }
    if (slept && !explore_replay(&woken)) {
        if (world.sleeps_on[running_actor])
            explore_block();
        explore_record(0);
    }
    (void)deadline_ns;
    if (in_wait && explore_is_fresh())
        explore_cut(head); /* wait_grant() is at the head of its loop again */
    return 0;
}

static int futex_wait(const uint32_t *word, uint32_t seen, uint64_t deadline_ns)
{
    return futex_wait_either(word, seen, NULL, 0, deadline_ns);
}

static void futex_wake_all(const uint32_t *word)
{
    uint64_t none;

    if (explore_replay(&none))
        return;
    for (unsigned a = 0; a < ACTORS; a++)
        if (world.sleeps_on[a] == word || world.sleeps_too[a] == word)
            world.sleeps_on[a] = world.sleeps_too[a] = NULL;
    explore_record(0);
}

static void event_write(int fd)
{
    uint64_t none;

    if (explore_replay(&none))
        return;
    if (fd >= DOORBELL(0)) {
        if (--world.rings_owed[fd - DOORBELL(0)] < 0)
            explore_fail("a doorbell that nobody owed");
        world.doorbell[fd - DOORBELL(0)] = true;
    } else {
        world.slot_event[fd / 10][fd % 10] = true;
    }
    explore_record(0);
}

/* Blocks until the eventfd is set, and clears it. */
static void event_read(bool *event)
{
    uint64_t none;

    if (explore_replay(&none))
        return;
    if (!*event)
        explore_block();
    *event = false;
    explore_record(0);
}

#endif
