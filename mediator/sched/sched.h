/* SPDX-License-Identifier: MIT */
/*
 * Who may use a GPU next, and for how long. One struct sched a GPU, one struct sched_entity in each
 * vGPU. The caller (the daemon's arbiter, aliquot-sim) tells who has work and what the GPU spent;
 * the scheduler says who is next. docs/scheduling.md has the policies, the algorithm and its
 * bounds.
 *
 * A turn:
 *
 *     e = sched_pick(s, now, &next);          nobody: ask again at next, or after the next call
 * below sched_start(e, now);                    e may submit until sched_slice_end_ns(e)
 *     sched_charge(e, gpu_ns, now);           each time something of e's is known to have completed
 *     sched_put(e, now);                      e has yielded; a charge may still come later
 *
 * Times are CLOCK_MONOTONIC nanoseconds, passed in; they never go back from one call to the next.
 * Not thread-safe: calls for one GPU need one lock or one thread. No call allocates, blocks or
 * fails but where it says so; all memory is the caller's. Cost: O(log n) in the number of vGPUs,
 * but sched_set_policy, which is O(n log n), and waiting vGPUs that a cap releases, which cost
 * O(log n) each, in the pick after their release.
 */
#ifndef ALIQUOT_SCHED_H
#define ALIQUOT_SCHED_H

#include "mediator/sched/deadline_tree.h"
#include "mediator/sched/entitlement.h"
#include "mediator/sched/knobs.h"
#include "mediator/sched/virtual_time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sched_policy {
    SCHED_POLICY_FAIR,      /* reservations first, then by weight; nothing is wasted */
    SCHED_POLICY_EQUAL,     /* each vGPU 1/n, kept for it even if it does not use it */
    SCHED_POLICY_FIXED,     /* each its reservation, and no more */
    SCHED_POLICY_EXCLUSIVE, /* one vGPU, no slices */
    SCHED_N_POLICIES,
};

/* "fair", "equal", "fixed", "exclusive". Static. */
const char *sched_policy_name(enum sched_policy policy);
/* 0, or -EINVAL for another name. */
int sched_policy_from_name(const char *name, enum sched_policy *ret);

#define SCHED_NEVER UINT64_MAX
/* More than this in one charge is cut to this: an hour, beyond any deadline. It keeps arithmetic
 * exact in 64 bits. */
#define SCHED_CHARGE_MAX_NS UINT64_C(3600000000000)
/* How far back a vGPU that always has work may claim reserved time that others' long jobs kept from
 * it. A time of the clock; one that sleeps gets one slice's worth. */
#define SCHED_CLAIM_NS UINT64_C(100000000)

enum sched_state {
    SCHED_ASLEEP,  /* no work */
    SCHED_WAITING, /* may be picked */
    SCHED_CAPPED,  /* has work, but has used up its cap for now */
    SCHED_RUNNING, /* inside a slice, between sched_start and sched_put */
};

struct sched_entity;
struct sched_group;

/* A GPU. Members are the library's own: use the functions. */
struct sched {
    enum sched_policy policy;
    unsigned parallelism;
    unsigned n_running;
    size_t n_entities; /* groups count as one */
    size_t n_behind;   /* members of groups that wait while another one of theirs is in a slice */
    uint32_t reserved_ppm;
    uint64_t weights;
    struct sched_entity *first; /* all entities but members of groups, borrowed */

    /* Those in SCHED_WAITING; the first one under fair only. */
    struct deadline_tree by_virtual;     /* by virtual deadline */
    struct deadline_tree by_entitlement; /* by the deadline of what they are entitled to */
    /* Those in SCHED_CAPPED, by their return. */
    struct deadline_tree capped;
    /* Under fair: those that can't be picked, but are still ahead of virtual time (see
     * docs/scheduling.md, "Who sleeps"). */
    struct deadline_tree debtors;
    struct virtual_system virtual_system;

    /* Under equal: what each has been entitled to since the beginning, 1/n of the time. */
    struct {
        uint64_t at_ns, remainder, seen_ns;
    } equal;
};

