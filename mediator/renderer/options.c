/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/options.h"

#include "mediator/base/util.h"

#include "mediator/renderer/gpu_device.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 63

enum option_id {
    OPT_NAME = 256,
    OPT_BACKEND,
    OPT_GPU,
    OPT_SCANOUTS,
    OPT_SIZE,
    OPT_SCANOUT_BY,
    OPT_MAX_MEMORY,
    OPT_HOSTMEM,
    OPT_VULKAN,
    OPT_VERBOSE,
    OPT_BROKER_FD,
    OPT_STATS_FD,
    OPT_MEMORY_FD,
    OPT_WORK_FD,
    OPT_LEASE_FD,
    OPT_FD,
    OPT_LISTEN,
    OPT_PRIORITY,
    OPT_READY_FD,
    OPT_PROBE,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option options[] = {
    {"name", required_argument, NULL, OPT_NAME},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"gpu", required_argument, NULL, OPT_GPU},
    {"scanouts", required_argument, NULL, OPT_SCANOUTS},
    {"size", required_argument, NULL, OPT_SIZE},
    {"scanout-by", required_argument, NULL, OPT_SCANOUT_BY},
    {"max-memory", required_argument, NULL, OPT_MAX_MEMORY},
    {"priority", required_argument, NULL, OPT_PRIORITY},
    {"hostmem", required_argument, NULL, OPT_HOSTMEM},
    {"vulkan", required_argument, NULL, OPT_VULKAN},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"broker-fd", required_argument, NULL, OPT_BROKER_FD},
    {"stats-fd", required_argument, NULL, OPT_STATS_FD},
    {"memory-fd", required_argument, NULL, OPT_MEMORY_FD},
    {"work-fd", required_argument, NULL, OPT_WORK_FD},
    {"lease-fd", required_argument, NULL, OPT_LEASE_FD},
    {"fd", required_argument, NULL, OPT_FD},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"probe", no_argument, NULL, OPT_PROBE},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

void options_print_help(void)
{
    fputs(
        "Usage: aliquot-renderer --name NAME [OPTION…] (--listen PATH | --fd N | --broker-fd N)\n"
        "Serves one vGPU: a vhost-user back-end for virtio-gpu. Started by aliquotd, or alone.\n"
        "\n"
        "  --listen PATH        serve one connection after another on a socket at PATH\n"
        "  --fd N               serve the connected socket N, exit when it ends\n"
        "  --broker-fd N        serve what aliquotd hands over (with --stats-fd N, --memory-fd N,\n"
        "                       --work-fd N and perhaps --lease-fd N, the first of four\n"
        "                       descriptors)\n"
        "  --probe              print the GPUs found as JSON, and exit\n"
        "\n"
        "  --name NAME          name of the vGPU in log lines\n"
        "  --backend virgl|null what draws (virgl)\n"
        "  --gpu auto|software|/dev/dri/renderDN\n"
        "                       where it draws (auto)\n"
        "  --scanouts N         displays, 0 to 16 (1)\n"
        "  --size WxH           size of a display where no front-end says (1280x800)\n"
        "  --scanout-by HOW     copy, or dmabuf for a front-end whose console has GL (copy)\n"
        "  --max-memory BYTES[K|M|G]\n"
        "                       bound on the sum of the guest's resources (4G)\n"
        "  --hostmem BYTES[K|M|G]\n"
        "                       the region in which the guest sees blobs: a power of two from 1M\n"
        "                       to 256G, or 0 for none (1G)\n"
        "  --vulkan on|off|auto whether there is Vulkan for the guest; auto: where it works "
        "(auto)\n"
        "  --ready-fd N         write a newline to N once ready, and close it\n"
        "  --verbose            log more\n"
        "  --help, --version\n",
        stdout);
}

