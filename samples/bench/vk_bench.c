/* SPDX-License-Identifier: MIT */
/*
 * vk-bench: how often a second small Vulkan workloads can be done, natively or on a vGPU, whatever
 * the environment makes of Vulkan. Who runs it: the benchmark scripts and people; it trusts its
 * command line and ends by itself.
 */
#include "samples/bench/vk_workload.h"

#include <stddef.h>

static const char *device_name; /* NULL = the default */

static int parse_device(const char *text)
{
    device_name = text;
    return 0;
}

static int open_device(void)
{
    return vk_workload_open(device_name);
}

/* Each call has been checked. */
static int check(void)
{
    return 0;
}

int main(int argc, char **argv)
{
    const struct workload_driver driver = {
        .program = "vk-bench",
        .summary = "Measures how often a second small Vulkan workloads can be done.",
        .where = "device",
        .where_help =
            "  --device D        number or part of the name (the first that is no CPU, else the\n"
            "                    first); vk-info --list shows them\n",
        .parse_where = parse_device,
        .workloads = vk_workloads,
        .count = vk_workload_count,
        .open = open_device,
        .renderer = vk_workload_renderer,
        .check = check,
        .close = vk_workload_close,
    };
    return workload_main(&driver, argc, argv);
}
