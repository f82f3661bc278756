/* SPDX-License-Identifier: MIT */
#include "mediator/cli/commands.h"

#include "mediator/cli/cdi.h"
#include "mediator/cli/list.h"
#include "mediator/cli/run.h"
#include "mediator/cli/set.h"
#include "mediator/cli/top.h"
#include "mediator/cli/trace.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"list", "[OPTION]...", "vGPUs: state, who is connected, their share of the GPU",
     "Lists the vGPUs: those of the configuration, then those made on demand.\n"
     "PEER is the process that is connected, WEIGHT its share relative to others,\n"
     "GPUTIME what it had of the GPU so far, WAITING how long it waited for others, MEMORY\n"
     "that of its GPU resources.\n"
     "With --json: an array with all that is known about each.\n",
     false, list_run},
    {"info", "[OPTION]...", "the daemon: version, pid, which GPU and why, socket directory",
     "Says which daemon runs, on which GPU and why on that one.\n"
     "With --json: an object.\n",
     false, info_run},
    {"top", "[OPTION]...", "who uses the GPU now, live", top_help, true, top_run},
    {"set", "NAME OPTION...", "changes a vGPU's share of the GPU", set_help, true, set_run},
    {"trace", "-o FILE [OPTION]...", "records who has the GPU when, for Perfetto", trace_help, true,
     trace_run},
    {"run", "[OPTION]... [--] COMMAND [ARGUMENT]...", "runs a program with a vGPU of its own",
     run_help, true, run_run},
    {"cdi", "generate [OPTION]...", "a description of the vGPUs for container engines", cdi_help,
     true, cdi_run},
    {0},
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name; c++) {
        if (!strcmp(c->name, name))
            return c;
    }
    return NULL;
}

int command_usage_error(void)
{
    fprintf(stderr, "Try 'aliquot --help'.\n");
    return EXIT_USAGE;
}

void command_print_help(const struct command *command)
{
    static const char options_help[] =
        "  --json            print JSON\n"
        "  --socket-dir DIR  where aliquotd's sockets are (default: /run/aliquot for root,\n"
        "                    else $XDG_RUNTIME_DIR/aliquot)\n"
        "  --help            print help, with a command: about that command\n"
        "  --version         print the version\n";
    if (command) {
        printf("Usage: aliquot %s %s\n%s%s%s", command->name, command->arguments, command->help,
               command->own_options ? "" : "\n", command->own_options ? "" : options_help);
        return;
    }
    printf("Usage: aliquot COMMAND [OPTION]...\n"
           "Asks aliquotd, which shares a GPU among vGPUs.\n\n");
    for (const struct command *c = commands; c->name; c++)
        printf("  %-16s  %s\n", c->name, c->summary);
    printf("\n%s\nSee aliquot(1).\n", options_help);
}
