/* SPDX-License-Identifier: MIT */
/* The command "aliquot set": changes the knobs of a vGPU that is there. */
#ifndef ALIQUOT_CLI_SET_H
#define ALIQUOT_CLI_SET_H

#include "mediator/cli/commands.h"

extern const char set_help[];
int set_run(const struct cli_options *options, int argc, char **argv);

#endif
