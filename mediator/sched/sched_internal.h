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
/* Takes e out of all trees; its lag and its state stay. */
void sched_unlink(struct sched_entity *e);
/* Puts e where it belongs: running, waiting, capped or asleep. */
void sched_link(struct sched_entity *e, bool running, uint64_t now_ns);
/* Behind or ahead, as in struct sched_stats. */
int64_t sched_lag_ns(struct sched_entity *e, uint64_t now_ns);

#endif
