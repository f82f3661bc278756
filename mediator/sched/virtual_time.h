/* SPDX-License-Identifier: MIT */
/*
 * Virtual time of weighted fair sharing (Stoica, Abdel-Wahab: Earliest Eligible Virtual Deadline
 * First, 1995). Each competitor has a virtual time of its own that advances by service / weight.
 * The system's is their average, weighted: what an ideal, infinitely divisible GPU would have given
 * everyone. The lag of a competitor is how much service it is behind that; lags add up to zero.
 * Used by the scheduler.
 */
#ifndef ALIQUOT_SCHED_VIRTUAL_TIME_H
#define ALIQUOT_SCHED_VIRTUAL_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* Units of virtual time that a nanosecond takes at weight 1; at the largest weight one a
 * nanosecond. Virtual times wrap around; their differences do not. */
#define VIRTUAL_SCALE 10000

/* {0} is a system with no competitors. */
struct virtual_system {
    uint64_t base;    /* near the present virtual time */
    __int128 sum;     /* of weight * (time - base) over competitors */
    uint64_t weights; /* sum over competitors */
};

struct virtual_client {
    uint64_t at;        /* own virtual time, while it competes */
    uint32_t remainder; /* of the last division, so that no nanosecond is lost */
    uint32_t weight;
    bool competing;
    int64_t lag_ns; /* while it does not compete */
};

/* The system's virtual time, rounded down. Keeps the last one while nobody competes. */
uint64_t virtual_now(struct virtual_system *s);
/* Begins to compete with the lag it has. The first one has nobody to lag behind: its lag is gone.
 */
void virtual_enter(struct virtual_system *s, struct virtual_client *c);
/* The same, but the lag is against the last virtual time of the system, not against those who
 * compete: for many who enter together. */
void virtual_enter_at(struct virtual_system *s, struct virtual_client *c);
/* Ceases to compete and keeps its lag. */
void virtual_leave(struct virtual_system *s, struct virtual_client *c);
/* Service, exactly; at most SCHED_CHARGE_MAX_NS. */
void virtual_charge(struct virtual_system *s, struct virtual_client *c, uint64_t service_ns);
/* Service that is paid for otherwise: charged only as far as the lag stays above -floor_ns. */
void virtual_charge_paid(struct virtual_system *s, struct virtual_client *c, uint64_t service_ns,
                         uint64_t floor_ns);
/* Keeps the lag. */
void virtual_set_weight(struct virtual_system *s, struct virtual_client *c, uint32_t weight);
/* Nanoseconds of service that it is behind (positive) or ahead (negative). */
int64_t virtual_lag_ns(const struct virtual_system *s, const struct virtual_client *c);
/* When a request for service_ns that begins at its own virtual time is due. */
uint64_t virtual_deadline(const struct virtual_client *c, uint64_t service_ns);

#endif
