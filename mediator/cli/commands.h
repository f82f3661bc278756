/* SPDX-License-Identifier: MIT */
/*
 * The commands of the aliquot program, one row of a table each. A command gets its own arguments
 * and what main.c has already understood; it prints to stdout, complains on stderr and returns the
 * exit status of the program.
 */
#ifndef ALIQUOT_CLI_COMMANDS_H
#define ALIQUOT_CLI_COMMANDS_H

#include <stdbool.h>

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Options that every command takes. */
struct cli_options {
    const char *socket_dir; /* NULL = the usual one */
    bool json;
};

struct command {
    const char *name;
    const char *summary; /* for the list of commands */
    const char *help;    /* what it does and shows, for --help of the command */
    int (*run)(const struct cli_options *options);
};

extern const struct command commands[]; /* ends with a row without a name */

#endif
