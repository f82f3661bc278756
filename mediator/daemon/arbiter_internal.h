/* SPDX-License-Identifier: MIT */
/*
 * What the files of the arbiter share: arbiter.c (its thread, and what the main thread calls),
 * arbiter_slice.c (who has the GPU: decisions and their consequences), arbiter_account.c (what each
 * had of it), arbiter_handover.c (from one vGPU to the next), arbiter_doorbell.c (which rings are
 * heard), arbiter_message.c (the log), arbiter_process.c (who of a vGPU has processors),
 * arbiter_processors.c (how much it may have of them), arbiter_stats.c (what is counted). Nobody
 * else includes this. All of it is under the arbiter's lock.
 */
#ifndef ALIQUOT_DAEMON_ARBITER_INTERNAL_H
#define ALIQUOT_DAEMON_ARBITER_INTERNAL_H

#include "mediator/daemon/arbiter.h"
#include "mediator/daemon/cpu_allowance.h"
#include "mediator/daemon/cpu_class.h"
#include "mediator/daemon/think_time.h"
#include "protocol/lease_wait.h"

#include <pthread.h>

#define ARBITER_NAME_MAX 64
/* Events that are kept for who reads them: seconds of a busy GPU. */
#define ARBITER_EVENTS 65536u

enum arbiter_place {
    PLACE_OUT,
    PLACE_IN,        /* inside its slice */
    PLACE_LEAVING,   /* submits no more; what it has on the GPU keeps others off */
    PLACE_PREEMPTED, /* the same on a software GPU, where it does not: its threads are demoted */
};

struct arbiter_vgpu {
    struct sched_entity entity;
    struct arbiter *arbiter;   /* borrowed */
    struct arbiter_vgpu *next; /* owned by the arbiter's list, or by that of the removed */
    uint32_t number;
    char name[ARBITER_NAME_MAX];
    int doorbell_fd; /* owned. Renderers share the open file and may make it block: see
                        arbiter_doorbell_take() */
    int wake_fd; /* owned; of a pipe, whose other end is the renderer's: no flag of it is ours */
    int wake_read_fd;
    bool removed;

    /* Of the renderer; attached: there are pages. */
    bool attached;
    int grant_fd, ack_fd; /* owned; -1 = none */
    struct lease_grant_page *grant_page;
    const struct lease_ack_page *ack_page;
    struct lease_broker lease;
    struct lease_ack acks[LEASE_SLOTS_MAX];      /* the last copies */
    struct lease_ack ack;                        /* all of them together */
    struct cpu_process workers[LEASE_SLOTS_MAX]; /* behind the slots but the GL gate's */
    int pidfd;                                   /* owned; -1 = does not run yet */
    pid_t pid;
    struct cpu_process process;
    enum cpu_class class;       /* of process and workers */
    struct cpu_group cpu_group; /* of the renderer and its workers */
    bool killed;                /* by us */

    struct {                /* its doorbell */
        uint64_t rings;     /* that were heard */
        uint64_t floods;    /* times that it rang too often */
        unsigned left;      /* rings that would be heard now, */
        uint64_t filled_ns; /* … then */
        bool muted;
        bool pending; /* it has something to be looked at, without a ring */
    } bell;

    struct {                      /* what its processes have of them; see arbiter_processors.c */
        struct cpu_allowance had; /* unless it is in a group, which has one */
        uint64_t looked_ns;       /* last; 0 = not yet */
        uint64_t look_ns;         /* next */
        uint64_t charged_ns;      /* of entity.gpu_ns, then */
        bool unaccounted;         /* some of it since then */
        bool over;                /* it may have no more for now */
        bool told;                /* to the operator */
        uint64_t stops;
    } processors;

    enum arbiter_place place;
    bool asked;                 /* waits for a grant since asked_ns */
    uint64_t asked_ns;          /* CLOCK_MONOTONIC, as all times here */
    uint64_t charge_from_ns;    /* it has the GPU since then */
    uint64_t accounted_ns;      /* up to when its use is charged, while not PLACE_OUT */
    uint64_t accounted_busy_ns; /* of ack.busy_ns */
    uint64_t ahead_ns;          /* accounted of what is in flight, before its end was reported */
    bool unaccounted;           /* demoted beside others: nobody has read its page */
    uint64_t idle_credit_ns;  /* time without work while it held the GPU that is not charged yet */
    uint64_t handoff_from_ns; /* the GPU was free since then when its slice began; 0 = known */
    bool early;               /* granted before the one whose place it takes has left */
    bool used;                /* the GPU, in this slice */
    uint64_t stuck_ns;        /* held without a completion */
    struct think_time think;

    /* Of all its renderers before this one. */
    struct {
        uint64_t submits, completions, cuts, vulkan_ns;
    } before;
    uint64_t busy_ns; /* GPU time of all its renderers, no more than it held the GPU */
    uint64_t faults, resets;
    struct arbiter_histogram wait;
};

/* vGPUs that share an entitlement. */
struct arbiter_group {
    struct sched_group sched; /* the first member: it is found by entity.group */
    struct cpu_allowance had;
};

struct arbiter_message {
    int level;
    char text[192];
};

struct arbiter {
    struct arbiter_config config;
    char gpu[ARBITER_NAME_MAX];
    pthread_t thread;
    pthread_mutex_t lock;
    int epoll_fd, kick_fd, message_fd; /* owned */
    bool stop;

