/* SPDX-License-Identifier: MIT */
/*
 * A vGPU that this process has the daemon make for it (CreateVGPU): it is there for as long as the
 * connection is, thus gone with us however we end. Used by "aliquot run".
 */
#ifndef ALIQUOT_CLI_CLAIM_H
#define ALIQUOT_CLI_CLAIM_H

#include "mediator/cli/commands.h"
#include "mediator/cli/knobs.h"

#include <stdint.h>
#include <systemd/sd-event.h>

struct claim;

struct claim_args {
    const char *name, *gpu, *backend, *vulkan; /* NULL = the daemon's choice */
    uint64_t max_memory_bytes;                 /* 0 = likewise */
    struct knobs knobs;                        /* likewise what is not set */
};

/* Without quiet_if_absent, and else for all but -ENOENT (no daemon is there): a negative errno
 * after a message. */
int claim_open(const struct cli_options *options, const struct claim_args *args,
               bool quiet_if_absent, struct claim **ret);
void claim_close(struct claim *c);

const char *claim_name(const struct claim *c);
const char *claim_socket(const struct claim *c);

/* lost is called from the event loop, once, when the daemon has gone. */
int claim_watch(struct claim *c, sd_event *event, void (*lost)(void *opaque), void *opaque);

#endif
