/* SPDX-License-Identifier: MIT */
/* The command "aliquot trace": records who has the GPU when, as a timeline for Perfetto. */
#ifndef ALIQUOT_CLI_TRACE_H
#define ALIQUOT_CLI_TRACE_H

#include "mediator/cli/commands.h"

extern const char trace_help[];
int trace_run(const struct cli_options *options, int argc, char **argv);

#endif
