/* SPDX-License-Identifier: MIT */
/*
 * One call to the daemon's control interface, with messages that tell the user what to do if that
 * fails. Used by the commands.
 */
#ifndef ALIQUOT_CLI_CLIENT_H
#define ALIQUOT_CLI_CLIENT_H

#include "mediator/cli/commands.h"

#include <systemd/sd-json.h>

/* Calls io.aliquot.Mediator.METHOD without parameters; *ret is the caller's to unref. 0, or a
 * negative errno after a message on stderr. */
int client_call(const struct cli_options *options, const char *method, sd_json_variant **ret);

#endif
