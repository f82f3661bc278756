/* SPDX-License-Identifier: MIT */
/*
 * Gives the GPU to one vGPU after the other. One struct arbiter for each GPU, with a thread of its
 * own: it asks the scheduler (mediator/sched) who is next, and tells the renderers through their
 * leases (protocol/lease.h). The daemon's main thread makes arbiters, adds and removes vGPUs and
 * reads what they had; all functions here are for that thread, take the arbiter's lock for some
 * microseconds, and never wait for a renderer.
 */
#ifndef ALIQUOT_DAEMON_ARBITER_H
#define ALIQUOT_DAEMON_ARBITER_H

#include "mediator/daemon/cpu_group.h"
#include "mediator/sched/sched.h"
#include "protocol/lease.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct arbiter;      /* a GPU */
struct arbiter_vgpu; /* a vGPU's place on it */

/* How a slice ends. */
enum arbiter_preempt {
    ARBITER_PREEMPT_CPU,   /* software GPU: its threads run only while nobody else's want to */
    ARBITER_PREEMPT_DRAIN, /* hardware: it submits no more, and what it has submitted ends */
};
/* "cpu", "drain". Static. */
const char *arbiter_preempt_name(enum arbiter_preempt preempt);

struct arbiter_config {
    const char *gpu; /* its id, for messages; copied */
    enum sched_policy policy;
    enum arbiter_preempt preempt;
    unsigned parallelism; /* vGPUs inside a slice at once, 1 or more */
    unsigned processors;  /* that do the work of a software GPU; 0 = something else does it */
    struct cpu_group_parent *cpu_groups; /* borrowed; NULL = none. Of the main thread */
    bool early;              /* where slices end by draining: the next vGPU may submit a job while
                                the last one of the vGPU before still runs */
    uint64_t reset_after_ns; /* a vGPU that holds the GPU so long without completing anything is
                                killed; 0 = never */
};

/* Starts the thread. Negative errno. */
int arbiter_create(const struct arbiter_config *config, struct arbiter **ret);
/* All vGPUs must have been removed. */
void arbiter_destroy(struct arbiter *a);

/* Admission: as sched_add says (-ENOSPC: see arbiter_reserved_ppm()). name is copied. with: NULL,
 * or a vGPU of this GPU whose entitlement it shares (struct sched_group); it has its knobs then. */
int arbiter_add(struct arbiter *a, const char *name, const struct sched_knobs *knobs,
                struct arbiter_vgpu *with, struct arbiter_vgpu **ret);
/* NULL is fine. */
void arbiter_remove(struct arbiter_vgpu *v);

/* As sched_set_knobs; in force within a slice, for all that share the entitlement. */
int arbiter_set_knobs(struct arbiter_vgpu *v, const struct sched_knobs *knobs);
int arbiter_set_policy(struct arbiter *a, enum sched_policy policy);
uint32_t arbiter_reserved_ppm(struct arbiter *a);
/* Which of at most ARBITER_PLACE_MAX GPUs a vGPU with these knobs goes to: as sched_place() says
 * with none wanted. */
#define ARBITER_PLACE_MAX 64
int arbiter_place(struct arbiter *const *arbiters, size_t n, const struct sched_knobs *knobs);

/* What a renderer needs to take part. Borrowed by the caller until arbiter_detach(). */
struct arbiter_fds {
    int grant, ack; /* memfds of a page each; grant can't be mapped writable */
    int doorbell;   /* eventfd that participants write */
    int wake;       /* that the renderer's event loop waits for; 8 bytes each time */
};
/* Fresh pages for a renderer that is about to start. slots: 1 … LEASE_SLOTS_MAX, how many processes
 * may take part: the renderer, and those of the Vulkan layer that it tells of. */
int arbiter_attach(struct arbiter_vgpu *v, uint32_t slots, struct arbiter_fds *ret);
/* It runs. pidfd is borrowed during the call. */
int arbiter_set_process(struct arbiter_vgpu *v, int pidfd, pid_t pid);
/* A process has a slot, or has it no more and is gone; in the renderer's words. It has to be of the
 * renderer's process group, where it is killed rather than believed to be gone. */
