/* SPDX-License-Identifier: MIT */
#include "mediator/cli/list.h"

#include "mediator/base/util.h"
#include "mediator/cli/client.h"
#include "mediator/cli/format.h"
#include "mediator/cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "-" where the field is missing or null. */
static const char *text_of(sd_json_variant *object, const char *key)
{
    const char *text = client_string(object, key);
    return text ? text : "-";
}

static const char *basename_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* 80 characters at most: 72 in the columns and 8 between them. VK are contexts of Vulkan. */
static const struct table_column columns[] = {
    {"NAME", 13, false},  {"STATE", 9, false}, {"PEER", 12, false},
    {"GPU", 10, false},   {"WEIGHT", 6, true}, {"GPUTIME", 7, true},
    {"WAITING", 7, true}, {"MEMORY", 6, true}, {"VK", 2, true},
};

static int print_table(sd_json_variant *vgpus)
{
    struct table table;
    int r = 0;
    table_init(&table, columns, ARRAY_SIZE(columns));
    for (size_t i = 0; i < sd_json_variant_elements(vgpus) && r == 0; i++) {
        sd_json_variant *v = sd_json_variant_by_index(vgpus, i);
        sd_json_variant *peer = sd_json_variant_by_key(v, "peer");
        char weight[FORMAT_MAX], gpu_time[FORMAT_MAX], waiting[FORMAT_MAX], memory[FORMAT_MAX];
        char vulkan[FORMAT_MAX];
        char who[64] = "-";
        if (peer && sd_json_variant_is_object(peer))
            snprintf(who, sizeof(who), "%" PRId64 " %s", client_integer(peer, "pid"),
                     text_of(peer, "comm"));
        format_count(client_integer(v, "weight"), weight);
        format_usec(client_integer(v, "gpuUsec"), gpu_time);
        format_usec(client_integer(v, "waitingUsec"), waiting);
        format_bytes(client_memory_bytes(v), memory);
        format_count(client_integer(v, "vulkanContexts"), vulkan);
        const char *const row[] = {text_of(v, "name"),
                                   text_of(v, "state"),
                                   who,
                                   basename_of(text_of(v, "gpu")),
                                   weight,
                                   gpu_time,
                                   waiting,
                                   memory,
                                   vulkan};
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
        status = options->json ? client_print_json(vgpus) : print_table(vgpus);
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
        status = client_print_json(answer);
    else
        printf("aliquotd %s, pid %" PRId64 "\n"
               "GPU:     %s (%s)\n"
               "Sockets: %s\n"
               "Metrics: %s\n",
               text_of(answer, "version"), client_integer(answer, "pid"), text_of(answer, "gpu"),
               text_of(answer, "why"), text_of(answer, "socketDir"), text_of(answer, "metrics"));
    sd_json_variant_unref(answer);
    return status;
}
