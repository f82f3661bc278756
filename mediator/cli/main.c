/* SPDX-License-Identifier: MIT */
/*
 * aliquot, the command line of aliquotd.
 *
 * Who I am: a client, run by the operator or a user; all I know the daemon tells me over Varlink.
 *   "run" stays as long as the command that it runs, the others are short-lived.
 * Who talks to me: the daemon that "run" may have started for itself, by its log.
 * What I trust: the daemon behind the socket that I am pointed to, though not the form of its
 *   answers.
 * What kills me: a daemon that does not answer in ten seconds. Exit status: 0 fine, 1 failed (no
 *   daemon), 2 wrong usage; of "run", see run.h.
 */
#include "mediator/cli/commands.h"

#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

enum { OPT_SOCKET_DIR = 256, OPT_JSON, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
    {"socket-dir", required_argument, NULL, OPT_SOCKET_DIR},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

enum parsed { PARSED, PARSED_WRONG, PARSED_HELP, PARSED_VERSION };

/* order: "+" = up to the first word that is no option. optind says where it has come to. */
static enum parsed parse(int argc, char **argv, const char *order, struct cli_options *options)
{
    enum parsed result = PARSED;
    optind = 0; /* begins anew */
    for (int option; (option = getopt_long(argc, argv, order, long_options, NULL)) != -1;) {
        switch (option) {
        case OPT_SOCKET_DIR:
            options->socket_dir = optarg;
            break;
        case OPT_JSON:
            options->json = true;
            break;
        case OPT_HELP:
            result = PARSED_HELP;
            break;
        case OPT_VERSION:
            return PARSED_VERSION;
        default: /* getopt_long has named it */
            return PARSED_WRONG;
        }
    }
    return result;
}

int main(int argc, char **argv)
{
    struct cli_options options = {0};
    /* A write that fails is reported, not fatal. */
    options.sigpipe_ignored = signal(SIGPIPE, SIG_IGN) == SIG_IGN;

    enum parsed parsed = parse(argc, argv, "+", &options);
    argc -= optind;
    argv += optind;
    const struct command *command = argc > 0 ? command_find(argv[0]) : NULL;
    if ((parsed == PARSED || parsed == PARSED_HELP) && argc > 0 && !command) {
        fprintf(stderr, "aliquot: unknown command '%s'\n", argv[0]);
        return command_usage_error();
    }
    if (parsed == PARSED && command) {
        static char program[] = "aliquot"; /* opens getopt_long's messages */
        argv[0] = program;
        if (command->own_options)
            return command->run(&options, argc, argv);
        parsed = parse(argc, argv, "", &options);
        if (parsed == PARSED && optind < argc) {
            fprintf(stderr, "aliquot: unexpected argument '%s'\n", argv[optind]);
            return command_usage_error();
        }
    }

    switch (parsed) {
    case PARSED_HELP:
        command_print_help(command);
        return EXIT_FINE;
    case PARSED_VERSION:
        printf("aliquot %s\n", ALIQUOT_VERSION);
        return EXIT_FINE;
    case PARSED_WRONG:
        return command_usage_error();
    case PARSED:
        break;
    }
    if (!command) {
        fprintf(stderr, "aliquot: a command is missing\n");
        return command_usage_error();
    }
    return command->run(&options, 1, argv);
}
