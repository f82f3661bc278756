/* SPDX-License-Identifier: MIT */
/*
 * aliquot run: a program with a vGPU of its own, for as long as it runs. The daemon that runs makes
 * it, or a private one where none does.
 *
 * Exit status: the program's; 128 and the signal's number if one killed it; 127 if there is no such
 * program, 126 if it can't be run; 125 if there is no vGPU for it (those are env(1)'s); 2 wrong
 * usage.
 */
#ifndef ALIQUOT_CLI_RUN_H
#define ALIQUOT_CLI_RUN_H

#include "mediator/cli/commands.h"

enum { RUN_FAILED = 125 };

int run_run(const struct cli_options *options, int argc, char **argv);

extern const char run_help[];

#endif
