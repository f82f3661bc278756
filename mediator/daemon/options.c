/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/options.h"

#include "mediator/base/util.h"
#include "mediator/daemon/config_value.h"
#include "mediator/daemon/error_text.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

const char options_help[] =
    "Usage: aliquotd [OPTION]...\n"
    "Shares a GPU among vGPUs: listens for vhost-user front-ends (QEMU, guest drivers)\n"
    "and starts a renderer for each.\n"
    "\n"
    "  --config FILE      read FILE (default: " CONFIG_FILE ", if it exists)\n"
    "  --check-config     check configuration and command line, then exit\n"
    "  --socket-dir DIR   where the sockets are (default: /run/aliquot for root,\n"
    "                     else $XDG_RUNTIME_DIR/aliquot)\n"
    "  --vgpu NAME        add a vGPU with a socket of its own, NAME.sock; may be repeated\n"
    "  --gpu GPU          auto (default), software, /dev/dri/renderDN or egl:N\n"
    "  --backend BACKEND  virgl (default), or null, which draws nothing\n"
    "  --policy POLICY    how vGPUs share a GPU: fair (default), equal, fixed or exclusive\n"
    "  --preempt HOW      how a slice ends: auto (default), cpu or drain\n"
    "  --parallelism N    vGPUs inside a slice at once, 1 (default) to 64\n"
    "  --early-handover YES-OR-NO\n"
    "                     where slices end by draining: let the next vGPU submit a job while\n"
    "                     the last one of the vGPU before still runs (default: no)\n"
    "  --reset-after TIME kill the renderer of a vGPU that holds the GPU so long without\n"
    "                     completing anything, 100ms to 600s; 0s: never\n"
    "  --metrics ADDRESS  serve Prometheus metrics over HTTP at PORT of the loopback\n"
    "                     interface, or at ADDRESS:PORT; off (default)\n"
    "  --state-dir DIR    where what 'aliquot set --persist' changes is kept (default:\n"
    "                     $STATE_DIRECTORY, /var/lib/aliquot for root, else\n"
    "                     $XDG_STATE_HOME/aliquot)\n"
    "  --ready-fd N       write a newline to descriptor N when ready, and close it\n"
    "  --owner-fd N       stop when the other end of descriptor N is closed, and remove\n"
    "                     the socket directory\n"
    "  --verbose          log more\n"
    "  --help, --version  print this, or the version, and exit\n"
    "\n"
    "An option wins over the same setting in the file. See aliquotd(8), aliquot.conf(5).\n";

enum {
    OPT_CONFIG = 256,
    OPT_CHECK,
    OPT_VGPU,
    OPT_READY,
    OPT_OWNER,
    OPT_VERBOSE,
    OPT_HELP,
    OPT_VERSION,
    OPT_SETTING, /* and what follows: a key of [aliquot] */
};

/* Options that are keys of the configuration file too. */
static const char *const setting_keys[OPTIONS_SETTINGS] = {
    "socket-dir",  "gpu",         "backend", "policy",    "preempt",
    "parallelism", "reset-after", "metrics", "state-dir", "early-handover",
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"vgpu", required_argument, NULL, OPT_VGPU},
    {"ready-fd", required_argument, NULL, OPT_READY},
    {"owner-fd", required_argument, NULL, OPT_OWNER},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"socket-dir", required_argument, NULL, OPT_SETTING},
    {"gpu", required_argument, NULL, OPT_SETTING + 1},
    {"backend", required_argument, NULL, OPT_SETTING + 2},
    {"policy", required_argument, NULL, OPT_SETTING + 3},
    {"preempt", required_argument, NULL, OPT_SETTING + 4},
    {"parallelism", required_argument, NULL, OPT_SETTING + 5},
    {"reset-after", required_argument, NULL, OPT_SETTING + 6},
    {"metrics", required_argument, NULL, OPT_SETTING + 7},
    {"state-dir", required_argument, NULL, OPT_SETTING + 8},
    {"early-handover", required_argument, NULL, OPT_SETTING + 9},
    {0},
};

static bool __attribute__((format(printf, 1, 2))) usage_error(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "aliquotd: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry 'aliquotd --help'.\n");
    return false;
}

/* An open descriptor beyond stdio; from here on it is not for children. */
static bool take_fd_option(const char *name, const char *value, int *ret)
{
    uint64_t number;
    if (value_unsigned(value, STDERR_FILENO + 1, INT_MAX, &number) < 0)
        return usage_error("%s: '%s' is no number of a descriptor, 3 or more", name, value);
    if (fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return usage_error("%s: descriptor %s is not open", name, value);
    *ret = (int)number;
    return true;
}

bool options_parse(int argc, char **argv, struct options *ret)
{
    *ret = (struct options){.ready_fd = -1, .owner_fd = -1};
    ret->vgpus = calloc((size_t)argc, sizeof(*ret->vgpus)); /* more than enough */
    if (!ret->vgpus)
        return usage_error("%s", strerror(ENOMEM));
    optind = 0; /* so that unit tests can call it again */
    for (;;) {
        int option = getopt_long(argc, argv, "", long_options, NULL);
        if (option >= OPT_SETTING) {
            ret->settings[option - OPT_SETTING] = optarg;
            continue;
        }
        switch (option) {
        case -1:
            return optind == argc || usage_error("unexpected argument '%s'", argv[optind]);
        case OPT_CONFIG:
            ret->config_file = optarg;
            break;
        case OPT_CHECK:
            ret->action = OPTIONS_CHECK_CONFIG;
            break;
        case OPT_VGPU:
            ret->vgpus[ret->n_vgpus++] = optarg;
            break;
        case OPT_READY:
            if (!take_fd_option("--ready-fd", optarg, &ret->ready_fd))
                return false;
            break;
        case OPT_OWNER:
            if (!take_fd_option("--owner-fd", optarg, &ret->owner_fd))
                return false;
            break;
        case OPT_VERBOSE:
            ret->verbose = true;
            break;
        case OPT_HELP:
            ret->action = OPTIONS_HELP;
            return true;
        case OPT_VERSION:
            ret->action = OPTIONS_VERSION;
            return true;
        default: /* getopt_long has named it */
            fprintf(stderr, "Try 'aliquotd --help'.\n");
            return false;
        }
    }
}

void options_finish(struct options *o)
{
    free(o->vgpus);
    o->vgpus = NULL;
}

int options_apply(const struct options *o, struct config *config, char **ret_error)
{
    for (size_t i = 0; i < ARRAY_SIZE(setting_keys); i++) {
        char where[32];
        snprintf(where, sizeof(where), "--%s", setting_keys[i]);
        int r = o->settings[i]
                    ? config_set(config, setting_keys[i], o->settings[i], where, ret_error)
                    : 0;
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < o->n_vgpus; i++) {
        int r = config_add_vgpu(config, o->vgpus[i], "--vgpu", ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}
