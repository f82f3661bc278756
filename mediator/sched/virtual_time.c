/* SPDX-License-Identifier: MIT */
#include "mediator/sched/virtual_time.h"

static void add(struct virtual_system *s, struct virtual_client *c)
{
    c->remainder = 0;
    c->competing = true;
    c->lag_ns = 0;
    s->sum += (__int128)c->weight * (int64_t)(c->at - s->base);
    s->weights += c->weight;
}

uint64_t virtual_now(struct virtual_system *s)
{
    int64_t step;

    if (s->weights == 0)
        return s->base;
    if (s->sum >= INT64_MIN && s->sum <= INT64_MAX) { /* a fraction of the price */
        int64_t sum = (int64_t)s->sum, weights = (int64_t)s->weights;
        step = sum / weights - (sum % weights < 0);
    } else {
        __int128 weights = s->weights;
        step = (int64_t)(s->sum / weights - (s->sum % weights < 0));
    }
    s->base += (uint64_t)step;
    s->sum -= (__int128)step * (__int128)s->weights;
    return s->base;
}

void virtual_enter(struct virtual_system *s, struct virtual_client *c)
{
    uint64_t now = virtual_now(s);

    /* The newcomer moves the average; this is where its lag is what it was, once it is in. */
    c->at = now;
    if (s->weights > 0) {
        __int128 numerator = (__int128)c->lag_ns * VIRTUAL_SCALE * (s->weights + c->weight);
        __int128 denominator = (__int128)c->weight * s->weights;
        c->at = now - (uint64_t)(int64_t)(numerator / denominator);
    }
    add(s, c);
}

void virtual_enter_at(struct virtual_system *s, struct virtual_client *c)
{
    c->at = s->base - (uint64_t)(int64_t)((__int128)c->lag_ns * VIRTUAL_SCALE / c->weight);
    add(s, c);
}

void virtual_leave(struct virtual_system *s, struct virtual_client *c)
{
    c->lag_ns = virtual_lag_ns(s, c);
    if (s->weights == c->weight) /* the last one: time stands still where it was */
        virtual_now(s);
    s->sum -= (__int128)c->weight * (int64_t)(c->at - s->base);
    s->weights -= c->weight;
    if (s->weights == 0)
        s->sum = 0;
    c->competing = false;
}

void virtual_charge(struct virtual_system *s, struct virtual_client *c, uint64_t service_ns)
{
    uint64_t scaled, step;

    if (!c->competing) {
        c->lag_ns -= (int64_t)service_ns;
        return;
    }
    scaled = service_ns * VIRTUAL_SCALE + c->remainder;
    step = scaled / c->weight;
    c->remainder = (uint32_t)(scaled % c->weight);
    c->at += step;
    s->sum += (__int128)c->weight * step;
}

void virtual_charge_paid(struct virtual_system *s, struct virtual_client *c, uint64_t service_ns,
                         uint64_t floor_ns)
{
    int64_t room = virtual_lag_ns(s, c) + (int64_t)floor_ns; /* that the lag may go down by */

    if (c->competing) {
        if (s->weights == c->weight) { /* alone: no lag to speak of */
            virtual_charge(s, c, service_ns);
            return;
        }
        /* Others move, too: of each nanosecond charged, the lag loses but a part. */
        room = (int64_t)((__int128)room * s->weights / (s->weights - c->weight));
    }
    if (room > 0)
        virtual_charge(s, c, (uint64_t)room < service_ns ? (uint64_t)room : service_ns);
}

void virtual_set_weight(struct virtual_system *s, struct virtual_client *c, uint32_t weight)
{
    bool competing = c->competing;

    if (competing)
        virtual_leave(s, c);
    c->weight = weight;
    if (competing)
        virtual_enter(s, c);
}

int64_t virtual_lag_ns(const struct virtual_system *s, const struct virtual_client *c)
{
    if (!c->competing)
        return c->lag_ns;
    __int128 behind = s->sum - (__int128)s->weights * (int64_t)(c->at - s->base);
    return (int64_t)(behind * c->weight / ((__int128)s->weights * VIRTUAL_SCALE));
}

uint64_t virtual_deadline(const struct virtual_client *c, uint64_t service_ns)
{
    return c->at + service_ns * VIRTUAL_SCALE / c->weight;
}
