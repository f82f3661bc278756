/* SPDX-License-Identifier: MIT */
/* The command line of aliquot run. */
#ifndef ALIQUOT_CLI_RUN_OPTIONS_H
#define ALIQUOT_CLI_RUN_OPTIONS_H

#include "mediator/cli/claim.h"
#include "mediator/cli/gpu_env.h"

#include <stdbool.h>

struct run_options {
    struct cli_options common;
    struct claim_args vgpu; /* texts borrowed from argv */
    enum gpu_via via;
    bool print_env, private_daemon, verbose, help;
    char **program; /* borrowed: what is left of argv, with its NULL */
};

/* False: wrong usage, a message has been printed. */
bool run_options_parse(const struct cli_options *common, int argc, char **argv,
                       struct run_options *ret);

#endif
