/* SPDX-License-Identifier: MIT */
/*
 * Calls to the daemon's control interface, with messages that tell the user what to do if they
 * fail. Used by the commands.
 */
#ifndef ALIQUOT_CLI_CLIENT_H
#define ALIQUOT_CLI_CLIENT_H

#include "mediator/cli/commands.h"

#include <systemd/sd-json.h>
#include <systemd/sd-varlink.h>

#define CLIENT_INTERFACE "io.aliquot.Mediator"

/* Calls io.aliquot.Mediator.METHOD without parameters; *ret is the caller's to unref. 0, or a
 * negative errno after a message on stderr. */
int client_call(const struct cli_options *options, const char *method, sd_json_variant **ret);

/* The same in two steps. *ret_path is the control socket's, for messages; the caller's to free.
 * With quiet_if_absent, -ENOENT without a message means that no daemon is there. */
int client_connect(const struct cli_options *options, bool quiet_if_absent, sd_varlink **ret,
                   char **ret_path);
/* parameters: NULL = none. */
int client_call_on(sd_varlink *link, const char *path, const char *method,
                   sd_json_variant *parameters, sd_json_variant **ret);

/* Says what error, a Varlink error's name with its parameters, or r, a negative errno, means. */
void client_explain(const char *path, int r, const char *error, sd_json_variant *parameters);

/* The string of a key, or NULL where it is missing, null or something else. Borrowed. */
const char *client_string(sd_json_variant *object, const char *key);
/* Likewise, a whole number or 0. */
int64_t client_integer(sd_json_variant *object, const char *key);
/* Of a vGPU: what counts for its limit. */
int64_t client_memory_bytes(sd_json_variant *vgpu);
/* Likewise, an array, and how many elements it has: 0 with NULL. */
sd_json_variant *client_array(sd_json_variant *object, const char *key, size_t *ret_count);

/* Prints it to stdout, indented on a terminal; the exit status, after a message if that failed. */
int client_print_json(sd_json_variant *v);

#endif
