/* SPDX-License-Identifier: MIT */
/* Turns: who waits, who is next, what is charged. */
#include "mediator/sched/sched.h"

#include "mediator/sched/sched_internal.h"

#include <assert.h>

uint64_t sched_clock_ns(struct sched *s, uint64_t now_ns)
{
    if (s->policy != SCHED_POLICY_EQUAL)
        return now_ns;
    if (now_ns > s->equal.seen_ns) {
        uint64_t passed = now_ns - s->equal.seen_ns + s->equal.remainder;
        uint64_t n = s->n_entities > 0 ? s->n_entities : 1;

        s->equal.at_ns += passed / n;
        s->equal.remainder = passed % n;
        s->equal.seen_ns = now_ns;
    }
    return s->equal.at_ns;
}

uint32_t sched_rate_ppm(const struct sched_entity *e)
{
    switch (e->sched->policy) {
    case SCHED_POLICY_FAIR:
    case SCHED_POLICY_FIXED:
        return e->knobs.reservation_ppm;
    case SCHED_POLICY_EQUAL:
        return SCHED_PPM;
    default:
        return 0;
    }
}

int64_t sched_lag_ns(struct sched_entity *e, uint64_t now_ns)
{
    int64_t left_ns;

    switch (e->sched->policy) {
    case SCHED_POLICY_FAIR:
        return virtual_lag_ns(&e->sched->virtual_system, &e->virtual_client);
    case SCHED_POLICY_EXCLUSIVE:
        return 0;
    default:
        left_ns =
            entitlement_left_ns(&e->entitled, sched_clock_ns(e->sched, now_ns), sched_rate_ppm(e));
        if (e->state == SCHED_ASLEEP && left_ns > (int64_t)e->knobs.slice_ns)
            left_ns = (int64_t)e->knobs.slice_ns; /* what sched_wake will leave of it */
        return left_ns;
    }
}

/* ---- trees ---------------------------------------------------------------------------------- */

void sched_unlink(struct sched_entity *e)
{
    struct sched *s = e->sched;

    deadline_tree_erase(e->state == SCHED_WAITING ? &s->by_virtual : &s->debtors, &e->virtual_node);
    deadline_tree_erase(e->state == SCHED_CAPPED ? &s->capped : &s->by_entitlement,
                        &e->entitlement_node);
}

void sched_set_state(struct sched_entity *e, enum sched_state state, uint64_t now_ns)
{
    uint64_t passed = now_ns > e->state_since_ns ? now_ns - e->state_since_ns : 0;
    bool was_capped = e->state == SCHED_CAPPED;

    if (e->state == SCHED_WAITING)
        e->waiting_ns += passed;
    else if (e->state == SCHED_CAPPED)
        e->capped_ns += passed;
    e->state = state;
    e->state_since_ns = now_ns;
    if (e->is_group && (state == SCHED_CAPPED) != was_capped)
        sched_group_follow(e, now_ns);
}

static void leave_competition(struct sched_entity *e)
{
    struct virtual_client *c = &e->virtual_client;

    virtual_leave(&e->sched->virtual_system, c);
    /* What it could have had, but did not ask for, is no claim beyond one slice. */
    if (c->lag_ns > (int64_t)e->knobs.slice_ns)
        c->lag_ns = (int64_t)e->knobs.slice_ns;
    if (c->lag_ns < 0) /* less than rounding: a debtor stays until virtual time has reached it */
        c->lag_ns = 0;
}

/* Lets those debtors go that virtual time has caught up with. */
static void settle_debtors(struct sched *s)
{
    struct deadline_node *node;

    while ((node = deadline_tree_pick(&s->debtors, virtual_now(&s->virtual_system)))) {
        struct sched_entity *e = SCHED_ENTITY_OF(node, virtual_node);
        deadline_tree_erase(&s->debtors, node);
        leave_competition(e);
        e->virtual_client.lag_ns = 0; /* what time went on since it was reached is no claim */
    }
}

