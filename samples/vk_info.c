/* SPDX-License-Identifier: MIT */
/*
 * vk-info: what a Vulkan device has, as this program sees it, and how that compares with a report
 * that it wrote elsewhere: a guest's device beside the host's. Talks to the Vulkan driver alone and
 * trusts its command line; the other report is only printed.
 */
#include "samples/json_file.h"
#include "samples/json_table.h"
#include "samples/vk_inventory.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *device, *json, *beside; /* borrowed from argv, NULL = none */
    bool list;
};

static const char usage_text[] =
    "Usage: vk-info [OPTION]...\n"
    "Says what a Vulkan device has: memory and its budget, queues, limits, extensions.\n\n"
    "  --list            only the devices, with their numbers\n"
    "  --device D        number or part of the name (the first that is no CPU, else the first)\n"
    "  --json FILE       write a report, and print nothing; /dev/stdout will do\n"
    "  --beside FILE     print it beside a report that was written elsewhere, with a mark where\n"
    "                    they differ\n"
    "  --help\n";

static int complain(const char *what, int error)
{
    fprintf(stderr, "vk-info: %s: %s\n", what, strerror(-error));
    return error;
}

static int list(const struct vk_physical *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(p->devices[i], &properties);
        printf("%u  %s (%s, Vulkan %u.%u)\n", i, properties.deviceName,
               vk_physical_type_name(properties.deviceType),
               VK_API_VERSION_MAJOR(properties.apiVersion),
               VK_API_VERSION_MINOR(properties.apiVersion));
    }
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static void print_text(FILE *f, const void *text)
{
    fputs(text, f);
}

static int write_report(sd_json_variant *here, const char *path)
{
    char *text = NULL;
    int r = sd_json_variant_format(here, SD_JSON_FORMAT_PRETTY, &text);
    r = r < 0 ? complain(path, r) : json_file_write(path, print_text, text);
    free(text);
    return r;
}

static int print(sd_json_variant *here)
{
    struct json_table table = {0};
    int r = json_table_add(&table, here, 0);
    if (r == 0)
        r = json_table_print(&table, NULL);
    json_table_finish(&table);
    return r < 0 ? complain("report", r) : 0;
}

static int print_beside(sd_json_variant *here, const char *path)
{
    const char *const titles[2] = {"here", path};
    struct json_table table = {0};
    sd_json_variant *there = NULL;
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): no flag is a flag set too
    int r = sd_json_parse_file(NULL, path, 0, &there, NULL, NULL);
    if (r >= 0 && !sd_json_variant_is_object(there))
        r = -EBADMSG;
    if (r >= 0)
        r = json_table_add(&table, here, 0);
    if (r >= 0)
        r = json_table_add(&table, there, 1);
    if (r >= 0)
        r = json_table_print(&table, titles);
    json_table_finish(&table);
    sd_json_variant_unref(there);
    return r < 0 ? complain(path, r) : 0;
}

static int run(const struct options *o, struct vk_physical *p)
{
    sd_json_variant *here = NULL;
    if (o->list)
        return list(p);
    int r = vk_physical_choose(p, o->device);
    if (r == 0)
        r = vk_inventory(p, &here);
    if (r == 0 && o->json)
        r = write_report(here, o->json);
    if (r == 0 && o->beside)
        r = print_beside(here, o->beside);
    else if (r == 0 && !o->json)
        r = print(here);
    sd_json_variant_unref(here);
    return r;
}

/* 0, or -1 with the exit status. */
static int parse(struct options *o, int argc, char **argv, int *ret_exit)
{
    static const struct option known[] = {
        {"list", no_argument, NULL, 'l'},       {"device", required_argument, NULL, 'd'},
        {"json", required_argument, NULL, 'j'}, {"beside", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    int option;
    *o = (struct options){0};
    *ret_exit = 2;
    while ((option = getopt_long(argc, argv, "h", known, NULL)) >= 0) {
        switch (option) {
        case 'l':
            o->list = true;
            break;
        case 'd':
            o->device = optarg;
            break;
        case 'j':
            o->json = optarg;
            break;
        case 'b':
            o->beside = optarg;
            break;
        case 'h':
            fputs(usage_text, stdout);
            *ret_exit = 0;
            return -1;
        default:
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "vk-info: unexpected argument \"%s\"\n", argv[optind]);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct vk_physical physical;
    struct options options;
    int exit_code;
    if (parse(&options, argc, argv, &exit_code) < 0)
        return exit_code;
    if (vk_physical_open(&physical) < 0)
        return 1;
    int r = run(&options, &physical);
    vk_physical_close(&physical);
    return r < 0 ? 1 : 0;
}
