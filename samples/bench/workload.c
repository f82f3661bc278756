/* SPDX-License-Identifier: MIT */
#include "samples/bench/workload.h"
#include "samples/frame_times.h"
#include "samples/json_file.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 3600

struct options {
    const char *workload; /* NULL = all */
    const char *json;     /* NULL = none */
    double seconds;
};

/* One for each workload that ran. */
struct result {
    const char *name;
    double figure;
};

struct results {
    struct result *all; /* owned */
    unsigned count;
};

/* ---- command line --------------------------------------------------------------------------- */

static void print_usage(const struct workload_driver *driver)
{
    printf("Usage: %s [OPTION]...\n"
           "%s\n"
           "\n"
           "  --workload NAME   only that one; \"list\" names them\n"
           "  --seconds S       how long each is measured (1)\n"
           "%s"
           "  --json FILE       write the figures\n"
           "  --help\n",
           driver->program, driver->summary, driver->where_help);
}

static void list(const struct workload_driver *driver)
{
    for (unsigned i = 0; i < driver->count; i++)
        printf("%-18s%s\n", driver->workloads[i].name, driver->workloads[i].text);
}

static bool is_workload(const struct workload_driver *driver, const char *name)
{
    for (unsigned i = 0; i < driver->count; i++) {
        if (strcmp(driver->workloads[i].name, name) == 0)
            return true;
    }
    fprintf(stderr, "%s: no workload '%s' (see --workload list)\n", driver->program, name);
    return false;
}

static bool parse_seconds(const struct workload_driver *driver, const char *text, double *ret)
{
    char *end;
    double seconds = strtod(text, &end);

    if (*end || end == text || !(seconds > 0 && seconds <= SECONDS_MAX)) {
        fprintf(stderr, "%s: --seconds: '%s' is not in 0 … %d\n", driver->program, text,
                SECONDS_MAX);
        return false;
    }
    *ret = seconds;
    return true;
}

/* 0, or -1 with the exit status. */
static int parse(const struct workload_driver *driver, struct options *o, int argc, char **argv,
                 int *ret_exit)
{
    enum { WORKLOAD = 1, SECONDS, WHERE, JSON, HELP };
    const struct option known[] = {
        {"workload", required_argument, NULL, WORKLOAD},
        {"seconds", required_argument, NULL, SECONDS},
        {driver->where, required_argument, NULL, WHERE},
        {"json", required_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {0},
    };
    int option;

    *o = (struct options){.seconds = 1};
    *ret_exit = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (option) {
        case WORKLOAD:
            o->workload = optarg;
            if (strcmp(optarg, "list") == 0) {
                list(driver);
                *ret_exit = 0;
                return -1;
            }
            if (!is_workload(driver, optarg))
                return -1;
            break;
        case SECONDS:
            if (!parse_seconds(driver, optarg, &o->seconds))
                return -1;
            break;
        case WHERE:
            if (driver->parse_where(optarg) < 0) {
                fprintf(stderr, "%s: --%s: unknown '%s'\n", driver->program, driver->where, optarg);
                return -1;
            }
            break;
        case JSON:
            o->json = optarg;
            break;
        case HELP:
            print_usage(driver);
            *ret_exit = 0;
            return -1;
        default:
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is '%s'?\n", driver->program, argv[optind]);
        return -1;
    }
    return 0;
}

/* ---- measuring ------------------------------------------------------------------------------ */

/* Rounds a second; or a negative value after a message. */
static double measure(const struct workload_driver *driver, const struct workload *workload,
                      double seconds)
{
    uint32_t frame = 0;

    if (workload->set_up && workload->set_up() < 0)
        return -1;
    /* Caches fill, shaders get compiled, allocators find their size. */
    uint64_t start_ns = frame_now_ns();
    do {
        if (workload->frame(frame++) < 0)
            return -1;
    } while (frame < 3 || (double)(frame_now_ns() - start_ns) < seconds * 0.2e9);

    uint32_t first = frame;
    uint64_t elapsed_ns;
    start_ns = frame_now_ns();
    do {
        if (workload->frame(frame++) < 0)
            return -1;
        elapsed_ns = frame_now_ns() - start_ns;
    } while ((double)elapsed_ns < seconds * 1e9);
    return driver->check() < 0 ? -1 : (frame - first) * 1e9 / (double)elapsed_ns;
}

static int run(const struct workload_driver *driver, const struct workload *workload,
               double seconds, double *ret_figure)
{
    if (driver->open() < 0)
        return -1;
    double per_s = measure(driver, workload, seconds);
    if (per_s >= 0) {
        bool scaled = workload->amount > 0;
        *ret_figure = scaled ? per_s * workload->amount : per_s;
        printf("%-18s%10.1f %s  %s\n", workload->name, *ret_figure, scaled ? workload->unit : "fps",
               driver->renderer());
        fflush(stdout);
    }
    driver->close();
    return per_s < 0 ? -1 : 0;
}

static void print_json(FILE *f, const void *data)
{
    const struct results *results = data;

    for (unsigned i = 0; i < results->count; i++)
        fprintf(f, "%s  \"%s\": %.2f", i ? ",\n" : "{\n", results->all[i].name,
                results->all[i].figure);
    fputs(results->count ? "\n}\n" : "{}\n", f);
}

int workload_main(const struct workload_driver *driver, int argc, char **argv)
{
    struct options options;
    struct results results = {0};
    int status;

    if (parse(driver, &options, argc, argv, &status) < 0)
        return status;
    results.all = calloc(driver->count, sizeof(*results.all));
    if (!results.all) {
        fprintf(stderr, "%s: no memory\n", driver->program);
        return 1;
    }
    status = 0;
    for (unsigned i = 0; i < driver->count && status == 0; i++) {
        const struct workload *workload = &driver->workloads[i];
        struct result *result = &results.all[results.count];
        if (options.workload && strcmp(options.workload, workload->name) != 0)
            continue;
        result->name = workload->name;
        status = run(driver, workload, options.seconds, &result->figure) < 0;
        results.count += status == 0;
    }
    /* What was measured before something failed is written, too. */
    if (options.json && json_file_write(options.json, print_json, &results) < 0)
        status = 1;
    free(results.all);
    return status;
}