/* e can't be picked for now: it competes on only if it is ahead of the others. */
static void rest(struct sched_entity *e)
{
    struct sched *s = e->sched;
    struct virtual_client *c = &e->virtual_client;

    if (s->policy != SCHED_POLICY_FAIR)
        return;
    if (!c->competing && c->lag_ns < 0) /* charged late */
        virtual_enter(&s->virtual_system, c);
    if (!c->competing)
        return;
    if (virtual_lag_ns(&s->virtual_system, c) >= 0) {
        leave_competition(e);
        return;
    }
    e->virtual_node.start = c->at;
    e->virtual_node.deadline = c->at;
    deadline_tree_insert(&s->debtors, &e->virtual_node);
}

static void wait_in_line(struct sched_entity *e)
{
    struct sched *s = e->sched;
    uint32_t rate = sched_rate_ppm(e);

    if (s->policy == SCHED_POLICY_FAIR) {
        struct virtual_client *c = &e->virtual_client;
        if (!c->competing)
            virtual_enter(&s->virtual_system, c);
        e->virtual_node.start = c->at;
        e->virtual_node.deadline = virtual_deadline(c, e->due_ns);
        deadline_tree_insert(&s->by_virtual, &e->virtual_node);
    }
    if (rate > 0) {
        e->entitlement_node.start = e->entitled.at_ns;
        e->entitlement_node.deadline =
            e->entitled.at_ns + entitlement_span_ns(e->knobs.slice_ns, rate);
        deadline_tree_insert(&s->by_entitlement, &e->entitlement_node);
    }
}

static bool is_capped(const struct sched_entity *e, uint64_t now_ns)
{
    return e->sched->policy != SCHED_POLICY_EXCLUSIVE && e->knobs.cap_ppm < SCHED_PPM &&
           e->cap.at_ns > now_ns;
}

void sched_link(struct sched_entity *e, bool running, uint64_t now_ns)
{
    struct sched *s = e->sched;

    if (running) {
        sched_set_state(e, SCHED_RUNNING, now_ns);
        if (s->policy == SCHED_POLICY_FAIR && !e->virtual_client.competing)
            virtual_enter(&s->virtual_system, &e->virtual_client);
    } else if (!e->has_work) {
        sched_set_state(e, SCHED_ASLEEP, now_ns);
        rest(e);
    } else if (is_capped(e, now_ns)) {
        sched_set_state(e, SCHED_CAPPED, now_ns);
        rest(e);
        e->entitlement_node.start = e->cap.at_ns;
        e->entitlement_node.deadline = e->cap.at_ns;
        deadline_tree_insert(&s->capped, &e->entitlement_node);
    } else {
        sched_set_state(e, SCHED_WAITING, now_ns);
        wait_in_line(e);
    }
}

/* ---- work ----------------------------------------------------------------------------------- */

/* If this burst is like the others, it is a short request, and due after half of it: a turn more or
 * less of it is nothing to the others, and one of the others' is a frame late to it. Its turn is a
 * whole slice all the same: what does not fit would wait for a round. */
static void expect_usual(struct sched_entity *e)
{
    uint64_t usual_ns = e->burst.usual_ns;

    e->burst.used_ns = 0;
    e->due_ns = usual_ns > 0 && usual_ns < e->knobs.slice_ns ? usual_ns / 2 : e->knobs.slice_ns;
}

/* Falls fast and rises slowly: a burst is often longer than it would be by itself, since others
 * were in the way, and never shorter. */
static void note_burst(struct sched_entity *e)
{
    uint64_t used_ns = e->burst.used_ns, usual_ns = e->burst.usual_ns;

    if (used_ns == 0)
        return;
    if (used_ns > 2 * e->knobs.slice_ns) /* more is all the same */
        used_ns = 2 * e->knobs.slice_ns;
    if (usual_ns == 0)
        e->burst.usual_ns = used_ns;
    else if (used_ns < usual_ns)
        e->burst.usual_ns = (usual_ns + used_ns) / 2;
    else
        e->burst.usual_ns += (used_ns - usual_ns) / 8;
}

