/* SPDX-License-Identifier: MIT */
#include "mediator/sched/entitlement.h"

#include "mediator/sched/knobs.h"

#define AT_MAX ((uint64_t)INT64_MAX)

static uint64_t later(uint64_t at_ns, uint64_t span_ns)
{
    return span_ns > AT_MAX - at_ns ? AT_MAX : at_ns + span_ns;
}

uint64_t entitlement_span_ns(uint64_t service_ns, uint32_t rate_ppm)
{
    return service_ns * SCHED_PPM / rate_ppm;
}

void entitlement_charge(struct entitlement *e, uint64_t service_ns, uint32_t rate_ppm)
{
    uint64_t scaled = service_ns * SCHED_PPM + e->remainder;

    e->at_ns = later(e->at_ns, scaled / rate_ppm);
    e->remainder = (uint32_t)(scaled % rate_ppm);
}

void entitlement_expire(struct entitlement *e, uint64_t clock_ns, uint64_t span_ns)
{
    uint64_t oldest = clock_ns > span_ns ? clock_ns - span_ns : 0;

    if (e->at_ns < oldest)
        *e = (struct entitlement){.at_ns = oldest};
}

int64_t entitlement_left_ns(const struct entitlement *e, uint64_t clock_ns, uint32_t rate_ppm)
{
    return (int64_t)((__int128)(int64_t)(clock_ns - e->at_ns) * rate_ppm / SCHED_PPM);
}

void entitlement_set_left(struct entitlement *e, uint64_t clock_ns, uint32_t rate_ppm,
                          int64_t left_ns)
{
    __int128 at = clock_ns;

    if (rate_ppm > 0)
        at -= (__int128)left_ns * SCHED_PPM / rate_ppm;
    if (at < 0)
        at = 0;
    *e = (struct entitlement){.at_ns = at > (__int128)AT_MAX ? AT_MAX : (uint64_t)at};
}
