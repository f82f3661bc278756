/* SPDX-License-Identifier: MIT */
#include "mediator/cli/cdi.h"

#include "mediator/base/util.h"
#include "mediator/cli/client.h"
#include "mediator/cli/gpu_env.h"
#include "mediator/cli/installed.h"

#include <ctype.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CDI_VERSION "0.6.0"
#define CDI_KIND "aliquot.io/vgpu"
/* The device for vGPUs on demand. */
#define CDI_ANY "any"
/* Where things are in the container, whatever the host's paths. */
#define CONTAINER_DIR "/run/aliquot"
#define CONTAINER_SHIM CONTAINER_DIR "/libaliquot-shim.so"

const char cdi_help[] =
    "Prints a CDI specification: a device " CDI_KIND "=NAME for each configured vGPU,\n"
    "and " CDI_KIND "=" CDI_ANY " for one on demand. It names sockets and the library as they\n"
    "are now; aliquotd has to run.\n"
    "\n"
    "  --output FILE       write FILE, at once and as a whole, in place of stdout\n"
    "  --via shim|vtest    as for 'aliquot run'\n"
    "  --format json       the only one, which YAML readers take as well\n"
    "  --socket-dir DIR    where aliquotd's sockets are\n"
    "  --help              print this\n"
    "\n"
    "For example: aliquot cdi generate --output /etc/cdi/aliquot.json\n"
    "             podman run --device " CDI_KIND "=" CDI_ANY " IMAGE COMMAND\n";

struct cdi_options {
    struct cli_options common;
    const char *output; /* NULL = stdout; borrowed */
    enum gpu_via via;
};

/* ---- the specification ---------------------------------------------------------------------- */

static int append(sd_json_variant **array, int built, sd_json_variant *one)
{
    int r = built < 0 ? built : sd_json_variant_append_array(array, one);
    sd_json_variant_unref(one);
    return r;
}

/* A bind mount, read-only: a socket can be connected to nevertheless. */
static int append_mount(sd_json_variant **mounts, const char *host, const char *container)
{
    sd_json_variant *mount = NULL;
    int r = sd_json_buildo(
        &mount, SD_JSON_BUILD_PAIR_STRING("hostPath", host),
        SD_JSON_BUILD_PAIR_STRING("containerPath", container),
        SD_JSON_BUILD_PAIR("options", SD_JSON_BUILD_ARRAY(SD_JSON_BUILD_STRING("ro"),
                                                          SD_JSON_BUILD_STRING("nosuid"),
                                                          SD_JSON_BUILD_STRING("nodev"),
                                                          SD_JSON_BUILD_STRING("bind"))));
    return append(mounts, r, mount);
}

/* Engines can only set variables. What is unset outside is not there unless the image says so. */
static int append_variables(sd_json_variant **list, const struct gpu_env *env)
{
    int r = 0;
    for (size_t i = 0; i < env->count && r >= 0; i++) {
        const struct gpu_variable *v = &env->variables[i];
        if (!v->value)
            continue;
        _cleanup_free_ char *text = NULL;
        sd_json_variant *string = NULL;
        r = asprintf(&text, "%s=%s", v->name, v->value) < 0
                ? -ENOMEM
                : sd_json_variant_new_string(&string, text);
        r = append(list, r, string);
    }
    return r;
}

/* The socket is always at the same place behind its name, so that it says whose it is. */
static int append_device(sd_json_variant **devices, const struct cdi_options *o, const char *name,
                         const char *socket, const char *shim)
{
    struct gpu_env env = {0};
    sd_json_variant *mounts = NULL, *variables = NULL, *device = NULL;
    _cleanup_free_ char *path = NULL;
    int r = asprintf(&path, CONTAINER_DIR "/%s.sock", name) < 0 ? -ENOMEM : 0;
    if (r >= 0)
        r = gpu_env_init(&env, o->via, path, CONTAINER_SHIM, NULL);
    if (r >= 0)
        r = append_variables(&variables, &env);
    if (r >= 0)
        r = append_mount(&mounts, socket, path);
    if (r >= 0 && shim)
        r = append_mount(&mounts, shim, CONTAINER_SHIM);
    if (r >= 0)
        r = sd_json_buildo(
            &device, SD_JSON_BUILD_PAIR_STRING("name", name),
            SD_JSON_BUILD_PAIR("containerEdits",
                               SD_JSON_BUILD_OBJECT(SD_JSON_BUILD_PAIR_VARIANT("env", variables),
                                                    SD_JSON_BUILD_PAIR_VARIANT("mounts", mounts))));
    r = append(devices, r, device);
    sd_json_variant_unref(mounts);
    sd_json_variant_unref(variables);
    gpu_env_finish(&env);
    return r;
}

/* CDI wants the last character of a device's name to be a letter or digit too. */
static bool device_name_valid(const char *name)
{
    return *name && isalnum((unsigned char)name[strlen(name) - 1]);
}

static int append_configured(sd_json_variant **devices, const struct cdi_options *o,
                             sd_json_variant *vgpus, const char *shim, bool *ret_any_taken)
{
    size_t count = vgpus && sd_json_variant_is_array(vgpus) ? sd_json_variant_elements(vgpus) : 0;
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++) {
        sd_json_variant *v = sd_json_variant_by_index(vgpus, i);
        const char *name = client_string(v, "name"), *kind = client_string(v, "kind");
        const char *socket = client_string(v, "socket");
        if (!name || !kind || !socket || strcmp(kind, "configured") != 0)
            continue;
        if (!device_name_valid(name)) {
            fprintf(stderr,
                    "aliquot: vGPU '%s' is left out: a CDI device's name ends in a letter or "
                    "digit\n",
                    name);
            continue;
        }
        *ret_any_taken |= !strcmp(name, CDI_ANY);
        r = append_device(devices, o, name, socket, shim);
    }
    return r;
}

