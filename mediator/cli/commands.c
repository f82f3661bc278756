/* SPDX-License-Identifier: MIT */
#include "mediator/cli/commands.h"

#include "mediator/cli/list.h"

#include <stddef.h>

const struct command commands[] = {
    {"list", "vGPUs: state, who is connected, the GPU, counters",
     "Lists the vGPUs: those of the configuration, then those made on demand.\n"
     "PEER is the process that is connected, RENDERER the process that draws for it,\n"
     "RES and MEMORY its GPU resources, SUBMITS its submissions of 3D work so far.\n"
     "With --json: an array with all that is known about each.\n",
     list_run},
    {"info", "the daemon: version, pid, which GPU and why, socket directory",
     "Says which daemon runs, on which GPU and why on that one.\n"
     "With --json: an object.\n",
     info_run},
    {NULL, NULL, NULL, NULL},
};
