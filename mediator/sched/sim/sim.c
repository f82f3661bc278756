/* SPDX-License-Identifier: MIT */
#include "mediator/sched/sim/sim.h"

#include "mediator/base/util.h"

#include <assert.h>

/* Jobs of one vGPU that wait; more is a workload that can't be served, further ones are missed. */
#define PENDING_MAX 1024

/* The kinds of events; changes are counted from EVENT_CHANGE on. */
enum { EVENT_ARRIVE, EVENT_LEAVE, EVENT_JOB, EVENT_DONE, EVENT_RESET, EVENT_CHANGE };

static void check(struct sim *s, int r)
{
    if (r < 0)
        s->failure = r;
}

static void schedule(struct sim *s, uint64_t at_ns, int kind, size_t vgpu)
{
    check(s, sim_event_queue_add(&s->events, at_ns, kind, vgpu));
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static void add_job(struct sim *s, struct sim_vgpu *v, uint64_t length_ns)
{
    if (v->n_pending == PENDING_MAX) {
        v->n_missed++;
        return;
    }
    if (v->n_pending == v->pending_room) {
        size_t room = v->pending_room ? 2 * v->pending_room : 1;
        struct sim_job *ring = malloc(room * sizeof(*ring));
        if (!ring) {
            s->failure = -ENOMEM;
            return;
        }
        for (size_t i = 0; i < v->n_pending; i++)
            ring[i] = v->pending[(v->pending_first + i) % v->pending_room];
        free(v->pending);
        v->pending = ring;
        v->pending_room = room;
        v->pending_first = 0;
    }
    v->pending[(v->pending_first + v->n_pending++) % v->pending_room] =
        (struct sim_job){s->now_ns, length_ns};
}

/* The next job of one that always has one. */
static void add_next_job(struct sim *s, struct sim_vgpu *v)
{
    const struct sim_work *work = &v->config->work;

    if (work->kind == SIM_NEVER_COMPLETES && s->now_ns - v->arrived_ns >= work->other_ns)
        add_job(s, v, UINT64_MAX);
    else
        add_job(s, v, work->job_ns);
}

static bool always_has_work(const struct sim_vgpu *v)
{
    return v->config->work.kind != SIM_PERIODIC && v->config->work.kind != SIM_RANDOM;
}

/* ---- the engine ----------------------------------------------------------------------------- */

static void engine_begin(struct sim *s)
{
    size_t vgpu = s->line[s->line_first];
    struct sim_vgpu *v = &s->vgpus[vgpu];
    uint64_t pause_ns = 0;

    if (vgpu != s->last) {
        s->n_switches++;
        pause_ns = s->config->switch_ns;
        s->switching_ns += pause_ns;
        s->last = vgpu;
    }
    s->job_start_ns = s->now_ns + pause_ns;
    check(s, sim_samples_add(&v->wait, s->job_start_ns - v->job.ready_ns));
    if (v->job.length_ns > s->config->reset_after_ns)
        schedule(s, s->job_start_ns + s->config->reset_after_ns, EVENT_RESET, vgpu);
    else
        schedule(s, s->job_start_ns + v->job.length_ns, EVENT_DONE, vgpu);
}

static void engine_submit(struct sim *s, size_t vgpu)
{
    struct sim_vgpu *v = &s->vgpus[vgpu];

    v->job = v->pending[v->pending_first];
    v->pending_first = (v->pending_first + 1) % v->pending_room;
    v->n_pending--;
    v->has_job = true;
    s->line[(s->line_first + s->n_line++) % s->config->n_vgpus] = vgpu;
    if (s->n_line == 1)
        engine_begin(s);
}

static void engine_end(struct sim *s, struct sim_vgpu *v)
{
    uint64_t spent_ns = s->now_ns - s->job_start_ns;

    s->busy_ns += spent_ns;
    v->has_job = false;
    v->n_jobs++;
    check(s, sim_samples_add(&v->latency, s->now_ns - v->job.ready_ns));
    sched_charge(&v->entity, spent_ns, s->now_ns);
    if (s->observe)
        s->observe(s, (size_t)(v - s->vgpus), s->opaque);
    s->line_first = (s->line_first + 1) % s->config->n_vgpus;
    s->n_line--;
}

static void engine_go_on(struct sim *s)
{
    if (s->n_line > 0)
        engine_begin(s);
}

/* ---- vGPUs ---------------------------------------------------------------------------------- */

static void remove_vgpu(struct sim *s, struct sim_vgpu *v, enum sim_presence presence)
{
    sched_read_stats(&v->entity, s->now_ns, &v->stats);
    sched_remove(&v->entity, s->now_ns);
    v->presence = presence;
    v->present_ns = s->now_ns - v->arrived_ns;
}

/* One inside a slice that has nothing on the engine: the next job, or the end of the slice. */
static void go_on(struct sim *s, struct sim_vgpu *v)
{
    uint64_t end_ns = sched_turn_end_ns(&v->entity);

    if (v->config->work.kind == SIM_LATE_YIELDER && end_ns != SCHED_NEVER)
        end_ns += v->config->work.other_ns;
    if (v->n_pending > 0 && s->now_ns < end_ns) {
        engine_submit(s, (size_t)(v - s->vgpus));
        return;
    }
    if (v->n_pending == 0)
        sched_sleep(&v->entity, s->now_ns);
    sched_put(&v->entity, s->now_ns);
}

static int add(struct sim *s, struct sim_vgpu *v)
{
    struct sim_vgpu *leader = v->config->with > 0 ? &s->vgpus[v->config->with - 1] : NULL;

    if (!leader)
        return sched_add(&s->sched, &v->entity, &v->config->knobs, s->now_ns);
    if (leader->group.n_members == 0)
        sched_group_init(&leader->group, &leader->entity, s->now_ns);
    return sched_group_add(&leader->group, &v->entity, s->now_ns);
}

static void arrive(struct sim *s, struct sim_vgpu *v)
{
    size_t vgpu = (size_t)(v - s->vgpus);
    uint64_t leave_ns = v->config->leave_ns;

    v->refusal = add(s, v);
    if (v->refusal < 0) {
        v->presence = SIM_REFUSED;
        return;
    }
    v->presence = SIM_PRESENT;
    v->arrived_ns = s->now_ns;
    if (leave_ns > 0)
        schedule(s, leave_ns > s->now_ns ? leave_ns : s->now_ns, EVENT_LEAVE, vgpu);
    for (size_t i = 0; i < v->config->n_changes; i++)
        schedule(s, v->config->changes[i].at_ns, EVENT_CHANGE + (int)i, vgpu);
    if (v->config->work.kind == SIM_RANDOM) {
        uint64_t first_ns = sim_random_exponential(&v->random, v->config->work.other_ns);
        schedule(s, s->now_ns + first_ns, EVENT_JOB, vgpu);
    } else {
        schedule(s, s->now_ns, EVENT_JOB, vgpu);
    }
}

static void leave(struct sim *s, struct sim_vgpu *v)
{
    if (v->has_job)
        v->presence = SIM_LEAVING;
    else
        remove_vgpu(s, v, SIM_GONE);
}

static void job_comes(struct sim *s, struct sim_vgpu *v)
{
    const struct sim_work *work = &v->config->work;
    size_t vgpu = (size_t)(v - s->vgpus);

    switch (work->kind) {
    case SIM_PERIODIC:
        if (v->n_pending == 0 && !v->has_job)
            add_job(s, v, work->job_ns);
        else
            v->n_missed++;
        schedule(s, s->now_ns + work->other_ns, EVENT_JOB, vgpu);
        break;
    case SIM_RANDOM:
        add_job(s, v, sim_random_exponential(&v->random, work->job_ns));
        schedule(s, s->now_ns + sim_random_exponential(&v->random, work->other_ns), EVENT_JOB,
                 vgpu);
        break;
    default:
        add_next_job(s, v);
    }
    if (v->n_pending > 0)
        sched_wake(&v->entity, s->now_ns);
}

static void job_done(struct sim *s, struct sim_vgpu *v)
{
    engine_end(s, v);
    if (v->presence == SIM_LEAVING) {
        remove_vgpu(s, v, SIM_GONE);
    } else {
        if (always_has_work(v))
            add_next_job(s, v);
        go_on(s, v);
    }
    /* Only now: with one place, the same vGPU's next job comes before others can get in. */
    if (s->n_line > 0 && s->line[s->line_first] != (size_t)(v - s->vgpus))
        engine_go_on(s);
}

static void reset(struct sim *s, struct sim_vgpu *v)
{
    engine_end(s, v);
    remove_vgpu(s, v, SIM_RESET);
    engine_go_on(s);
}

static void handle(struct sim *s, const struct sim_event *event)
{
    struct sim_vgpu *v = &s->vgpus[event->vgpu];

    if (event->kind == EVENT_ARRIVE)
        arrive(s, v);
    else if (event->kind == EVENT_DONE)
        job_done(s, v);
    else if (event->kind == EVENT_RESET)
        reset(s, v);
    else if (v->presence != SIM_PRESENT)
        return; /* gone in the meantime */
    else if (event->kind == EVENT_LEAVE)
        leave(s, v);
    else if (event->kind == EVENT_JOB)
        job_comes(s, v);
    else
        (void)sched_set_knobs(&v->entity, &v->config->changes[event->kind - EVENT_CHANGE].knobs,
                              s->now_ns); /* one that is not admitted changes nothing */
}

static void fill_places(struct sim *s)
{
    struct sched_entity *e;

    s->poll_ns = SCHED_NEVER;
    while ((e = sched_pick(&s->sched, s->now_ns, &s->poll_ns))) {
        struct sim_vgpu *v = (struct sim_vgpu *)((char *)e - offsetof(struct sim_vgpu, entity));
        sched_start(e, s->now_ns);
        go_on(s, v);
    }
}

/* ---- whole ---------------------------------------------------------------------------------- */

int sim_init(struct sim *s, const struct sim_config *config)
{
    *s = (struct sim){.config = config, .poll_ns = SCHED_NEVER, .last = SIZE_MAX};
    sched_init(&s->sched, config->policy, config->slots, 0);
    s->vgpus = calloc(config->n_vgpus ? config->n_vgpus : 1, sizeof(*s->vgpus));
    s->line = calloc(config->n_vgpus ? config->n_vgpus : 1, sizeof(*s->line));
    if (!s->vgpus || !s->line)
        s->failure = -ENOMEM;
    uint64_t seed = config->seed;
    for (size_t i = 0; i < config->n_vgpus && s->failure == 0; i++) {
        s->vgpus[i].config = &config->vgpus[i];
        s->vgpus[i].random = sim_random(&seed);
        schedule(s, config->vgpus[i].arrive_ns, EVENT_ARRIVE, i);
    }
    if (s->failure < 0) {
        int r = s->failure;
        sim_finish(s);
        return r;
    }
    return 0;
}

void sim_finish(struct sim *s)
{
    for (size_t i = 0; s->vgpus && i < s->config->n_vgpus; i++) {
        free(s->vgpus[i].pending);
        sim_samples_finish(&s->vgpus[i].wait);
        sim_samples_finish(&s->vgpus[i].latency);
    }
    free(s->vgpus);
    free(s->line);
    sim_event_queue_finish(&s->events);
    *s = (struct sim){0};
}

int sim_run_until(struct sim *s, uint64_t end_ns)
{
    while (s->failure == 0) {
        uint64_t event_ns = sim_event_queue_next_ns(&s->events);
        uint64_t next_ns = MIN(event_ns, s->poll_ns);

        if (next_ns > end_ns)
            break;
        assert(next_ns >= s->now_ns);
        s->now_ns = next_ns;
        /* All that happens at one time, before the scheduler is asked. */
        while (s->failure == 0 && sim_event_queue_next_ns(&s->events) == s->now_ns) {
            struct sim_event event = sim_event_queue_take(&s->events);
            handle(s, &event);
        }
        fill_places(s);
    }
    if (s->failure == 0)
        s->now_ns = end_ns;
    return s->failure;
}

void sim_read_stats(struct sim *s, size_t vgpu, struct sched_stats *ret)
{
    struct sim_vgpu *v = &s->vgpus[vgpu];

    if (v->presence == SIM_PRESENT || v->presence == SIM_LEAVING)
        sched_read_stats(&v->entity, s->now_ns, ret);
    else
        *ret = v->stats;
}

uint64_t sim_busy_ns(const struct sim *s)
{
    bool runs = s->n_line > 0 && s->now_ns > s->job_start_ns;

    return s->busy_ns + (runs ? s->now_ns - s->job_start_ns : 0);
}

uint64_t sim_present_ns(const struct sim *s, size_t vgpu)
{
    const struct sim_vgpu *v = &s->vgpus[vgpu];

    if (v->presence == SIM_PRESENT || v->presence == SIM_LEAVING)
        return s->now_ns - v->arrived_ns;
    return v->present_ns;
}
