/* SPDX-License-Identifier: MIT */
#include "mediator/cli/run_options.h"

#include "mediator/base/util.h"
#include "mediator/cli/run.h"
#include "mediator/daemon/config.h"
#include "mediator/daemon/config_value.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char run_help[] =
    "Makes a vGPU, runs COMMAND on it, removes it. Where no aliquotd runs, a private\n"
    "one is started for as long. The exit status is the command's.\n"
    "\n"
    "  --name NAME         name of the vGPU (default: run-1, run-2, ...)\n"
    "  --via shim|vtest    how Mesa gets to it: by a preloaded library (default), or by\n"
    "                      its own vtest protocol\n"
    "  --gpu GPU           auto, software, /dev/dri/renderDN or egl:N (default: the\n"
    "                      daemon's)\n"
    "  --vulkan WHEN       auto (default: where it works), on (or fail), or off\n"
    "  --max-memory BYTES  the most host memory of its GPU resources, with K, M, G or T\n"
    "  --weight N          share of the GPU relative to other vGPUs, 1 to 10000 (100)\n"
    "  --reservation P%    the least of the GPU that it gets, 0% to 95% (0%)\n"
    "  --cap P%            the most that it gets, 1% to 100% (100%)\n"
    "  --slice TIME        length of its turns, 0.5ms to 30ms (4ms)\n"
    "  --backend BACKEND   virgl, or null, which draws nothing\n"
    "  --private           start a private aliquotd even where one runs\n"
    "  --print-env         run nothing: print lines for a shell that set the environment\n"
    "                      for vGPUs on demand, or with --name for one that exists\n"
    "  --socket-dir DIR    where aliquotd's sockets are; there must be one\n"
    "  --verbose           show the log of a private aliquotd\n"
    "  --help              print this\n"
    "\n"
    "COMMAND has to follow the options; \"--\" before it is needed only if it begins with \"-\".\n";

enum {
    OPT_NAME = 256,
    OPT_VIA,
    OPT_GPU,
    OPT_VULKAN,
    OPT_MEMORY,
    OPT_BACKEND,
    OPT_WEIGHT,
    OPT_RESERVATION,
    OPT_CAP,
    OPT_SLICE,
    OPT_PRIVATE,
    OPT_PRINT_ENV,
    OPT_SOCKET_DIR,
    OPT_VERBOSE,
    OPT_HELP
};

static const struct option long_options[] = {
    {"name", required_argument, NULL, OPT_NAME},
    {"via", required_argument, NULL, OPT_VIA},
    {"gpu", required_argument, NULL, OPT_GPU},
    {"vulkan", required_argument, NULL, OPT_VULKAN},
    {"max-memory", required_argument, NULL, OPT_MEMORY},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"weight", required_argument, NULL, OPT_WEIGHT},
    {"reservation", required_argument, NULL, OPT_RESERVATION},
    {"cap", required_argument, NULL, OPT_CAP},
    {"slice", required_argument, NULL, OPT_SLICE},
    {"private", no_argument, NULL, OPT_PRIVATE},
    {"print-env", no_argument, NULL, OPT_PRINT_ENV},
    {"socket-dir", required_argument, NULL, OPT_SOCKET_DIR},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static bool wrong(const char *format, const char *value)
{
    fprintf(stderr, "aliquot: ");
    fprintf(stderr, format, value);
    fprintf(stderr, "\nTry 'aliquot run --help'.\n");
    return false;
}

static bool take_knob(struct run_options *o, const char *name, const char *value)
{
    if (knobs_take(&o->vgpu.knobs, name, value))
        return true;
    fprintf(stderr, "Try 'aliquot run --help'.\n");
    return false;
}

/* What the daemon would refuse too, but before one is started. */
static bool take_value(struct run_options *o, int option, const char *value)
{
    switch (option) {
    case OPT_NAME:
        o->vgpu.name = value;
        return vgpu_name_valid(value) || wrong("--name: '%s' is no name for a vGPU", value);
    case OPT_VIA:
        return gpu_via_parse(value, &o->via) ||
               wrong("--via: '%s' is unknown; allowed: shim or vtest", value);
    case OPT_GPU:
        o->vgpu.gpu = value;
        return gpu_id_valid(value) ||
               wrong("--gpu: '%s' is no GPU; allowed: auto, software, /dev/dri/renderDN or egl:N",
                     value);
    case OPT_VULKAN:
        o->vgpu.vulkan = value;
        return !strcmp(value, "auto") || !strcmp(value, "on") || !strcmp(value, "off") ||
               wrong("--vulkan: '%s' is unknown; allowed: auto, on or off", value);
    case OPT_MEMORY:
        return value_bytes(value, CONFIG_MEMORY_MIN, CONFIG_MEMORY_MAX,
                           &o->vgpu.max_memory_bytes) == 0 ||
               wrong("--max-memory: '%s': allowed are bytes, 1M to 16T, with K, M, G or T", value);
    case OPT_BACKEND:
        o->vgpu.backend = value;
        return !strcmp(value, "virgl") || !strcmp(value, "null") ||
               wrong("--backend: '%s' is unknown; allowed: virgl or null", value);
    case OPT_WEIGHT:
        return take_knob(o, "weight", value);
    case OPT_RESERVATION:
        return take_knob(o, "reservation", value);
    case OPT_CAP:
        return take_knob(o, "cap", value);
    case OPT_SLICE:
        return take_knob(o, "slice", value);
    case OPT_SOCKET_DIR:
        o->common.socket_dir = value;
        return true;
    case OPT_PRIVATE:
        o->private_daemon = true;
        return true;
    case OPT_PRINT_ENV:
        o->print_env = true;
        return true;
    case OPT_VERBOSE:
        o->verbose = true;
        return true;
    case OPT_HELP:
        o->help = true;
        return true;
    default: /* getopt_long has named it */
        fprintf(stderr, "Try 'aliquot run --help'.\n");
        return false;
    }
}

static bool check_together(const struct run_options *o)
{
    const struct claim_args *v = &o->vgpu;
    if (o->private_daemon && o->common.socket_dir)
        return wrong("%s: only one of them", "--private, --socket-dir");
    if (!o->print_env)
        return o->program[0] || wrong("%s", "a command to run is missing");
    if (o->program[0])
        return wrong("--print-env runs nothing; unexpected argument '%s'", o->program[0]);
    if (o->private_daemon || v->gpu || v->backend || v->vulkan || v->max_memory_bytes ||
        knobs_given(&v->knobs))
        return wrong("%s", "--print-env makes no vGPU: neither --private nor settings of one go "
                           "with it");
    return true;
}

bool run_options_parse(const struct cli_options *common, int argc, char **argv,
                       struct run_options *ret)
{
    *ret = (struct run_options){.common = *common};
    optind = 0; /* begins anew; "+": up to the program */
    for (int option; (option = getopt_long(argc, argv, "+", long_options, NULL)) != -1;) {
        if (!take_value(ret, option, optarg))
            return false;
    }
    ret->program = argv + optind;
    return ret->help || check_together(ret);
}
