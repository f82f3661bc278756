/* SPDX-License-Identifier: MIT */
/*
 * The arguments of a command that has options of its own: takes those that all have (--json,
 * --socket-dir, --help), hands over the others one by one, and ends each complaint in the same way.
 */
#ifndef ALIQUOT_CLI_ARGUMENTS_H
#define ALIQUOT_CLI_ARGUMENTS_H

#include "mediator/cli/commands.h"

#include <getopt.h>

struct arguments {
    const char *command; /* its name */
    /* All of them, also the common ones that it has. val: a letter that stands for the same, or 0.
     */
    const struct option *options;
    const char *letters; /* as getopt_long() wants them */
    /* An option of its own, by its long name. False after arguments_wrong() or another message. */
    bool (*take)(void *opaque, const char *name, const char *value);
    /* All options are taken, and words are left. Likewise. */
    bool (*check)(void *opaque, int n_words, char **words);
};

/* -1 = go on; else the exit status: help was asked for and printed, or something was wrong. */
int arguments_parse(const struct arguments *a, int argc, char **argv, struct cli_options *common,
                    void *opaque);

/* Prints the complaint, and returns false. */
bool arguments_wrong(const char *text);

#endif
