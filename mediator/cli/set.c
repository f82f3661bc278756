/* SPDX-License-Identifier: MIT */
#include "mediator/cli/set.h"

#include "mediator/base/util.h"
#include "mediator/cli/client.h"
#include "mediator/cli/knobs.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char set_help[] =
    "Changes the share of the GPU that the vGPU NAME has, at once, and prints what is in\n"
    "force then. What is not given stays as it is.\n"
    "\n"
    "  --weight N          share of the GPU relative to other vGPUs, 1 to 10000\n"
    "  --reservation P%    the least of the GPU that it gets, 0% to 95%\n"
    "  --cap P%            the most that it gets, 1% to 100%\n"
    "  --slice TIME        length of its turns, 0.5ms to 30ms\n"
    "  --persist           keep it over restarts of aliquotd, for configured vGPUs\n"
    "  --json              print JSON\n"
    "  --socket-dir DIR    where aliquotd's sockets are\n"
    "  --help              print this\n";

enum { OPT_KNOB = 256, OPT_PERSIST, OPT_JSON, OPT_SOCKET_DIR, OPT_HELP };

static const struct option long_options[] = {
    {"weight", required_argument, NULL, OPT_KNOB},
    {"reservation", required_argument, NULL, OPT_KNOB},
    {"cap", required_argument, NULL, OPT_KNOB},
    {"slice", required_argument, NULL, OPT_KNOB},
    {"persist", no_argument, NULL, OPT_PERSIST},
    {"json", no_argument, NULL, OPT_JSON},
    {"socket-dir", required_argument, NULL, OPT_SOCKET_DIR},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

struct set_options {
    struct cli_options common;
    struct knobs knobs;
    const char *name; /* borrowed from argv */
    bool persist, help;
};

static bool wrong(const char *text)
{
    fprintf(stderr, "aliquot: %s\nTry 'aliquot set --help'.\n", text);
    return false;
}

static bool parse(int argc, char **argv, struct set_options *o)
{
    int index = 0;

    optind = 0; /* begins anew */
    for (int option; (option = getopt_long(argc, argv, "", long_options, &index)) != -1;) {
        switch (option) {
        case OPT_KNOB:
            if (!knobs_take(&o->knobs, long_options[index].name, optarg)) {
                fprintf(stderr, "Try 'aliquot set --help'.\n");
                return false;
            }
            break;
        case OPT_PERSIST:
            o->persist = true;
            break;
        case OPT_JSON:
            o->common.json = true;
            break;
        case OPT_SOCKET_DIR:
            o->common.socket_dir = optarg;
            break;
        case OPT_HELP:
            o->help = true;
            return true;
        default: /* getopt_long has named it */
            fprintf(stderr, "Try 'aliquot set --help'.\n");
            return false;
        }
    }
    if (argc - optind < 1)
        return wrong("the name of a vGPU is missing");
    if (argc - optind > 1)
        return wrong("one vGPU at a time");
    o->name = argv[optind];
    return knobs_given(&o->knobs) ||
           wrong("nothing to set: give --weight, --reservation, --cap or --slice");
}

static int call(const struct set_options *o, sd_json_variant **ret)
{
    sd_json_variant *parameters = NULL;
    sd_varlink *link = NULL;
    _cleanup_free_ char *path = NULL;
    int r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("name", o->name),
                           SD_JSON_BUILD_PAIR_BOOLEAN("persist", o->persist),
                           KNOBS_BUILD_PAIRS(&o->knobs));
    if (r < 0)
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    if (r >= 0)
        r = client_connect(&o->common, false, &link, &path);
    if (r >= 0)
        r = client_call_on(link, path, "SetVGPU", parameters, ret);
    sd_varlink_unref(link);
    sd_json_variant_unref(parameters);
    return r;
}

int set_run(const struct cli_options *options, int argc, char **argv)
{
    struct set_options o = {.common = *options};
    sd_json_variant *answer = NULL;

    if (!parse(argc, argv, &o))
        return EXIT_USAGE;
    if (o.help) {
        command_print_help(command_find("set"));
        return EXIT_FINE;
    }
    if (call(&o, &answer) < 0)
        return EXIT_FAILED;
    int status = EXIT_FINE;
    if (o.common.json) {
        status = client_print_json(answer);
    } else {
        const char *reservation = client_string(answer, "reservation");
        const char *cap = client_string(answer, "cap"), *slice = client_string(answer, "slice");
        printf("%s: weight %" PRId64 ", reservation %s, cap %s, slice %s\n", o.name,
               client_integer(answer, "weight"), reservation ? reservation : "-", cap ? cap : "-",
               slice ? slice : "-");
    }
    sd_json_variant_unref(answer);
    return status;
}
