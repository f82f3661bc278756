/* SPDX-License-Identifier: MIT */
/*
 * One vGPU: a name, its settings, and at most one connection with the renderer that serves it. The
 * mediator makes it, at the start for a configured one, at a connection for one on demand, and
 * gives it connections; the control interface reads it.
 *
 * The daemon keeps a copy of the connection it handed on. It never reads from it, but sees through
 * it that the peer is gone, so that a guest that comes back at once finds its vGPU free.
 */
#ifndef ALIQUOT_DAEMON_VGPU_H
#define ALIQUOT_DAEMON_VGPU_H

#include "mediator/daemon/config.h"
#include "mediator/daemon/peer.h"
#include "mediator/daemon/renderer.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct arbiter_set;
struct claim;
struct vgpu;

enum vgpu_kind {
    VGPU_CONFIGURED, /* there from the start, with a socket of its own */
    VGPU_ON_DEMAND,  /* made for one connection, gone with it */
    VGPU_CLAIMED,    /* made by a client of the control interface, gone with its claim */
};

enum vgpu_state {
    VGPU_IDLE,      /* no renderer */
    VGPU_STARTING,  /* the renderer brings its GPU up */
    VGPU_CONNECTED, /* the front-end is served */
    VGPU_RUNNING,   /* the guest's driver has its rings running */
};

/* What all vGPUs share; owned by the mediator and outlives them. */
struct vgpu_env {
    sd_event *event;
    const char *renderer_program;
    bool verbose;
    struct arbiter_set *arbiters; /* borrowed */
    /* The renderer has ended and no connection waits: the mediator may destroy the vGPU. */
    void (*idle)(void *opaque, struct vgpu *vgpu);
    void *opaque;
};

struct vgpu {
    struct vgpu_config config; /* a copy; gpu is owned and resolved, "none" without one */
    enum vgpu_kind kind;
    struct claim *claim;        /* of a claimed one, borrowed; NULL = the claim has ended */
    char *socket_path;          /* owned */
    const struct vgpu_env *env; /* borrowed */
    struct vgpu *next;          /* owned by the mediator's list */

    struct arbiter_vgpu *lease; /* owned; its place on the GPU */
    struct renderer *renderer;  /* owned; NULL = idle */
    int connection;             /* our copy, owned; -1 = it has ended */
    struct peer peer;
    uint64_t connected_us;            /* CLOCK_REALTIME */
    uint64_t started_ns;              /* CLOCK_MONOTONIC, of the renderer */
    bool ready;                       /* the renderer has said so */
    char description[257];            /* what it said: one line about the GPU in use */
    struct arbiter_histogram latency; /* that its renderers before this one counted */
    sd_event_source *hangup;          /* owned; of connection */

    int pending; /* the next connection, while the renderer of the last one ends; owned; or -1 */
    struct peer pending_peer;
};

/* config is copied. with: NULL, or a vGPU on the same GPU whose share of it this one has a part of.
 * On failure *ret_error says why (the caller frees it): memory is short, or the
 * GPU has not enough left for the reservation (-ENOSPC) or belongs to another one (-EBUSY). */
int vgpu_create(const struct vgpu_config *config, const char *gpu, enum vgpu_kind kind,
                const char *socket_path, const struct vgpu_env *env, const struct vgpu *with,
                struct vgpu **ret, char **ret_error);
/* A renderer that is still there is killed. */
void vgpu_destroy(struct vgpu *v);

/* Serves the connection (always consumed), or closes it if another one has the vGPU; 0 or a
 * negative errno, after which a vGPU without a renderer is idle. All is logged. */
int vgpu_connect(struct vgpu *v, int connection, const struct peer *peer);

/* Whether vgpu_connect() would take it: nobody is connected, or he has just hung up and no other
 * one waits for the renderer to end. */
bool vgpu_is_free(const struct vgpu *v);

/* SIGTERM, later SIGKILL to the renderer; env->idle() follows. Nothing happens to an idle one. */
void vgpu_stop(struct vgpu *v);

/* New knobs, in force within a slice. -ENOSPC (the reservation can't be admitted), -EINVAL (its cap
 * is below it), -ERANGE, each with a message; then all stays as it was. */
int vgpu_set_knobs(struct vgpu *v, const struct sched_knobs *knobs, char **ret_error);

/* From its command streams' being taken up to their completion, as its renderers tell. */
void vgpu_read_latency(const struct vgpu *v, struct arbiter_histogram *ret);

/* What its renderer has noted of the GPU's work goes to the log of its GPU. */
void vgpu_take_work(struct vgpu *v);

enum vgpu_state vgpu_state(const struct vgpu *v);
const char *vgpu_kind_name(enum vgpu_kind kind);
const char *vgpu_state_name(enum vgpu_state state);

#endif
