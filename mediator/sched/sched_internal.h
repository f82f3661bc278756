/* SPDX-License-Identifier: MIT */
/*
 * What the files of the scheduler share: sched.c (turns) and membership.c (who is there, with which
 * knobs). Every change of an entity is sched_unlink, change, sched_link.
 */
#ifndef ALIQUOT_SCHED_INTERNAL_H
#define ALIQUOT_SCHED_INTERNAL_H

#include "mediator/sched/sched.h"

/* The clock that entitlements are measured on: real time, or an n-th of it under equal. */
uint64_t sched_clock_ns(struct sched *s, uint64_t now_ns);
/* The rate on that clock; 0 = nothing. */
uint32_t sched_rate_ppm(const struct sched_entity *e);
#define SCHED_ENTITY_OF(node, member)                                                              \
    ((struct sched_entity *)((char *)(node) - offsetof(struct sched_entity, member)))

/* Counts the time in the state before. */
void sched_set_state(struct sched_entity *e, enum sched_state state, uint64_t now_ns);
/* Takes e out of all trees; its lag and its state stay. */
void sched_unlink(struct sched_entity *e);
/* Puts e where it belongs: running, waiting, capped or asleep. */
void sched_link(struct sched_entity *e, bool running, uint64_t now_ns);
/* Behind or ahead, as in struct sched_stats. */
int64_t sched_lag_ns(struct sched_entity *e, uint64_t now_ns);

/* ---- groups (group.c): what the functions of their names do for a member ----------------------
 */

void sched_group_wake(struct sched_entity *m, uint64_t now_ns);  /* it had no work */
void sched_group_sleep(struct sched_entity *m, uint64_t now_ns); /* it had some */
void sched_group_start(struct sched_entity *m, uint64_t now_ns);
void sched_group_charge(struct sched_entity *m, uint64_t gpu_ns, uint64_t now_ns);
void sched_group_put(struct sched_entity *m, uint64_t now_ns);
int sched_group_set_knobs(struct sched_entity *m, const struct sched_knobs *knobs, uint64_t now_ns);
void sched_group_remove(struct sched_entity *m, uint64_t now_ns);
/* The member that is next where a group's entity is. */
struct sched_entity *sched_group_pick(struct sched_entity *e);
/* A group's entity has come to its cap, or is below it again. */
void sched_group_follow(struct sched_entity *e, uint64_t now_ns);

#endif
