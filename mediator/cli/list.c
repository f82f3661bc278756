/* SPDX-License-Identifier: MIT */
#include "mediator/cli/list.h"

#include "mediator/base/util.h"
#include "mediator/cli/client.h"
#include "mediator/cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int print_json(sd_json_variant *v)
{
    int r = sd_json_variant_dump(v, SD_JSON_FORMAT_PRETTY_AUTO, stdout, NULL);
    if (r < 0 || fflush(stdout) != 0) {
        fprintf(stderr, "aliquot: can't write: %s\n", strerror(r < 0 ? -r : errno));
        return EXIT_FAILED;
    }
    return EXIT_FINE;
}

/* "-" where the field is missing or null. */
static const char *text_of(sd_json_variant *object, const char *key)
{
    const char *text = client_string(object, key);
    return text ? text : "-";
}

static int64_t number_of(sd_json_variant *object, const char *key)
{
    sd_json_variant *v = object ? sd_json_variant_by_key(object, key) : NULL;
    return v && sd_json_variant_is_integer(v) ? sd_json_variant_integer(v) : 0;
}

static const char *basename_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "15.2M": at most five characters. */
static void format_bytes(int64_t bytes, char *buf, size_t size)
{
    static const char units[] = "KMGTPE";
    if (bytes < 1024) {
        snprintf(buf, size, "%" PRId64, bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1000 && unit + 2 < sizeof(units); unit++)
        value /= 1024;
    snprintf(buf, size, value < 100 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* "12345", "123k", "4.5M": at most five characters. */
static void format_count(int64_t count, char *buf, size_t size)
{
    static const char units[] = "kMGTPE";
    if (count < 100000) {
        snprintf(buf, size, "%" PRId64, count);
        return;
    }
    double value = (double)count / 1000;
    size_t unit = 0;
    for (; value >= 1000 && unit + 2 < sizeof(units); unit++)
        value /= 1000;
    snprintf(buf, size, value < 100 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* 80 characters at most: 73 in the columns and 7 between them. */
static const struct table_column columns[] = {
    {"NAME", 14, false},   {"STATE", 9, false}, {"PEER", 14, false}, {"GPU", 10, false},
    {"RENDERER", 8, true}, {"RES", 5, true},    {"MEMORY", 6, true}, {"SUBMITS", 7, true},
};

static int print_table(sd_json_variant *vgpus)
{
    struct table table;
    int r = 0;
    table_init(&table, columns, ARRAY_SIZE(columns));
    for (size_t i = 0; i < sd_json_variant_elements(vgpus) && r == 0; i++) {
        sd_json_variant *v = sd_json_variant_by_index(vgpus, i);
        sd_json_variant *peer = sd_json_variant_by_key(v, "peer");
        int64_t pid = number_of(v, "rendererPid");
        char renderer[24] = "-", resources[24], memory[24], submits[24], who[64] = "-";
        if (pid > 0)
            snprintf(renderer, sizeof(renderer), "%" PRId64, pid);
        if (peer && sd_json_variant_is_object(peer))
            snprintf(who, sizeof(who), "%" PRId64 " %s", number_of(peer, "pid"),
                     text_of(peer, "comm"));
        format_bytes(number_of(v, "resourceBytes"), memory, sizeof(memory));
        format_count(number_of(v, "resources"), resources, sizeof(resources));
        format_count(number_of(v, "submits"), submits, sizeof(submits));
        const char *const row[] = {
            text_of(v, "name"), text_of(v, "state"), who,    basename_of(text_of(v, "gpu")),
            renderer,           resources,           memory, submits};
        for (size_t c = 0; c < ARRAY_SIZE(row) && r == 0; c++)
            r = table_add(&table, row[c]);
    }
    if (r == 0)
        table_print(&table, stdout);
    else
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    table_finish(&table);
    return r == 0 ? EXIT_FINE : EXIT_FAILED;
}

int list_run(const struct cli_options *options, int argc, char **argv)
{
    sd_json_variant *answer = NULL;
    if (client_call(options, "ListVGPUs", &answer) < 0)
        return EXIT_FAILED;
    int status = EXIT_FAILED;
    sd_json_variant *vgpus = sd_json_variant_by_key(answer, "vgpus");
    if (!vgpus || !sd_json_variant_is_array(vgpus))
        fprintf(stderr, "aliquot: the daemon's answer has no list of vGPUs\n");
    else
        status = options->json ? print_json(vgpus) : print_table(vgpus);
    sd_json_variant_unref(answer);
    return status;
}

int info_run(const struct cli_options *options, int argc, char **argv)
{
    sd_json_variant *answer = NULL;
    if (client_call(options, "GetInfo", &answer) < 0)
        return EXIT_FAILED;
    int status = EXIT_FINE;
    if (options->json)
        status = print_json(answer);
    else
        printf("aliquotd %s, pid %" PRId64 "\n"
               "GPU:     %s (%s)\n"
               "Sockets: %s\n",
               text_of(answer, "version"), number_of(answer, "pid"), text_of(answer, "gpu"),
               text_of(answer, "why"), text_of(answer, "socketDir"));
    sd_json_variant_unref(answer);
    return status;
}
