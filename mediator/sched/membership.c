/* SPDX-License-Identifier: MIT */
/* Who shares the GPU, with which knobs, under which policy; and reading it. */
#include "mediator/sched/sched.h"

#include "mediator/sched/sched_internal.h"

#include <errno.h>
#include <string.h>

static const char *const policy_names[SCHED_N_POLICIES] = {
    [SCHED_POLICY_FAIR] = "fair",
    [SCHED_POLICY_EQUAL] = "equal",
    [SCHED_POLICY_FIXED] = "fixed",
    [SCHED_POLICY_EXCLUSIVE] = "exclusive",
};

const char *sched_policy_name(enum sched_policy policy)
{
    return policy_names[policy];
}

int sched_policy_from_name(const char *name, enum sched_policy *ret)
{
    for (unsigned i = 0; i < SCHED_N_POLICIES; i++) {
        if (!strcmp(policy_names[i], name)) {
            *ret = (enum sched_policy)i;
            return 0;
        }
    }
    return -EINVAL;
}

void sched_init(struct sched *s, enum sched_policy policy, unsigned parallelism, uint64_t now_ns)
{
    *s = (struct sched){.policy = policy, .equal.seen_ns = now_ns};
    sched_set_parallelism(s, parallelism);
}

void sched_set_parallelism(struct sched *s, unsigned parallelism)
{
    s->parallelism = parallelism > 0 ? parallelism : 1;
}

/* reserved_ppm: by all others. */
static int check_sum(uint32_t reserved_ppm, const struct sched_knobs *knobs)
{
    return reserved_ppm + knobs->reservation_ppm > SCHED_RESERVATION_MAX_PPM ? -ENOSPC : 0;
}

int sched_admit(const struct sched *s, const struct sched_knobs *knobs)
{
    int r = sched_knobs_check(knobs);

    if (r < 0)
        return r;
    if (s->policy == SCHED_POLICY_EXCLUSIVE && s->n_entities > 0)
        return -EBUSY;
    return check_sum(s->reserved_ppm, knobs);
}

int sched_add(struct sched *s, struct sched_entity *e, const struct sched_knobs *knobs,
              uint64_t now_ns)
{
    int r = sched_admit(s, knobs);
    uint64_t clock_ns;

    if (r < 0)
        return r;
    clock_ns = sched_clock_ns(s, now_ns); /* before there is one more to share it */
    *e = (struct sched_entity){
        .sched = s,
        .next = s->first,
        .knobs = *knobs,
        .state = SCHED_ASLEEP,
        .state_since_ns = now_ns,
        .due_ns = knobs->slice_ns,
        .virtual_client.weight = knobs->weight,
        .entitled.at_ns = clock_ns,
        .cap.at_ns = now_ns,
    };
    if (s->first)
        s->first->prev = e;
    s->first = e;
    s->n_entities++;
    s->reserved_ppm += knobs->reservation_ppm;
    s->weights += knobs->weight;
    return 0;
}

void sched_remove(struct sched_entity *e, uint64_t now_ns)
{
    struct sched *s = e->sched;

    if (!s)
        return;
    if (e->group) {
        sched_group_remove(e, now_ns);
        return;
    }
    sched_clock_ns(s, now_ns); /* before there is one less to share it */
    sched_unlink(e);
    if (e->virtual_client.competing)
        virtual_leave(&s->virtual_system, &e->virtual_client);
    if (e->state == SCHED_RUNNING)
        s->n_running--;
    if (e->next)
        e->next->prev = e->prev;
    if (e->prev)
        e->prev->next = e->next;
    else
        s->first = e->next;
    s->n_entities--;
    s->reserved_ppm -= e->knobs.reservation_ppm;
    s->weights -= e->knobs.weight;
    e->sched = NULL;
}

/* The same service, left or in advance, at another rate. */
static void change_rate(struct entitlement *e, uint64_t clock_ns, uint32_t from_ppm,
                        uint32_t to_ppm)
{
    if (from_ppm != to_ppm)
        entitlement_set_left(e, clock_ns, to_ppm, entitlement_left_ns(e, clock_ns, from_ppm));
}