/* What an entity has had. Times in nanoseconds. */
struct sched_stats {
    enum sched_state state;
    uint64_t gpu_ns;     /* charged in all */
    uint64_t waiting_ns; /* in SCHED_WAITING in all: others' turns */
    uint64_t capped_ns;  /* in SCHED_CAPPED in all */
    uint64_t overrun_ns; /* charged beyond the ends of slices, in all */
    uint64_t slices;
    int64_t lag_ns;   /* fair: behind (> 0) or ahead (< 0) of its fair share; equal and fixed: of
                         what it is entitled to; exclusive: 0 */
    uint64_t debt_ns; /* what it is ahead: max(0, -lag) */
};

/* A vGPU, embedded in the caller's object. Members are the library's own. */
struct sched_entity {
    struct sched *sched;              /* borrowed; NULL while not added */
    struct sched_entity *prev, *next; /* in the list of the GPU, or of the group */
    struct sched_group *group;        /* whose member it is, borrowed; NULL = none. Accounts and
                                         tree nodes are the group's then, but virtual_node */
    bool is_group;                    /* it is struct sched_group's own */
    uint64_t had_ns;                  /* of a member: what it has had, as if from the beginning */
    struct sched_knobs knobs;
    enum sched_state state;
    bool has_work;
    uint64_t state_since_ns;

    struct {               /* from having work to having none */
        uint64_t used_ns;  /* of the GPU, in the present one */
        uint64_t usual_ns; /* smoothed; 0 = not known yet */
    } burst;
    uint64_t due_ns; /* the length of request that its deadline is of, at most its slice */

    struct virtual_client virtual_client;
    struct entitlement entitled, cap;
    struct deadline_node virtual_node;     /* in by_virtual or debtors */
    struct deadline_node entitlement_node; /* in by_entitlement or capped */

    struct { /* the present or last one */
        uint64_t start_ns, end_ns, length_ns;
        uint64_t clock_ns; /* of entitlements, at its start */
        uint64_t used_ns;
        bool entitled; /* paid for by the reservation */
    } slice;

    uint64_t gpu_ns, waiting_ns, capped_ns, overrun_ns, slices;
};

/*
 * An entitlement that several vGPUs have together, as the connections of one program do. To the
 * others they are one vGPU, with one set of knobs and one slice at a time; a member without work
 * leaves its part to the other members. Among them each slice goes to the one that has had least
 * (start-time fair queueing: Goyal, Vin, Cheng, 1996).
 */
struct sched_group {
    struct sched_entity entity;   /* competes for all of them; never picked itself */
    struct sched_entity *first;   /* members, borrowed */
    struct sched_entity *running; /* the one in a slice; NULL = none */
    struct deadline_tree waiting; /* those that have work and are not in a slice, by had_ns */
    size_t n_members, n_waiting, n_working;
    uint64_t floor_ns; /* what the last one in a slice had had at its begin */
};

/* parallelism: how many vGPUs may be inside a slice at once, 1 or more (0 counts as 1). */
void sched_init(struct sched *s, enum sched_policy policy, unsigned parallelism, uint64_t now_ns);

/* Whether sched_add would take an entity with these knobs: 0, -ERANGE or -EINVAL (bad knobs, see
 * sched_knobs_check), -ENOSPC if reservations would add up to more than SCHED_RESERVATION_MAX_PPM
 * (the sum is sched_reserved_ppm plus the knobs'), -EBUSY if an exclusive GPU has its vGPU. */
int sched_admit(const struct sched *s, const struct sched_knobs *knobs);

/* Adds e, asleep, with no lag. e need not be initialized; it stays the caller's, in place, until
 * sched_remove. knobs are copied. Returns what sched_admit does; on failure e is not added. */
int sched_add(struct sched *s, struct sched_entity *e, const struct sched_knobs *knobs,
              uint64_t now_ns);

/* Makes a group of e, which is added and in no group: it keeps all that it has, and others can join
 * it. g need not be initialized; it stays the caller's, in place, until n_members is 0. */
void sched_group_init(struct sched_group *g, struct sched_entity *e, uint64_t now_ns);
/* As sched_add, but with a part of the group's entitlement, which needs no admission. -EBUSY on an
 * exclusive GPU. What is said of entities here holds for members; sched_set_knobs() of one is for
 * all, and lag and debt are the group's. */
