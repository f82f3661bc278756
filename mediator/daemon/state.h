/* SPDX-License-Identifier: MIT */
/*
 * What "aliquot set --persist" has changed, kept over restarts: a file vgpus.conf in the state
 * directory, in the notation of aliquot.conf(5), with sections [vgpu NAME] and the keys weight,
 * reservation, cap and slice in them. It is read after the configuration, and its content is not
 * worth a failure: what is wrong in it is a warning. Used by the mediator.
 */
#ifndef ALIQUOT_DAEMON_STATE_H
#define ALIQUOT_DAEMON_STATE_H

#include "mediator/daemon/config.h"

#define STATE_FILE "vgpus.conf"
/* More than all vGPUs that there may be fill. */
#define STATE_FILE_MAX (256u << 10)

struct state;

/* Reads the file in dir (copied; NULL = there is no place, nothing can be kept), with warnings in
 * the log. -ENOMEM or 0. */
int state_create(const char *dir, struct state **ret);
void state_destroy(struct state *s);

/* What is kept, knobs_set says which; NULL at the end. Borrowed until the next state_keep(). */
const struct vgpu_config *state_at(const struct state *s, size_t i);

/* Keeps the knobs that change has set for the vGPU of its name, over what is kept of it. The file
 * is on the disk, as a whole, upon return; the directory is made if need be. A negative errno with
 * a message: nothing is changed. */
int state_keep(struct state *s, const struct vgpu_config *change, char **ret_error);

#endif
