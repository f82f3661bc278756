/* SPDX-License-Identifier: MIT */
/* What the arbiter counts, and how it is read. */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"
#include "protocol/histogram.h"

#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

const char *arbiter_preempt_name(enum arbiter_preempt preempt)
{
    return preempt == ARBITER_PREEMPT_CPU ? "cpu" : "drain";
}

void arbiter_histogram_add(struct arbiter_histogram *h, uint64_t ns)
{
    h->buckets[histogram_bucket(ns)]++;
    h->count++;
    h->sum_ns += ns;
    h->max_ns = MAX(h->max_ns, ns);
}

void arbiter_note(struct arbiter *a, uint64_t at_ns, enum arbiter_event_kind kind,
                  const struct arbiter_vgpu *v, uint64_t value)
{
    a->events[a->n_events++ % ARBITER_EVENTS] =
        (struct arbiter_event){.time_ns = at_ns, .vgpu = v->number, .kind = kind, .value = value};
}

uint32_t arbiter_vgpu_number(const struct arbiter_vgpu *v)
{
    return v->number;
}

void arbiter_read_stats(struct arbiter_vgpu *v, struct arbiter_stats *ret)
{
    struct arbiter *a = v->arbiter;

    pthread_mutex_lock(&a->lock);
    uint64_t now = now_ns();
    arbiter_account_all(a, now);
    arbiter_account(v, now);
    *ret = (struct arbiter_stats){
        .knobs = v->entity.knobs,
        .lease = v->attached ? lease_state(&v->lease) : LEASE_IDLE,
        .in_flight = v->ack.in_flight,
        .submits = v->before.submits + v->ack.submits,
        .completions = v->before.completions + v->ack.completions,
        .cuts = v->before.cuts + v->ack.cuts,
        .busy_ns = v->busy_ns,
        .vulkan_ns = v->before.vulkan_ns + v->ack.busy_ns - v->acks[LEASE_SLOT_GL].busy_ns,
        .faults = v->faults,
        .resets = v->resets,
        .rings = v->bell.rings,
        .floods = v->bell.floods,
        .stops = v->processors.stops,
        .wait = v->wait,
    };
    sched_read_stats(&v->entity, now, &ret->sched);
    pthread_mutex_unlock(&a->lock);
}

void arbiter_read_totals(struct arbiter *a, struct arbiter_totals *ret)
{
    pthread_mutex_lock(&a->lock);
    uint64_t now = now_ns();
    arbiter_account_all(a, now);
    *ret = (struct arbiter_totals){
        .policy = a->sched.policy,
        .preempt = a->config.preempt,
        .parallelism = a->config.parallelism,
        .reserved_ppm = sched_reserved_ppm(&a->sched),
        .vgpus = a->n_vgpus,
        .elapsed_ns = now - a->start_ns,
        .busy_ns = a->busy_ns,
        .grants = a->grants,
        .handoff = a->handoff,
    };
    pthread_mutex_unlock(&a->lock);
}

size_t arbiter_read_events(struct arbiter *a, uint64_t *cursor, struct arbiter_event *ret,
                           size_t max, uint64_t *ret_lost)
{
    size_t n = 0;

    pthread_mutex_lock(&a->lock);
    uint64_t oldest = a->n_events > ARBITER_EVENTS ? a->n_events - ARBITER_EVENTS : 0;
    *ret_lost = *cursor < oldest ? oldest - *cursor : 0;
    *cursor = MIN(MAX(*cursor, oldest), a->n_events);
    while (n < max && *cursor < a->n_events)
        ret[n++] = a->events[(*cursor)++ % ARBITER_EVENTS];
    pthread_mutex_unlock(&a->lock);
    return n;
}