int sched_group_add(struct sched_group *g, struct sched_entity *e, uint64_t now_ns);
/* In any state, also inside a slice; no other call may follow but sched_add. Its debt goes with it:
 * to keep the debt of a vGPU that is reset, sched_sleep it instead. A group goes with its last
 * member. An entity that is not added is fine if zeroed. */
void sched_remove(struct sched_entity *e, uint64_t now_ns);

/* New knobs, from the next slice on; the end of a present slice follows the new length. Debt and
 * claims stay what they are in nanoseconds. Returns -ERANGE, -EINVAL, -ENOSPC as sched_admit. */
int sched_set_knobs(struct sched_entity *e, const struct sched_knobs *knobs, uint64_t now_ns);
/* Debts are carried over. -EBUSY for exclusive with more than one vGPU, or member. */
int sched_set_policy(struct sched *s, enum sched_policy policy, uint64_t now_ns);
/* From the next pick on; those in a slice stay. */
void sched_set_parallelism(struct sched *s, unsigned parallelism);

/* e has work, or has none. May be said again, and while e is in a slice: it then counts from
 * sched_put on. */
void sched_wake(struct sched_entity *e, uint64_t now_ns);
void sched_sleep(struct sched_entity *e, uint64_t now_ns);

/* Who is next, or NULL: nobody waits, all places are taken, or those who wait may not have more
 * yet. With NULL, *ret_next_ns (not NULL) is when to ask again if nothing happens before, or
 * SCHED_NEVER. Changes nothing that a caller can see: a pick need not be followed by a start. */
struct sched_entity *sched_pick(struct sched *s, uint64_t now_ns, uint64_t *ret_next_ns);

/* e, which waits, enters a slice. */
void sched_start(struct sched_entity *e, uint64_t now_ns);
/* The slice that e is in begins only now: somebody else was still on the GPU. */
void sched_delay(struct sched_entity *e, uint64_t now_ns);
/* The GPU spent gpu_ns on e. Any number of times, in a slice, or later, in any state, when
 * something becomes known late: it counts for the last slice that began. */
void sched_charge(struct sched_entity *e, uint64_t gpu_ns, uint64_t now_ns);
/* The same for one who may be in a slice of which the end was not seen, since nobody waited, not
 * even for the end of a cap, and it has none itself (fair only): what goes beyond is further slices
 * of its own and no overrun. */
void sched_charge_alone(struct sched_entity *e, uint64_t gpu_ns, uint64_t now_ns);
/* Whether the end of e's slice need not be seen: sched_charge_alone() makes up for it. */
bool sched_is_alone(const struct sched_entity *e);
/* e, which is in a slice, leaves it. */
void sched_put(struct sched_entity *e, uint64_t now_ns);

/* When the present slice ends; SCHED_NEVER under exclusive. */
uint64_t sched_slice_end_ns(const struct sched_entity *e);
/* When e, which is in a slice, had better leave it: at its end, or as soon as a short one waits
 * that is due before e, but not before SCHED_SLICE_MIN_NS of it. To be asked again after any other
 * call.
 */
uint64_t sched_turn_end_ns(const struct sched_entity *e);
bool sched_is_running(const struct sched_entity *e);
/* Mostly it has work for less than a slice: its turns are short. */
bool sched_is_short(const struct sched_entity *e);
/* True if someone could be picked in place of those that run: a slice need not end otherwise. */
bool sched_contended(const struct sched *s);
/* Sum of reservations, parts per million. */
uint32_t sched_reserved_ppm(const struct sched *s);
void sched_read_stats(struct sched_entity *e, uint64_t now_ns, struct sched_stats *ret);

/* Which of n GPUs a new vGPU goes to: the wanted one, or, with wanted < 0, of those that admit it
 * the one with the smallest sum of reservations, then of weights, then the first. Returns the index
 * or, as sched_admit does for the wanted one or for the last one asked, a negative errno; -ENODEV
 * if there is no such GPU. Pure; adds nothing. */
int sched_place(const struct sched *const *gpus, size_t n, int wanted,
                const struct sched_knobs *knobs);

#endif
