/* SPDX-License-Identifier: MIT */
/*
 * aliquot, the command line of aliquotd.
 *
 * Who I am: a short-lived client, run by the operator; all I know the daemon tells me over Varlink.
 * Who talks to me: nobody.
 * What I trust: the daemon behind the socket that I am pointed to, though not the form of its
 *   answers.
 * What kills me: a daemon that does not answer in ten seconds. Exit status: 0 fine, 1 failed (no
 *   daemon), 2 wrong usage.
 */
#include "mediator/cli/commands.h"

#include "mediator/base/util.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { OPT_SOCKET_DIR = 256, OPT_JSON, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
    {"socket-dir", required_argument, NULL, OPT_SOCKET_DIR},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

static const char options_help[] =
    "  --json            print JSON\n"
    "  --socket-dir DIR  where aliquotd's sockets are (default: /run/aliquot for root,\n"
    "                    else $XDG_RUNTIME_DIR/aliquot)\n"
    "  --help            print help, with a command: about that command\n"
    "  --version         print the version\n";

static void print_help(const struct command *command)
{
    if (command) {
        printf("Usage: aliquot %s [OPTION]...\n%s\n%s", command->name, command->help, options_help);
        return;
    }
    printf("Usage: aliquot COMMAND [OPTION]...\n"
           "Asks aliquotd, which shares a GPU among vGPUs.\n\n");
    for (const struct command *c = commands; c->name; c++)
        printf("  %-16s  %s\n", c->name, c->summary);
    printf("\n%s\nSee aliquot(1).\n", options_help);
}

static const struct command *find_command(const char *name)
{
    for (const struct command *c = commands; c->name; c++) {
        if (!strcmp(c->name, name))
            return c;
    }
    return NULL;
}

static int usage_error(void)
{
    fprintf(stderr, "Try 'aliquot --help'.\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct cli_options options = {0};
    bool help = false;
    signal(SIGPIPE, SIG_IGN); /* a write that fails is reported, not fatal */
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (option) {
        case OPT_SOCKET_DIR:
            options.socket_dir = optarg;
            break;
        case OPT_JSON:
            options.json = true;
            break;
        case OPT_HELP:
            help = true;
            break;
        case OPT_VERSION:
            printf("aliquot %s\n", ALIQUOT_VERSION);
            return EXIT_FINE;
        default: /* getopt_long has named it */
            return usage_error();
        }
    }

    const char *name = optind < argc ? argv[optind] : NULL;
    const struct command *command = name ? find_command(name) : NULL;
    if (name && !command) {
        fprintf(stderr, "aliquot: unknown command '%s'\n", name);
        return usage_error();
    }
    if (help) {
        print_help(command);
        return EXIT_FINE;
    }
    if (!command) {
        fprintf(stderr, "aliquot: a command is missing\n");
        return usage_error();
    }
    if (optind + 1 < argc) {
        fprintf(stderr, "aliquot: unexpected argument '%s'\n", argv[optind + 1]);
        return usage_error();
    }
    return command->run(&options);
}