static bool usage(const char *format, ...)
{
    va_list ap;
    fputs("aliquot-renderer: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs("; see --help\n", stderr);
    return false;
}

/* Digits alone: no sign, no space, which strtoull would take. *ret_end = what follows them. */
static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                         const char **ret_end)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || value < min || value > max)
        return false;
    if (ret_end != NULL)
        *ret_end = end;
    else if (*end != '\0')
        return false;
    *ret = value;
    return true;
}

static bool parse_fd(const char *option, const char *text, int *ret)
{
    uint64_t value;
    if (!parse_number(text, 0, INT_MAX, &value, NULL))
        return usage("--%s: '%s' is no descriptor number", option, text);
    *ret = (int)value;
    return true;
}

static bool parse_size(const char *text, uint32_t *ret_width, uint32_t *ret_height)
{
    const char *end;
    uint64_t width, height, max = gpu_limits_default.max_dimension;
    if (!parse_number(text, 1, max, &width, &end) || *end != 'x' ||
        !parse_number(end + 1, 1, max, &height, NULL))
        return usage("--size: '%s' is not WIDTHxHEIGHT, each 1 to %llu", text,
                     (unsigned long long)max);
    *ret_width = (uint32_t)width;
    *ret_height = (uint32_t)height;
    return true;
}

static bool parse_bytes(const char *option, const char *text, uint64_t min, uint64_t *ret)
{
    const char *end;
    uint64_t value;
    unsigned shift = 0;
    bool good = parse_number(text, min, UINT64_MAX, &value, &end);
    if (good && *end != '\0') {
        static const char units[] = "KMG";
        const char *unit = strchr(units, *end);
        good = unit != NULL && end[1] == '\0';
        if (good)
            shift = 10 * (unsigned)(unit - units + 1);
    }
    if (!good || value > UINT64_MAX >> shift)
        return usage("--%s: '%s' is not BYTES[K|M|G]", option, text);
    *ret = value << shift;
    return true;
}

static bool parse_priority(const char *text, enum backend_priority *ret)
{
    for (unsigned i = 0; i < BACKEND_PRIORITIES; i++) {
        if (strcmp(backend_priority_name((enum backend_priority)i), text) == 0) {
            *ret = (enum backend_priority)i;
            return true;
        }
    }
    return usage("--priority: '%s' is neither low, medium nor high", text);
}

static bool parse_hostmem(const char *text, uint64_t *ret)
{
    uint64_t bytes = 0;

    if (!parse_bytes("hostmem", text, 0, &bytes))
        return false;
    /* QEMU aborts at what is no power of two. */
    if (bytes != 0 &&
        (bytes < HOSTMEM_MIN_BYTES || bytes > HOSTMEM_MAX_BYTES || (bytes & (bytes - 1)) != 0))
        return usage("--hostmem: '%s' is neither 0 nor a power of two from 1M to 256G", text);
    *ret = bytes;
    return true;
}

static bool parse_vulkan(const char *text, enum backend_vulkan *ret)
{
    static const char *const names[] = {
        [BACKEND_VULKAN_OFF] = "off", [BACKEND_VULKAN_AUTO] = "auto", [BACKEND_VULKAN_ON] = "on"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum backend_vulkan)i;
            return true;
        }
    }
    return usage("--vulkan: '%s' is neither on, off nor auto", text);
}

static bool name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    return true;
}

static bool set_mode(struct renderer_options *o, enum renderer_mode mode)
{
    if (o->mode != RENDERER_MODE_NONE && o->mode != mode)
        return usage("--listen, --fd, --broker-fd, --probe, --help, --version exclude each other");
    o->mode = mode;
    return true;
}

