/* SPDX-License-Identifier: MIT */
/*
 * The whole of the daemon but its command line: the sockets, the vGPUs behind them and the way from
 * an accepted connection to a renderer. main.c makes one and runs its event loop; control.c shows
 * it. One thread; all calls are from the event loop's.
 */
#ifndef ALIQUOT_DAEMON_MEDIATOR_H
#define ALIQUOT_DAEMON_MEDIATOR_H

#include "mediator/daemon/activation.h"
#include "mediator/daemon/config.h"
#include "mediator/daemon/gpu_list.h"
#include "mediator/daemon/vgpu.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

#define MEDIATOR_ON_DEMAND_SOCKET "aliquot.sock"
#define MEDIATOR_CONTROL_SOCKET "io.aliquot.Mediator"

struct claim;
struct control;
struct listener;
struct metrics;
struct socket_dir;
struct state;

struct mediator {
    const struct config *config; /* borrowed, complete */
    sd_event *event;             /* borrowed */
    struct vgpu_env env;
    struct arbiter_set *arbiters; /* owned */
    struct gpu_list gpus;         /* owned; empty if no vGPU needs one */
    const char *gpu;              /* of vGPUs that name none, borrowed from gpus; "auto" = one of
                                     several; "none" without */
    char *gpu_why;                /* owned; NULL = what gpus says, or as configured */
    struct socket_dir *dir;       /* owned */
    struct door *doors;           /* owned list */
    struct vgpu *vgpus;           /* owned list, in order of creation */
    unsigned n_made;              /* of them, not configured */
    struct claim *claims;         /* owned list */
    struct control *control;      /* owned */
    struct metrics *metrics;      /* owned; NULL = not served */
    struct state *state;          /* owned; what is kept over restarts */
    bool remove_dir;              /* at the end */
    bool stopping;
};

struct mediator_config {
    const struct config *config;  /* borrowed for the mediator's life */
    sd_event *event;              /* borrowed for the mediator's life */
    const char *renderer_program; /* borrowed for the mediator's life */
    bool verbose;
    bool remove_dir; /* the socket directory at the end, even if it was there before */
};

/* Chooses the GPUs, which may take seconds. */
int mediator_create(const struct mediator_config *config, struct mediator **ret, char **ret_error);
/* Opens all sockets, or takes those of the service manager, and serves as the event loop runs.
 * After a failure only mediator_destroy() is left to do. */
int mediator_open(struct mediator *m, struct activation *activation, char **ret_error);
/* Takes all sockets away, and kills what renderers are left. */
void mediator_destroy(struct mediator *m);

/* Closes the sockets, ends all renderers and then the event loop (sd_event_exit with 0; with
 * 1 if one survives SIGKILL). The second call is impatient: SIGKILL. */
void mediator_stop(struct mediator *m);

/* Whether this peer may talk to the daemon; if not, there is a line in the log. what: "vGPU 'a'".
 */
bool mediator_admits(struct mediator *m, int sock, const char *what, struct peer *ret_peer);

/* What follows is for claim.c and control.c. Added vGPUs are owned; a removed one is destroyed. */
void mediator_add_vgpu(struct mediator *m, struct vgpu *v);
void mediator_remove_vgpu(struct mediator *m, struct vgpu *v);
struct vgpu *mediator_find_vgpu(const struct mediator *m, const char *name);
/* Whether there are as many vGPUs as max-vgpus allows beyond the configured ones. */
bool mediator_is_full(const struct mediator *m);
/* The id of the GPU that v, which has its name, goes to: the one that its settings name, or the
 * least committed one that admits it; "none" if it needs none. Borrowed from the mediator. */
int mediator_resolve_gpu(struct mediator *m, const struct vgpu_config *v, const char *where,
                         const char **ret_gpu, char **ret_error);
/* New knobs for a vGPU that is there; for those that v has left open it keeps its own. With keep,
 * also over restarts (of configured ones alone: -EINVAL). -ENOENT: there is no such vGPU; -EINVAL,
 * -ERANGE, -ENOSPC: as vgpu_set_knobs(), then nothing is changed; -EIO: they are in force, but
 * can't be kept. All with a message. */
int mediator_set_knobs(struct mediator *m, const struct vgpu_config *change, bool keep,
                       char **ret_error);
/* NULL = none. */
const char *mediator_on_demand_socket(const struct mediator *m);

/* Why the GPU of vGPUs on demand is the one it is: a sentence. */
const char *mediator_gpu_why(const struct mediator *m);

#endif
