/* SPDX-License-Identifier: MIT */
/* The command "aliquot top": who uses the GPU now, live. */
#ifndef ALIQUOT_CLI_TOP_H
#define ALIQUOT_CLI_TOP_H

#include "mediator/cli/commands.h"

extern const char top_help[];
int top_run(const struct cli_options *options, int argc, char **argv);

#endif
