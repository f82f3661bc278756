/* SPDX-License-Identifier: MIT */
/*
 * A GPU on paper: a scheduler, vGPUs with made-up work, and one engine that can't be interrupted,
 * on a virtual clock. Jobs run in the order in which they were submitted; a vGPU inside a slice has
 * one job on the engine at a time, submits the next when it is done, yields when it has none or its
 * turn is over, and is charged at each completion. The same configuration and seed give the same
 * result. Used by aliquot-sim and by the scheduler's tests.
 */
#ifndef ALIQUOT_SIM_H
#define ALIQUOT_SIM_H

#include "mediator/sched/sched.h"
#include "mediator/sched/sim/event_queue.h"
#include "mediator/sched/sim/samples.h"
#include "mediator/sched/sim/work.h"

#define SIM_NAME_MAX 63

/* From at_ns on the vGPU has these knobs. */
struct sim_change {
    uint64_t at_ns;
    struct sched_knobs knobs;
};

struct sim_vgpu_config {
    char name[SIM_NAME_MAX + 1];
    struct sched_knobs knobs;
    struct sim_work work;
    uint64_t arrive_ns, leave_ns; /* leave_ns 0 = stays */
    size_t with;                  /* 0 = has an entitlement of its own; else it has a part of that
                                     of vGPU with - 1, which is there when it comes */
    struct sim_change *changes;   /* borrowed from whoever fills this in */
    size_t n_changes;
};

struct sim_config {
    enum sched_policy policy;
    unsigned slots; /* how many vGPUs may be inside a slice at once */
    uint64_t seed;
    uint64_t switch_ns;      /* the engine's pause between jobs of different vGPUs, nobody's */
    uint64_t reset_after_ns; /* a job that has run so long is ended, its vGPU removed */
    struct sim_vgpu_config *vgpus;
    size_t n_vgpus;
};

#define SIM_CONFIG_DEFAULT                                                                         \
    ((struct sim_config){.policy = SCHED_POLICY_FAIR,                                              \
                         .slots = 1,                                                               \
                         .seed = 1,                                                                \
                         .reset_after_ns = UINT64_C(2000000000)})

enum sim_presence {
    SIM_ABSENT, /* not yet */
    SIM_PRESENT,
    SIM_LEAVING, /* with a job on the engine */
    SIM_GONE,
    SIM_REFUSED, /* by admission */
    SIM_RESET,   /* and removed */
};

struct sim_job {
    uint64_t ready_ns, length_ns;
};

struct sim_vgpu {
    const struct sim_vgpu_config *config; /* borrowed */
    struct sched_entity entity;
    struct sched_group group; /* of those that share its entitlement; n_members 0: there are none */
    struct sched_stats stats; /* when it went */
    enum sim_presence presence;
    int refusal; /* negative errno of sched_add */
    uint64_t arrived_ns, present_ns;
    uint64_t random;
    /* Jobs not submitted yet: a ring. */
    struct sim_job *pending; /* owned */
    size_t pending_first, n_pending, pending_room;
    struct sim_job job; /* on the engine, or in line for it */
    bool has_job;
    uint64_t n_jobs, n_missed;  /* missed: beats that a periodic one skipped */
    struct sim_samples wait;    /* from ready to the start on the engine */
    struct sim_samples latency; /* from ready to completion */
};

struct sim {
    const struct sim_config *config; /* borrowed */
    struct sched sched;
    struct sim_vgpu *vgpus; /* owned */
    struct sim_event_queue events;
    uint64_t now_ns, poll_ns; /* poll: when the scheduler wants to be asked again */
    /* The engine: those whose job is in line, the first one's runs. */
    size_t *line; /* owned; a ring of as many places as there are vGPUs */
    size_t line_first, n_line;
    size_t last; /* whose job was the last one */
    uint64_t job_start_ns;
    uint64_t busy_ns, switching_ns, n_switches;
    int failure; /* -ENOMEM: stops everything */
    /* For tests: called after each charge, if not NULL. */
    void (*observe)(struct sim *s, size_t vgpu, void *opaque);
    void *opaque; /* borrowed */
};

/* 0 or -ENOMEM. config is borrowed until sim_finish. */
int sim_init(struct sim *s, const struct sim_config *config);
void sim_finish(struct sim *s);
/* Goes on until the clock shows end_ns. 0 or -ENOMEM. */
int sim_run_until(struct sim *s, uint64_t end_ns);
/* What the scheduler says about a vGPU now, or said when it went. */
void sim_read_stats(struct sim *s, size_t vgpu, struct sched_stats *ret);
/* Including the part of a job that is on the engine now. */
uint64_t sim_busy_ns(const struct sim *s);
/* How long the vGPU has been there. */
uint64_t sim_present_ns(const struct sim *s, size_t vgpu);

#endif
