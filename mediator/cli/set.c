/* SPDX-License-Identifier: MIT */
#include "mediator/cli/set.h"

#include "mediator/base/util.h"
#include "mediator/cli/arguments.h"
#include "mediator/cli/client.h"
#include "mediator/cli/knobs.h"

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

static const struct option long_options[] = {
    {"weight", required_argument, NULL, 0},
    {"reservation", required_argument, NULL, 0},
    {"cap", required_argument, NULL, 0},
    {"slice", required_argument, NULL, 0},
    {"persist", no_argument, NULL, 0},
    {"json", no_argument, NULL, 0},
    {"socket-dir", required_argument, NULL, 0},
    {"help", no_argument, NULL, 0},
    {0},
};

struct set_options {
    struct cli_options common;
    struct knobs knobs;
    const char *name; /* borrowed from argv */
    bool persist;
};

static bool take(void *opaque, const char *name, const char *value)
{
    struct set_options *o = opaque;

    if (strcmp(name, "persist") != 0)
        return knobs_take(&o->knobs, name, value);
    o->persist = true;
    return true;
}

static bool check(void *opaque, int n_words, char **words)
{
    struct set_options *o = opaque;

    if (n_words < 1)
        return arguments_wrong("the name of a vGPU is missing");
    if (n_words > 1)
        return arguments_wrong("one vGPU at a time");
    o->name = words[0];
    return knobs_given(&o->knobs) ||
           arguments_wrong("nothing to set: give --weight, --reservation, --cap or --slice");
}

static const struct arguments arguments = {"set", long_options, "", take, check};

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
    int status = arguments_parse(&arguments, argc, argv, &o.common, &o);

    if (status >= 0)
        return status;
    if (call(&o, &answer) < 0)
        return EXIT_FAILED;
    status = EXIT_FINE;
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
