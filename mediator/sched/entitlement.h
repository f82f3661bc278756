/* SPDX-License-Identifier: MIT */
/*
 * An account of service against a rate on a clock: a reservation ("at least") or a cap ("at most").
 * It holds one time: the clock's time up to which the service had so far is the rate's worth. Who
 * is at or before the clock may have more; who is after it has had service in advance. Used by the
 * scheduler.
 */
#ifndef ALIQUOT_SCHED_ENTITLEMENT_H
#define ALIQUOT_SCHED_ENTITLEMENT_H

#include <stdint.h>

struct entitlement {
    uint64_t at_ns;     /* at most INT64_MAX */
    uint32_t remainder; /* of the last division, so that no nanosecond is lost */
};

/* The clock's time in which a rate (parts per million, not 0) is worth service_ns, rounded down. */
uint64_t entitlement_span_ns(uint64_t service_ns, uint32_t rate_ppm);
/* Service, exactly; at most SCHED_CHARGE_MAX_NS. */
void entitlement_charge(struct entitlement *e, uint64_t service_ns, uint32_t rate_ppm);
/* What was not used is lost, but for the last span_ns of the clock. */
void entitlement_expire(struct entitlement *e, uint64_t clock_ns, uint64_t span_ns);
/* Nanoseconds of service that it may have (positive) or has had in advance (negative). */
int64_t entitlement_left_ns(const struct entitlement *e, uint64_t clock_ns, uint32_t rate_ppm);
/* Makes that so. A rate of 0 has nothing. */
void entitlement_set_left(struct entitlement *e, uint64_t clock_ns, uint32_t rate_ppm,
                          int64_t left_ns);

#endif
