/* SPDX-License-Identifier: MIT */
/*
 * Explores all interleavings of a few actors over shared memory, with the code that really runs.
 *
 * An actor performs operations. Each access to shared memory inside an operation is one step; after
 * each step any other actor may go on. There are no threads and no stacks to switch: to make an
 * actor's next step, its operation runs again from the start, is given the logged results of the
 * steps that it has made, makes one step for real, and is left by longjmp at the next one. So the
 * whole state of an actor between steps is its log, and a state of the system can be copied, hashed
 * and come back to. The search is depth-first over all choices; states that were seen are not
 * entered again (by a 64-bit hash), so the search is complete for the scenario if it ends.
 */
#ifndef ALIQUOT_TESTS_EXPLORE_H
#define ALIQUOT_TESTS_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_ACTORS_MAX 8
#define EXPLORE_LOG_MAX 160

struct explore_log {
    unsigned count;
    uint64_t values[EXPLORE_LOG_MAX];
};

struct explore_model {
    void *world; /* borrowed; the one that steps change, copied as a whole */
    size_t world_bytes;
    /* What an operation may change before it has ended, of one actor: put back after each step. */
    void *(*local)(unsigned actor, size_t *ret_bytes);
    unsigned actors;
    uint32_t optional; /* bit i: actor i may, but need not ever, make a step */
    /* The most times that another actor goes on though the last one could have, 0 = no bound.
     * Optional actors, and the step after theirs, are free. */
    unsigned preemptions;
    bool (*runnable)(unsigned actor);
    void (*run)(unsigned actor); /* one operation; may end in the middle of it */
    uint64_t (*hash)(void);      /* of the world and the local states; logs are added */
    void (*check_end)(void);     /* nothing more will happen but what is optional */
};

struct explore_result {
    const char *failure; /* NULL = nothing wrong in any state */
    uint64_t states, steps;
    unsigned depth;
    char trace[2048]; /* actors' numbers in the order of their steps, up to the failure */
};

struct explore_result explore(const struct explore_model *model);

/* ---- inside operations ---------------------------------------------------------------------- */

/* True: *ret_value is what this step gave when it was made. False: make it now, atomically, and
 * tell explore_record(). */
bool explore_replay(uint64_t *ret_value);
void explore_record(uint64_t value);
/* Instead of explore_record(): the step cannot be made now. Does not return. */
_Noreturn void explore_block(void);
/* Instead of explore_record(), for a word that only this actor writes: no step of its own, since
 * nobody can tell whether it was read now or at any time since the actor's last step. */
void explore_record_silently(uint64_t value);
/* True until the first step of the operation is made, which is in this very run. */
bool explore_is_first(void);
/* Steps of this operation so far. */
unsigned explore_position(void);
/* To be called right behind a step: the operation now stands where it stood at this position, as at
 * the head of a loop, so what came since may be forgotten. Does not return. */
_Noreturn void explore_cut(unsigned position);
/* True exactly once for each place behind a step: what is written down there happens with the step.
 */
bool explore_is_fresh(void);
/* Something is wrong. Does not return. */
_Noreturn void explore_fail(const char *what);

uint64_t explore_mix(uint64_t hash, uint64_t value);

#endif