static int build(const struct cdi_options *o, sd_json_variant *info, sd_json_variant *list,
                 const char *shim, sd_json_variant **ret)
{
    sd_json_variant *devices = NULL;
    const char *on_demand = client_string(info, "onDemandSocket");
    bool any_taken = false;
    int r = append_configured(&devices, o, sd_json_variant_by_key(list, "vgpus"), shim, &any_taken);
    if (any_taken && on_demand)
        fprintf(stderr, "aliquot: the device '" CDI_ANY "' is the configured vGPU of this name; "
                        "there is none for vGPUs on demand\n");
    else if (on_demand && r >= 0)
        r = append_device(&devices, o, CDI_ANY, on_demand, shim);
    if (r >= 0 && !devices) {
        fprintf(stderr, "aliquot: aliquotd has no configured vGPU, and none on demand: there is "
                        "nothing to describe\n");
        return -ENOENT;
    }
    if (r >= 0)
        r = sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("cdiVersion", CDI_VERSION),
                           SD_JSON_BUILD_PAIR_STRING("kind", CDI_KIND),
                           SD_JSON_BUILD_PAIR_VARIANT("devices", devices));
    sd_json_variant_unref(devices);
    if (r < 0)
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    return r;
}

/* ---- output --------------------------------------------------------------------------------- */

static int print(sd_json_variant *spec, FILE *out)
{
    int r = sd_json_variant_dump(spec, SD_JSON_FORMAT_PRETTY, out, NULL);
    if (r >= 0 && fflush(out) != 0)
        r = -errno;
    return r;
}

/* Engines look at the folder at any time: the file comes into being complete. */
static int write_file(sd_json_variant *spec, const char *path)
{
    _cleanup_free_ char *temporary = NULL;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return -ENOMEM;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    FILE *out = fdopen(fd, "w");
    int r = out ? print(spec, out) : -errno;
    if (r >= 0 && (fchmod(fd, 0644) < 0 || rename(temporary, path) < 0))
        r = -errno;
    if (out)
        fclose(out);
    else
        close(fd);
    if (r < 0)
        unlink(temporary);
    return r;
}

static int generate(const struct cdi_options *o)
{
    sd_json_variant *info = NULL, *list = NULL, *spec = NULL;
    _cleanup_free_ char *shim = NULL;
    int r = o->via == GPU_VIA_SHIM ? installed_find(INSTALLED_SHIM, &shim) : 0;
    if (r >= 0)
        r = client_call(&o->common, "GetInfo", &info);
    if (r >= 0)
        r = client_call(&o->common, "ListVGPUs", &list);
    if (r >= 0)
        r = build(o, info, list, shim, &spec);
    if (r >= 0) {
        r = o->output ? write_file(spec, o->output) : print(spec, stdout);
        if (r < 0)
            fprintf(stderr, "aliquot: %s: %s\n", o->output ? o->output : "stdout", strerror(-r));
    }
    sd_json_variant_unref(spec);
    sd_json_variant_unref(list);
    sd_json_variant_unref(info);
    return r < 0 ? EXIT_FAILED : EXIT_FINE;
}

/* ---- command line --------------------------------------------------------------------------- */

static int usage_error(const char *format, const char *value)
{
    fprintf(stderr, "aliquot: ");
    fprintf(stderr, format, value);
    fprintf(stderr, "\nTry 'aliquot cdi --help'.\n");
    return EXIT_USAGE;
}

int cdi_run(const struct cli_options *common, int argc, char **argv)
{
    enum { OPT_OUTPUT = 256, OPT_VIA, OPT_FORMAT, OPT_SOCKET_DIR, OPT_HELP };
    static const struct option long_options[] = {
        {"output", required_argument, NULL, OPT_OUTPUT},
        {"via", required_argument, NULL, OPT_VIA},
        {"format", required_argument, NULL, OPT_FORMAT},
        {"socket-dir", required_argument, NULL, OPT_SOCKET_DIR},
        {"help", no_argument, NULL, OPT_HELP},
        {0},
    };
    struct cdi_options o = {.common = *common};
    optind = 0; /* begins anew */
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (option) {
        case OPT_OUTPUT:
            o.output = optarg;
            break;
        case OPT_VIA:
            if (!gpu_via_parse(optarg, &o.via))
                return usage_error("--via: '%s' is unknown; allowed: shim or vtest", optarg);
            break;
        case OPT_FORMAT:
            if (strcmp(optarg, "json") != 0)
                return usage_error("--format: '%s' is unknown; allowed: json", optarg);
            break;
        case OPT_SOCKET_DIR:
            o.common.socket_dir = optarg;
            break;
        case OPT_HELP:
            command_print_help(command_find("cdi"));
            return EXIT_FINE;
        default: /* getopt_long has named it */
            return usage_error("%s", "see its options");
        }
    }
    const char *what = optind < argc ? argv[optind] : NULL;
    if (!what)
        return usage_error("%s", "cdi: what? 'generate' is all it can do");
    if (strcmp(what, "generate") != 0)
        return usage_error("cdi: unknown '%s'; it can 'generate'", what);
    if (optind + 1 < argc)
        return usage_error("unexpected argument '%s'", argv[optind + 1]);
    return generate(&o);
}