    struct sched sched;
    struct arbiter_vgpu *vgpus;   /* owned list */
    struct arbiter_vgpu *removed; /* owned list; freed by the thread, which may still know them */
    unsigned n_vgpus;
    uint32_t last_number;
    unsigned n_in, n_leaving; /* vGPUs in PLACE_IN and PLACE_LEAVING */
    unsigned n_muted;         /* doorbells that are not heard now */
    uint64_t look_ns;         /* n_muted > 0: when it is looked whether they have rung */
    bool was_contended;       /* the time before */
    bool contended;           /* somebody waited when last looked at */

    struct arbiter_message messages[16]; /* to be written */
    size_t n_messages;
    uint64_t lost_messages; /* for which there was no room */

    uint64_t start_ns;
    uint64_t busy_ns; /* GPU time of all vGPUs */
    uint64_t grants;
    uint64_t released_ns; /* end of the last slice whose place was not taken yet; 0 = none */
    struct arbiter_histogram handoff;
    struct arbiter_event events[ARBITER_EVENTS];
    uint64_t n_events;
};

/* ---- arbiter_slice.c ------------------------------------------------------------------------ */

/* Something of v may have changed: its doorbell rang. */
void arbiter_look_at(struct arbiter_vgpu *v, uint64_t now_ns);
/* Charges those that hold the GPU, ends slices, begins others. To be called after anything else.
 * Returns when to call it again if nothing happens before, or SCHED_NEVER. */
uint64_t arbiter_schedule(struct arbiter *a, uint64_t now_ns);
/* The renderer is gone, or the vGPU: takes the GPU from it. */
void arbiter_evict(struct arbiter_vgpu *v, uint64_t now_ns);

/* ---- arbiter_account.c ---------------------------------------------------------------------- */

/* Copies what v's renderer tells: true if it can be. One that lies is killed. */
bool arbiter_read_ack(struct arbiter_vgpu *v, uint64_t now_ns);
/* When v completed something last, by its own word; 0 = never. */
uint64_t arbiter_last_completion_ns(const struct arbiter_vgpu *v);
/* Brings what v is charged up to now; what its page says must be true. */
void arbiter_charge(struct arbiter_vgpu *v, uint64_t now_ns);
/* The same of all: before anything changes who competes. */
void arbiter_account_all(struct arbiter *a, uint64_t now_ns);
/* The same, and v's counters, which are left behind while it is demoted beside others. */
void arbiter_account(struct arbiter_vgpu *v, uint64_t now_ns);
/* v begins to have the GPU: what was before does not count. */
void arbiter_rebase(struct arbiter_vgpu *v, uint64_t now_ns);

/* ---- arbiter_doorbell.c --------------------------------------------------------------------- */

/* Has v's rings come to arbiter_doorbell_rung(), until unwatch. Negative errno. */
int arbiter_doorbell_watch(struct arbiter_vgpu *v);
void arbiter_doorbell_unwatch(struct arbiter_vgpu *v);
/* Takes what was rung; false: nothing was. Never blocks. */
bool arbiter_doorbell_take(const struct arbiter_vgpu *v);
/* Looks at v, and is deaf to it from now on if it rings too often. */
void arbiter_doorbell_rung(struct arbiter_vgpu *v, uint64_t now_ns);
/* Looks at those, if it is time: arbiter_next_look_ns() says when, or SCHED_NEVER. */
void arbiter_look_at_muted(struct arbiter *a, uint64_t now_ns);
uint64_t arbiter_next_look_ns(const struct arbiter *a);

/* ---- arbiter_handover.c --------------------------------------------------------------------- */

/* Grants, or grants on with other terms. */
void arbiter_write_terms(struct arbiter_vgpu *v);
/* Has its first submission counted once it is known. */
void arbiter_note_handoff(struct arbiter_vgpu *v, uint64_t now_ns);
/* One more vGPU may begin: in a place that is free, or in one that soon will be. */
bool arbiter_has_place(const struct arbiter *a);
bool arbiter_may_begin_early(const struct arbiter *a);
/* Has those that began early begin in earnest if the others have left: as soon as one has, lest
 * they be charged for its time. What all have had up to now is charged. */
void arbiter_end_early(struct arbiter *a, uint64_t now_ns);

/* ---- arbiter_message.c ---------------------------------------------------------------------- */

/* Has the main thread log it; never waits. level: as log_line() takes it. */
void arbiter_say(struct arbiter *a, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- arbiter_process.c ---------------------------------------------------------------------- */

/* Of v's renderer and workers. */
void arbiter_set_class(struct arbiter_vgpu *v, enum cpu_class class);
/* Of all vGPUs, as their places are. */
void arbiter_set_classes(struct arbiter *a);
/* A process of the Vulkan layer has a slot, or is gone. */
void arbiter_worker_begins(struct arbiter_vgpu *v, uint32_t slot, pid_t pid);
void arbiter_worker_ends(struct arbiter_vgpu *v, uint32_t slot);
void arbiter_forget_workers(struct arbiter_vgpu *v);

/* ---- arbiter_processors.c ------------------------------------------------------------------- */

/* Sees who may have no more of the processors, after what was used of the GPU has been charged.
 * Returns when to look again if nothing happens before, or SCHED_NEVER. */
uint64_t arbiter_look_at_processors(struct arbiter *a, uint64_t now_ns);
/* Whether v's processes have to stand still. */
bool arbiter_is_over(const struct arbiter_vgpu *v);

/* ---- arbiter_stats.c ------------------------------------------------------------------------ */

void arbiter_histogram_add(struct arbiter_histogram *h, uint64_t ns);
void arbiter_note(struct arbiter *a, uint64_t now_ns, enum arbiter_event_kind kind,
                  const struct arbiter_vgpu *v, uint64_t value);

#endif
