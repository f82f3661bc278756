/* SPDX-License-Identifier: MIT */
/*
 * vGPUs with one entitlement together. In the trees is the group's entity; its members are in a
 * tree of the group, sorted by the service that they have had.
 */
#include "mediator/sched/sched.h"

#include "mediator/sched/sched_internal.h"

#include <assert.h>
#include <errno.h>

/* ---- members that wait ---------------------------------------------------------------------- */

/* Of a member that has work and is not in a slice: it waits as its group does, or behind another
 * member. */
static enum sched_state waiting_state(const struct sched_group *g)
{
    return g->entity.state == SCHED_CAPPED ? SCHED_CAPPED : SCHED_WAITING;
}

static void insert(struct sched_group *g, struct sched_entity *m)
{
    m->virtual_node.start = m->virtual_node.deadline = m->had_ns;
    deadline_tree_insert(&g->waiting, &m->virtual_node);
    g->n_waiting++;
    if (g->running)
        g->entity.sched->n_behind++;
}

static void erase(struct sched_group *g, struct sched_entity *m)
{
    deadline_tree_erase(&g->waiting, &m->virtual_node);
    g->n_waiting--;
    if (g->running)
        g->entity.sched->n_behind--;
}

static bool is_waiting(const struct sched_entity *m)
{
    return m->has_work && m->state != SCHED_RUNNING;
}

static void set_running(struct sched_group *g, struct sched_entity *m)
{
    if (g->running)
        g->entity.sched->n_behind -= g->n_waiting;
    g->running = m;
    if (m)
        g->entity.sched->n_behind += g->n_waiting;
}

struct sched_entity *sched_group_pick(struct sched_entity *e)
{
    struct sched_group *g = (struct sched_group *)e; /* its first member */

    return SCHED_ENTITY_OF(deadline_tree_first_start(&g->waiting), virtual_node);
}

void sched_group_follow(struct sched_entity *e, uint64_t now_ns)
{
    const struct sched_group *g = (struct sched_group *)e;

    for (struct sched_entity *m = g->first; m; m = m->next) {
        if (is_waiting(m) && m->state != waiting_state(g))
            sched_set_state(m, waiting_state(g), now_ns);
    }
}

/* ---- work and turns ------------------------------------------------------------------------- */

void sched_group_wake(struct sched_entity *m, uint64_t now_ns)
{
    struct sched_group *g = m->group;

    m->has_work = true;
    if (g->n_working++ == 0)
        sched_wake(&g->entity, now_ns);
    if (m->state == SCHED_RUNNING)
        return;
    if (m->had_ns < g->floor_ns) /* what it did not ask for is no claim */
        m->had_ns = g->floor_ns;
    insert(g, m);
    sched_set_state(m, waiting_state(g), now_ns);
}

void sched_group_sleep(struct sched_entity *m, uint64_t now_ns)
{
    struct sched_group *g = m->group;

    if (is_waiting(m)) {
        erase(g, m);
        sched_set_state(m, SCHED_ASLEEP, now_ns);
    }
    m->has_work = false;
    if (--g->n_working == 0)
        sched_sleep(&g->entity, now_ns);
}

void sched_group_start(struct sched_entity *m, uint64_t now_ns)
{
    struct sched_group *g = m->group;

    assert(!g->running);
    erase(g, m);
    sched_start(&g->entity, now_ns);
    set_running(g, m);
    sched_set_state(m, SCHED_RUNNING, now_ns);
    g->floor_ns = m->had_ns;
    m->slices++;
    m->slice.length_ns = g->entity.slice.length_ns;
    m->slice.used_ns = 0;
}

void sched_group_charge(struct sched_entity *m, uint64_t gpu_ns, uint64_t now_ns)
{
    struct sched_group *g = m->group;
    bool waits = is_waiting(m);

    if (waits)
        erase(g, m);
    m->had_ns += gpu_ns;
    if (waits)
        insert(g, m);
    sched_charge(&g->entity, gpu_ns, now_ns);
}

void sched_group_put(struct sched_entity *m, uint64_t now_ns)
{
    struct sched_group *g = m->group;

    set_running(g, NULL);
    sched_put(&g->entity, now_ns);
    if (m->has_work)
        insert(g, m);
    sched_set_state(m, m->has_work ? waiting_state(g) : SCHED_ASLEEP, now_ns);
}

int sched_group_set_knobs(struct sched_entity *m, const struct sched_knobs *knobs, uint64_t now_ns)
{
    struct sched_group *g = m->group;
    int r = sched_set_knobs(&g->entity, knobs, now_ns);

    for (m = g->first; m && r == 0; m = m->next)
        m->knobs = *knobs;
    if (g->running && r == 0)
        g->running->slice.length_ns = g->entity.slice.length_ns;
    return r;
}

/* ---- coming and going ----------------------------------------------------------------------- */

static void link_member(struct sched_group *g, struct sched_entity *m)
{
    m->group = g;
    m->prev = NULL;
    m->next = g->first;
    if (g->first)
        g->first->prev = m;
    g->first = m;
    g->n_members++;
}

void sched_group_init(struct sched_group *g, struct sched_entity *e, uint64_t now_ns)
{
    struct sched *s = e->sched;

    assert(s && !e->group);
    sched_unlink(e);
    /* The group takes its place: accounts, lag, slice, in whatever state it is. */
    *g = (struct sched_group){.entity = *e, .n_working = e->has_work};
    g->entity.is_group = true;
    if (g->entity.next)
        g->entity.next->prev = &g->entity;
    if (g->entity.prev)
        g->entity.prev->next = &g->entity;
    else
        s->first = &g->entity;
    e->virtual_client = (struct virtual_client){0};
    e->had_ns = 0;
    link_member(g, e);
    if (is_waiting(e))
        insert(g, e);
    if (e->state == SCHED_RUNNING)
        set_running(g, e);
    sched_link(&g->entity, e->state == SCHED_RUNNING, now_ns);
}

int sched_group_add(struct sched_group *g, struct sched_entity *e, uint64_t now_ns)
{
    struct sched *s = g->entity.sched;

    if (s->policy == SCHED_POLICY_EXCLUSIVE)
        return -EBUSY;
    *e = (struct sched_entity){
        .sched = s,
        .knobs = g->entity.knobs,
        .state = SCHED_ASLEEP,
        .state_since_ns = now_ns,
        .had_ns = g->floor_ns,
    };
    link_member(g, e);
    return 0;
}

void sched_group_remove(struct sched_entity *m, uint64_t now_ns)
{
    struct sched_group *g = m->group;

    sched_sleep(m, now_ns);
    if (m->state == SCHED_RUNNING)
        sched_group_put(m, now_ns);
    if (m->next)
        m->next->prev = m->prev;
    if (m->prev)
        m->prev->next = m->next;
    else
        g->first = m->next;
    m->sched = NULL;
    m->group = NULL;
    if (--g->n_members == 0)
        sched_remove(&g->entity, now_ns);
}
