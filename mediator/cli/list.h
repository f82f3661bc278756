/* SPDX-License-Identifier: MIT */
/* aliquot list and aliquot info: what the daemon is doing now. Rows of the table in commands.c. */
#ifndef ALIQUOT_CLI_LIST_H
#define ALIQUOT_CLI_LIST_H

#include "mediator/cli/commands.h"

int list_run(const struct cli_options *options, int argc, char **argv);
int info_run(const struct cli_options *options, int argc, char **argv);

#endif