int sched_set_knobs(struct sched_entity *e, const struct sched_knobs *knobs, uint64_t now_ns)
{
    struct sched *s = e->sched;
    bool running = e->state == SCHED_RUNNING;
    uint32_t others_ppm = s->reserved_ppm - e->knobs.reservation_ppm, rate;
    int r = e->group ? sched_group_set_knobs(e, knobs, now_ns) : sched_knobs_check(knobs);

    if (e->group)
        return r;
    if (r == 0)
        r = check_sum(others_ppm, knobs);
    if (r < 0)
        return r;
    sched_unlink(e);
    rate = sched_rate_ppm(e);
    s->reserved_ppm = others_ppm + knobs->reservation_ppm;
    s->weights += knobs->weight - (uint64_t)e->knobs.weight;
    change_rate(&e->cap, now_ns, e->knobs.cap_ppm, knobs->cap_ppm);
    e->knobs = *knobs;
    e->due_ns = knobs->slice_ns;
    change_rate(&e->entitled, sched_clock_ns(s, now_ns), rate, sched_rate_ppm(e));
    virtual_set_weight(&s->virtual_system, &e->virtual_client, knobs->weight);
    if (running && e->slice.end_ns != SCHED_NEVER) {
        e->slice.length_ns = knobs->slice_ns;
        e->slice.end_ns = e->slice.start_ns + knobs->slice_ns;
    }
    sched_link(e, running, now_ns);
    return 0;
}

static bool has_members(const struct sched_entity *e)
{
    return e && e->is_group && ((const struct sched_group *)e)->n_members > 1;
}

int sched_set_policy(struct sched *s, enum sched_policy policy, uint64_t now_ns)
{
    uint64_t clock_ns;

    if (policy == s->policy)
        return 0;
    if (policy == SCHED_POLICY_EXCLUSIVE && (s->n_entities > 1 || has_members(s->first)))
        return -EBUSY;
    for (struct sched_entity *e = s->first; e; e = e->next) {
        int64_t lag_ns = sched_lag_ns(e, now_ns);
        sched_unlink(e);
        e->virtual_client.lag_ns = lag_ns < 0 ? lag_ns : 0; /* claims were under other rules */
        e->virtual_client.competing = false;
    }
    s->virtual_system = (struct virtual_system){.base = s->virtual_system.base};
    s->policy = policy;
    s->equal.seen_ns = now_ns;
    clock_ns = sched_clock_ns(s, now_ns);
    for (struct sched_entity *e = s->first; e; e = e->next) {
        entitlement_set_left(&e->entitled, clock_ns, sched_rate_ppm(e), e->virtual_client.lag_ns);
        e->slice.entitled = false;
        e->slice.clock_ns = clock_ns;
        if (policy == SCHED_POLICY_EXCLUSIVE)
            e->slice.end_ns = SCHED_NEVER;
        else if (e->state == SCHED_RUNNING)
            e->slice.end_ns = e->slice.start_ns + e->slice.length_ns;
        if (policy != SCHED_POLICY_FAIR)
            e->virtual_client.lag_ns = 0;
    }
    /* All at once, relative to one and the same time: the first would else lose its lag. */
    if (policy == SCHED_POLICY_FAIR) {
        for (struct sched_entity *e = s->first; e; e = e->next)
            virtual_enter_at(&s->virtual_system, &e->virtual_client);
    }
    for (struct sched_entity *e = s->first; e; e = e->next)
        sched_link(e, e->state == SCHED_RUNNING, now_ns);
    return 0;
}

uint64_t sched_slice_end_ns(const struct sched_entity *e)
{
    return e->group ? e->group->entity.slice.end_ns : e->slice.end_ns;
}

bool sched_is_running(const struct sched_entity *e)
{
    return e->state == SCHED_RUNNING;
}

bool sched_is_short(const struct sched_entity *e)
{
    if (e->group)
        e = &e->group->entity;
    return e->due_ns < e->knobs.slice_ns;
}

bool sched_contended(const struct sched *s)
{
    return s->by_virtual.root || s->by_entitlement.root || s->n_behind > 0;
}

uint32_t sched_reserved_ppm(const struct sched *s)
{
    return s->reserved_ppm;
}

void sched_read_stats(struct sched_entity *e, uint64_t now_ns, struct sched_stats *ret)
{
    uint64_t passed = now_ns > e->state_since_ns ? now_ns - e->state_since_ns : 0;
    int64_t lag_ns = sched_lag_ns(e->group ? &e->group->entity : e, now_ns);

    *ret = (struct sched_stats){
        .state = e->state,
        .gpu_ns = e->gpu_ns,
        .waiting_ns = e->waiting_ns + (e->state == SCHED_WAITING ? passed : 0),
        .capped_ns = e->capped_ns + (e->state == SCHED_CAPPED ? passed : 0),
        .overrun_ns = e->overrun_ns,
        .slices = e->slices,
        .lag_ns = lag_ns,
        .debt_ns = lag_ns < 0 ? (uint64_t)-lag_ns : 0,
    };
}