static bool parse_one(struct renderer_options *o, int option, const char *arg)
{
    uint64_t value;

    switch (option) {
    case OPT_NAME:
        if (!name_valid(arg))
            return usage("--name: a name is 1 to %d of [a-zA-Z0-9._-], the first a letter or digit",
                         NAME_MAX_LEN);
        o->name = arg;
        return true;
    case OPT_BACKEND:
        o->backend = arg;
        return true;
    case OPT_GPU:
        o->gpu = arg;
        return true;
    case OPT_SCANOUTS:
        if (!parse_number(arg, 0, VIRTIO_GPU_MAX_SCANOUTS, &value, NULL))
            return usage("--scanouts: '%s' is not 0 to %d", arg, VIRTIO_GPU_MAX_SCANOUTS);
        o->scanouts = (uint32_t)value;
        return true;
    case OPT_SIZE:
        return parse_size(arg, &o->width, &o->height);
    case OPT_SCANOUT_BY:
        o->dmabuf = strcmp(arg, "dmabuf") == 0;
        if (!o->dmabuf && strcmp(arg, "copy") != 0)
            return usage("--scanout-by: '%s' is neither copy nor dmabuf", arg);
        return true;
    case OPT_PRIORITY:
        return parse_priority(arg, &o->priority);
    case OPT_MAX_MEMORY:
        return parse_bytes("max-memory", arg, 1, &o->max_memory_bytes);
    case OPT_HOSTMEM:
        return parse_hostmem(arg, &o->hostmem_bytes);
    case OPT_VULKAN:
        return parse_vulkan(arg, &o->vulkan);
    case OPT_VERBOSE:
        o->verbose = true;
        return true;
    case OPT_BROKER_FD:
        return parse_fd("broker-fd", arg, &o->broker_fd) && set_mode(o, RENDERER_MODE_BROKER);
    case OPT_STATS_FD:
        return parse_fd("stats-fd", arg, &o->stats_fd);
    case OPT_MEMORY_FD:
        return parse_fd("memory-fd", arg, &o->memory_fd);
    case OPT_WORK_FD:
        return parse_fd("work-fd", arg, &o->work_fd);
    case OPT_LEASE_FD:
        return parse_fd("lease-fd", arg, &o->lease_fd);
    case OPT_FD:
        return parse_fd("fd", arg, &o->fd) && set_mode(o, RENDERER_MODE_FD);
    case OPT_LISTEN:
        o->listen_path = arg;
        return set_mode(o, RENDERER_MODE_LISTEN);
    case OPT_READY_FD:
        return parse_fd("ready-fd", arg, &o->ready_fd);
    case OPT_PROBE:
        return set_mode(o, RENDERER_MODE_PROBE);
    case OPT_HELP:
        return set_mode(o, RENDERER_MODE_HELP);
    case OPT_VERSION:
        return set_mode(o, RENDERER_MODE_VERSION);
    default: /* getopt has said it */
        return false;
    }
}

bool options_parse(struct renderer_options *o, int argc, char **argv)
{
    *o = (struct renderer_options){
        .backend = "virgl",
        .gpu = "auto",
        .fd = -1,
        .broker_fd = -1,
        .stats_fd = -1,
        .memory_fd = -1,
        .work_fd = -1,
        .lease_fd = -1,
        .ready_fd = -1,
        .priority = BACKEND_PRIORITY_MEDIUM,
        .scanouts = 1,
        .width = 1280,
        .height = 800,
        .hostmem_bytes = HOSTMEM_DEFAULT_BYTES,
        .vulkan = BACKEND_VULKAN_AUTO,
    };
    for (;;) {
        int option = getopt_long(argc, argv, "", options, NULL);
        if (option == -1)
            break;
        if (!parse_one(o, option, optarg))
            return false;
    }
    if (optind < argc)
        return usage("'%s' is no option", argv[optind]);

    switch (o->mode) {
    case RENDERER_MODE_NONE:
        return usage("one of --listen, --fd, --broker-fd is needed");
    case RENDERER_MODE_PROBE:
    case RENDERER_MODE_HELP:
    case RENDERER_MODE_VERSION:
        return true;
    default:
        return o->name != NULL || usage("--name is needed");
    }
}