void sched_wake(struct sched_entity *e, uint64_t now_ns)
{
    uint32_t rate = sched_rate_ppm(e);

    if (e->has_work)
        return;
    if (e->group) {
        sched_group_wake(e, now_ns);
        return;
    }
    e->has_work = true;
    if (e->state == SCHED_RUNNING)
        return;
    expect_usual(e);
    settle_debtors(e->sched); /* it may be one of them */
    sched_unlink(e);
    if (rate > 0)
        entitlement_expire(&e->entitled, sched_clock_ns(e->sched, now_ns),
                           entitlement_span_ns(e->knobs.slice_ns, rate));
    sched_link(e, false, now_ns);
}

void sched_sleep(struct sched_entity *e, uint64_t now_ns)
{
    if (!e->has_work)
        return;
    if (e->group) {
        sched_group_sleep(e, now_ns);
        return;
    }
    e->has_work = false;
    note_burst(e);
    if (e->state == SCHED_RUNNING)
        return;
    sched_unlink(e);
    sched_link(e, false, now_ns);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void release_capped(struct sched *s, uint64_t now_ns)
{
    struct deadline_node *node;

    while ((node = deadline_tree_pick(&s->capped, now_ns))) {
        struct sched_entity *e = SCHED_ENTITY_OF(node, entitlement_node);
        sched_unlink(e);
        sched_link(e, false, now_ns);
    }
}

/* When the clock of entitlements will show at_ns, which is to come. */
static uint64_t clock_reaches_ns(const struct sched *s, uint64_t at_ns)
{
    uint64_t ns;

    if (s->policy != SCHED_POLICY_EQUAL)
        return at_ns;
    if (__builtin_mul_overflow(at_ns - s->equal.at_ns, (uint64_t)s->n_entities, &ns) ||
        __builtin_add_overflow(ns - s->equal.remainder, s->equal.seen_ns, &ns))
        return SCHED_NEVER;
    return ns;
}

static uint64_t next_event_ns(const struct sched *s)
{
    uint64_t next = SCHED_NEVER;

    if (s->capped.root)
        next = s->capped.root->min_start;
    /* Under fair those who wait are always picked, entitled or not. */
    if (s->by_entitlement.root) {
        uint64_t entitled = clock_reaches_ns(s, s->by_entitlement.root->min_start);
        if (entitled < next)
            next = entitled;
    }
    return next;
}

static struct sched_entity *pick_fair(struct sched *s)
{
    struct deadline_node *node;

    node = deadline_tree_pick(&s->by_virtual, virtual_now(&s->virtual_system));
    /* All who wait may be ahead of their time if those who run are behind: with a place free, the
     * least ahead one. */
    if (!node)
        node = deadline_tree_first_start(&s->by_virtual);
    return node ? SCHED_ENTITY_OF(node, virtual_node) : NULL;
}

struct sched_entity *sched_pick(struct sched *s, uint64_t now_ns, uint64_t *ret_next_ns)
{
    struct sched_entity *e = NULL;
    struct deadline_node *node;

    settle_debtors(s);
    release_capped(s, now_ns);
    if (s->n_running >= s->parallelism) {
        *ret_next_ns = SCHED_NEVER;
        return NULL;
    }
    node = deadline_tree_pick(&s->by_entitlement, sched_clock_ns(s, now_ns));
    if (node)
        e = SCHED_ENTITY_OF(node, entitlement_node);
    else if (s->policy == SCHED_POLICY_FAIR)
        e = pick_fair(s);
    else if (s->policy == SCHED_POLICY_EXCLUSIVE && s->first && s->first->state == SCHED_WAITING)
        e = s->first;
    if (!e)
        *ret_next_ns = next_event_ns(s);
    return e && e->is_group ? sched_group_pick(e) : e;
}

uint64_t sched_turn_end_ns(const struct sched_entity *e)
{
    struct sched *s = e->sched;
    uint64_t end_ns = sched_slice_end_ns(e), soonest_ns;
    struct deadline_node *node;

    if (e->group)
        e = &e->group->entity;
    soonest_ns = e->slice.start_ns + SCHED_SLICE_MIN_NS;

    if (s->policy != SCHED_POLICY_FAIR || e->slice.entitled || sched_is_short(e))
        return end_ns;
    node = deadline_tree_pick(&s->by_virtual, virtual_now(&s->virtual_system));
    /* Virtual times wrap around. */
    if (!node || !sched_is_short(SCHED_ENTITY_OF(node, virtual_node)) ||
        (int64_t)(node->deadline - virtual_deadline(&e->virtual_client, e->due_ns)) >= 0)
        return end_ns;
    return soonest_ns < end_ns ? soonest_ns : end_ns;
}

void sched_start(struct sched_entity *e, uint64_t now_ns)
{
    struct sched *s = e->sched;
    uint64_t clock_ns = sched_clock_ns(s, now_ns);
    uint64_t length_ns = e->knobs.slice_ns;

    assert(e->state == SCHED_WAITING);
    if (e->group) {
        sched_group_start(e, now_ns);
        return;
    }
    sched_unlink(e);
    sched_link(e, true, now_ns);
    s->n_running++;
    e->slices++;
    e->slice.start_ns = now_ns;
    e->slice.clock_ns = clock_ns;
    e->slice.length_ns = length_ns;
    e->slice.end_ns = s->policy == SCHED_POLICY_EXCLUSIVE ? SCHED_NEVER : now_ns + length_ns;
    e->slice.used_ns = 0;
    e->slice.entitled = sched_rate_ppm(e) > 0 && e->entitled.at_ns <= clock_ns;
    entitlement_expire(&e->cap, now_ns, entitlement_span_ns(length_ns, e->knobs.cap_ppm));
}

void sched_delay(struct sched_entity *e, uint64_t now_ns)
{
    struct sched_entity *competitor = e->group ? &e->group->entity : e;

    assert(e->state == SCHED_RUNNING);
    competitor->slice.start_ns = now_ns;
    competitor->slice.clock_ns = sched_clock_ns(e->sched, now_ns);
    if (competitor->slice.end_ns != SCHED_NEVER)
        competitor->slice.end_ns = now_ns + competitor->slice.length_ns;
}

/* within: inside the slice's length; over: beyond it. */
static void charge_entitlement(struct sched_entity *e, uint64_t within_ns, uint64_t over_ns)
{
    uint32_t rate = sched_rate_ppm(e);
    struct entitlement *entitled = &e->entitled, charged = *entitled;
    uint64_t limit_ns;

    if (rate == 0)
        return;
    entitlement_charge(&charged, within_ns + over_ns, rate);
    if (e->sched->policy == SCHED_POLICY_FAIR && !e->slice.entitled) {
        /* Time that its weight paid for leaves the reservation alone, but for what it overran; and
         * overruns of many slices do not add up, or use of an idle GPU would cost the guarantee. */
        uint64_t overrun_ns = e->slice.used_ns - e->slice.length_ns;
        if (over_ns == 0)
            return;
        if (overrun_ns > SCHED_CHARGE_MAX_NS)
            overrun_ns = SCHED_CHARGE_MAX_NS;
        limit_ns = e->slice.clock_ns + entitlement_span_ns(overrun_ns, rate);
        if (limit_ns <= entitled->at_ns)
            return;
        if (charged.at_ns > limit_ns)
            charged = (struct entitlement){.at_ns = limit_ns};
    }
    *entitled = charged;
}

static void charge_virtual(struct sched_entity *e, uint64_t within_ns, uint64_t over_ns)
{
    struct sched *s = e->sched;

    if (s->policy != SCHED_POLICY_FAIR)
        return;
    if (e->slice.entitled) {
        virtual_charge(&s->virtual_system, &e->virtual_client, over_ns);
        virtual_charge_paid(&s->virtual_system, &e->virtual_client, within_ns, e->knobs.slice_ns);
    } else {
        virtual_charge(&s->virtual_system, &e->virtual_client, within_ns + over_ns);
    }
}

void sched_charge(struct sched_entity *e, uint64_t gpu_ns, uint64_t now_ns)
{
    bool running = e->state == SCHED_RUNNING;
    uint64_t within_ns = 0, over_ns;

    if (gpu_ns > SCHED_CHARGE_MAX_NS)
        gpu_ns = SCHED_CHARGE_MAX_NS;
    if (e->slice.used_ns < e->slice.length_ns)
        within_ns = e->slice.length_ns - e->slice.used_ns;
    if (within_ns > gpu_ns || sched_slice_end_ns(e) == SCHED_NEVER)
        within_ns = gpu_ns;
    over_ns = gpu_ns - within_ns;

    e->gpu_ns += gpu_ns;
    e->burst.used_ns += gpu_ns;
    e->overrun_ns += over_ns;
    e->slice.used_ns += gpu_ns;
    if (e->group) {
        sched_group_charge(e, gpu_ns, now_ns);
        return;
    }
    sched_unlink(e);
    if (e->sched->policy != SCHED_POLICY_EXCLUSIVE && e->knobs.cap_ppm < SCHED_PPM)
        entitlement_charge(&e->cap, gpu_ns, e->knobs.cap_ppm);
    charge_entitlement(e, within_ns, over_ns);
    charge_virtual(e, within_ns, over_ns);
    sched_link(e, running, now_ns);
}

bool sched_is_alone(const struct sched_entity *e)
{
    const struct sched *s = e->sched;

    return s->policy == SCHED_POLICY_FAIR && e->state == SCHED_RUNNING && e->has_work &&
           e->knobs.cap_ppm == SCHED_PPM && !s->capped.root && !sched_contended(s);
}

void sched_charge_alone(struct sched_entity *e, uint64_t gpu_ns, uint64_t now_ns)
{
    const struct sched_entity *slice_of = e->group ? &e->group->entity : e;

    while (sched_is_alone(e)) {
        uint64_t left_ns = slice_of->slice.length_ns > slice_of->slice.used_ns
                               ? slice_of->slice.length_ns - slice_of->slice.used_ns
                               : 0;
        if (gpu_ns <= left_ns)
            break;
        sched_charge(e, left_ns, now_ns);
        gpu_ns -= left_ns;
        sched_put(e, now_ns);
        sched_start(e, now_ns);
    }
    sched_charge(e, gpu_ns, now_ns);
}

void sched_put(struct sched_entity *e, uint64_t now_ns)
{
    struct sched *s = e->sched;
    uint32_t rate = sched_rate_ppm(e);

    assert(e->state == SCHED_RUNNING);
    if (e->group) {
        sched_group_put(e, now_ns);
        return;
    }
    s->n_running--;
    e->due_ns = e->knobs.slice_ns; /* if it has more to do, it is more than was expected */
    if (rate > 0) {
        uint64_t span_ns = entitlement_span_ns(e->knobs.slice_ns, rate);
        /* Under equal all that is lost between slices is behind for all: old claims would keep
         * those off that come now. */
        if (s->policy != SCHED_POLICY_EQUAL && span_ns < SCHED_CLAIM_NS)
            span_ns = SCHED_CLAIM_NS;
        entitlement_expire(&e->entitled, sched_clock_ns(s, now_ns), span_ns);
    }
    sched_link(e, false, now_ns);
}
