/* SPDX-License-Identifier: MIT */
/*
 * A vGPU that somebody has claimed through the control interface, as "aliquot run" does: with a
 * socket of its own, NAME.sock, there from the claim to its end. It takes several connections,
 * since a program may fork or start others: the first is served as NAME, further ones at the same
 * time as NAME.2, NAME.3 and so on, each by a renderer of its own. All have one share of the GPU
 * together.
 *
 * control.c makes claims and ends each with the connection that asked for it; the mediator owns the
 * list. After the end its renderers take a moment to go: who claims the name meanwhile waits.
 */
#ifndef ALIQUOT_DAEMON_CLAIM_H
#define ALIQUOT_DAEMON_CLAIM_H

#include "mediator/daemon/vgpu.h"

#include <stdbool.h>

/* At one time, for one claim: a parallel build's worth, but not all that max-vgpus allows. */
#define CLAIM_CONNECTIONS_MAX 32

struct claim;
struct mediator;

struct claim_config {
    struct vgpu_config vgpu; /* borrowed during the call; name "" = run-N, the smallest free N */
    /* The socket listens; called once, perhaps by claim_create() itself. */
    void (*ready)(void *opaque, const char *name, const char *socket_path);
    /* It could not be made after all; the callee calls claim_destroy(). */
    void (*failed)(void *opaque, int error, const char *text);
    void *opaque;
};

/* -EEXIST, the name is taken; -EDQUOT, as many vGPUs as there may be; -EACCES, on-demand = no;
 * -EINVAL, -ENODEV, … All with a message. */
int claim_create(struct mediator *m, const struct claim_config *config, struct claim **ret,
                 char **ret_error);

/* Takes the socket away and ends the renderers. */
void claim_destroy(struct claim *c);

/* Whether the claim keeps this vGPU of its own while nobody is connected to it. */
bool claim_owns_idle(const struct claim *c, const struct vgpu *v);

/* They are in force: that all its vGPUs know of them, and its further connections have them. */
void claim_set_knobs(struct claim *c, const struct sched_knobs *knobs);

const char *claim_name(const struct claim *c);

/* A vGPU has gone: claims that wait for its name try again. */
void claims_retry(struct mediator *m);

#endif