void arbiter_slot_taken(struct arbiter_vgpu *v, uint32_t slot, pid_t pid);
void arbiter_slot_gone(struct arbiter_vgpu *v, uint32_t slot);
/* It is gone for certain: what it held is free. Nothing happens without arbiter_attach(). */
void arbiter_detach(struct arbiter_vgpu *v);

/* ---- what the operator sees ------------------------------------------------------------------ */

/* Bucket i counts what is below 2^i µs (and not below 2^(i-1)); the last one takes all above. */
#define ARBITER_BUCKETS 28
struct arbiter_histogram {
    uint64_t buckets[ARBITER_BUCKETS];
    uint64_t count, sum_ns, max_ns;
};

/* Counters grow for the life of the arbiter_vgpu, over its renderers. */
struct arbiter_stats {
    struct sched_stats sched; /* gpu_ns, waiting_ns, slices, debt_ns, … */
    struct sched_knobs knobs;
    enum lease_state lease;
    uint32_t in_flight; /* submissions now */
    uint64_t submits, completions, cuts;
    uint64_t busy_ns;   /* GPU time as its renderers measured it */
    uint64_t vulkan_ns; /* … of Vulkan, as its layer measured it */
    uint64_t faults;    /* lies in its ack page */
    uint64_t resets;    /* killed for holding the GPU */
    uint64_t rings;     /* of its doorbell that were heard */
    uint64_t floods;    /* times that it rang so often that it was not heard for a while */
    uint64_t stops;     /* times that its processes were stopped for their use of the processors
                           beyond its cap */
    struct arbiter_histogram wait; /* from asking for the GPU to its grant */
};
void arbiter_read_stats(struct arbiter_vgpu *v, struct arbiter_stats *ret);

struct arbiter_totals {
    enum sched_policy policy;
    enum arbiter_preempt preempt;
    unsigned parallelism;
    uint32_t reserved_ppm;
    unsigned vgpus;
    uint64_t elapsed_ns; /* since the arbiter's start */
    uint64_t busy_ns;    /* some vGPU had work on the GPU */
    uint64_t grants;
    struct arbiter_histogram handoff; /* from the end of a slice to the next vGPU's first submit */
};
void arbiter_read_totals(struct arbiter *a, struct arbiter_totals *ret);

/* What it has to say is kept until the main thread writes it to the log. The descriptor, borrowed,
 * is readable when there is something; what is left is written by arbiter_destroy(). */
int arbiter_message_fd(const struct arbiter *a);
void arbiter_write_messages(struct arbiter *a);

/* ---- trace ---------------------------------------------------------------------------------- */

enum arbiter_event_kind {
    ARBITER_EVENT_WAIT,    /* asks for the GPU */
    ARBITER_EVENT_GRANT,   /* a slice begins; once more where it began early */
    ARBITER_EVENT_YIELD,   /* is asked to stop; it drains, or is demoted */
    ARBITER_EVENT_RELEASE, /* the slice has ended: nothing of it is on the GPU; or its renderer is
                              gone and waits no more */
    ARBITER_EVENT_RESET,   /* killed for holding the GPU */
    ARBITER_N_EVENT_KINDS,
};
struct arbiter_event {
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    uint32_t vgpu;    /* arbiter_vgpu_number() */
    uint32_t kind;    /* enum arbiter_event_kind */
    uint64_t value;   /* GRANT: slice end; RELEASE: ns charged */
};
uint32_t arbiter_vgpu_number(const struct arbiter_vgpu *v); /* unique for the arbiter's life */
/* Copies up to max of the events from *cursor on, and moves it; 0 at first, UINT64_MAX for those
 * from now on. Events that were
 * overwritten before they were read are skipped: *ret_lost counts them. Returns how many. */
size_t arbiter_read_events(struct arbiter *a, uint64_t *cursor, struct arbiter_event *ret,
                           size_t max, uint64_t *ret_lost);

#endif
