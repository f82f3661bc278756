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

/* Options that every command takes, and what it has to know of the program's start. */
struct cli_options {
    const char *socket_dir; /* NULL = the usual one */
    bool json;
    bool sigpipe_ignored; /* by whoever started us, for what we start */
};

struct command {
    const char *name;
    const char *arguments; /* behind the name, for its usage line */
    const char *summary;   /* for the list of commands */
    const char *help;      /* what it does and shows, for --help of the command */
    /* It parses argv, and has all its options in help. Otherwise main.c has done it, argc is 1. */
    bool own_options;
    int (*run)(const struct cli_options *options, int argc, char **argv); /* argv[0]: our names */
};

extern const struct command commands[]; /* ends with a row without a name */

/* After the message of getopt_long() or one of ours. */
int command_usage_error(void);
void command_print_help(const struct command *command);
/* For those with own_options. */
const struct command *command_find(const char *name);

#endif
