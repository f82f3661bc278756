/* SPDX-License-Identifier: MIT */
#include "mediator/cli/arguments.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool arguments_wrong(const char *text)
{
    fprintf(stderr, "aliquot: %s\n", text);
    return false;
}

/* The long name of what getopt_long() found; NULL = it found fault, and has said so. */
static const char *name_of(const struct option *options, int found, int index)
{
    if (found == 0)
        return options[index].name;
    while (options->name && options->val != found)
        options++;
    return options->name;
}

int arguments_parse(const struct arguments *a, int argc, char **argv, struct cli_options *common,
                    void *opaque)
{
    bool fine = true;
    int index = 0;

    optind = 0; /* begins anew */
    for (int found; fine && (found = getopt_long(argc, argv, a->letters, a->options, &index)) != -1;
         index = 0) {
        const char *name = name_of(a->options, found, index);
        if (!name) {
            fine = false;
        } else if (!strcmp(name, "help")) {
            command_print_help(command_find(a->command));
            return EXIT_FINE;
        } else if (!strcmp(name, "json")) {
            common->json = true;
        } else if (!strcmp(name, "socket-dir")) {
            common->socket_dir = optarg;
        } else {
            fine = a->take(opaque, name, optarg);
        }
    }
    if (fine && a->check(opaque, argc - optind, argv + optind))
        return -1;
    fprintf(stderr, "Try 'aliquot %s --help'.\n", a->command);
    return EXIT_USAGE;
}
