/* SPDX-License-Identifier: MIT */
/*
 * The arbiters of all GPUs in use, each made when the first vGPU comes to its GPU. Used by the
 * mediator and its vGPUs.
 */
#ifndef ALIQUOT_DAEMON_ARBITER_SET_H
#define ALIQUOT_DAEMON_ARBITER_SET_H

#include "mediator/daemon/arbiter.h"
#include "mediator/daemon/config.h"
#include "mediator/daemon/gpu_list.h"
#include "mediator/daemon/work_log.h"

#include <systemd/sd-event.h>

struct arbiter_set;

struct arbiter_set_entry {
    char *gpu;                 /* id; owned */
    struct arbiter *arbiter;   /* owned */
    sd_event_source *messages; /* owned; has what the arbiter says written */
    struct work_log *work;     /* owned */
    const struct arbiter_set_entry *next;
};

/* config and event are borrowed for the set's life. -ENOMEM or 0. */
int arbiter_set_create(const struct config *config, sd_event *event, struct arbiter_set **ret);
/* All vGPUs must have been removed. */
void arbiter_set_destroy(struct arbiter_set *set);

/* Admits a vGPU to the GPU with this id; with as arbiter_add() says. On failure *ret_error (the
 * caller frees it) is a sentence that says what stands in the way. */
int arbiter_set_add(struct arbiter_set *set, const char *gpu, const char *name,
                    const struct sched_knobs *knobs, struct arbiter_vgpu *with,
                    struct arbiter_vgpu **ret, char **ret_error);
/* Which of these GPUs it should be: the least committed one that admits it. *ret_gpu is one of
 * gpus. -ENOSPC, -EBUSY, with a message that says how much is left where. */
int arbiter_set_place(struct arbiter_set *set, const struct gpu_ids *gpus, const char *name,
                      const struct sched_knobs *knobs, const char **ret_gpu, char **ret_error);
/* Why a change or an admission with these knobs was refused with r, for people; returns r. */
int arbiter_set_explain(struct arbiter *a, int r, const struct sched_knobs *knobs, const char *name,
                        char **ret_error);

/* In the order of their making; NULL at the end. */
const struct arbiter_set_entry *arbiter_set_first(const struct arbiter_set *set);
/* NULL: no vGPU has come to that GPU yet. */
const struct arbiter_set_entry *arbiter_set_find(const struct arbiter_set *set, const char *gpu);

#endif
