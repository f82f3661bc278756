/* SPDX-License-Identifier: MIT */
#include "samples/vk_report.h"

#include "samples/json_file.h"

#include <errno.h>

#define VERSION_FORMAT "%u.%u.%u"
#define VERSION_PARTS(v) VK_API_VERSION_MAJOR(v), VK_API_VERSION_MINOR(v), VK_API_VERSION_PATCH(v)

void vk_report_print(const struct vk_physical *p)
{
    printf("VK_DEVICE: %s (%s)\nVK_DRIVER: %s\nVK_VERSION: " VERSION_FORMAT "\n",
           p->properties.deviceName, vk_physical_type_name(p->properties.deviceType), p->driver,
           VERSION_PARTS(p->properties.apiVersion));
    fflush(stdout);
}

void vk_report_print_json(const struct vk_physical *p, FILE *f)
{
    fprintf(f, "\"program\": ");
    json_print_string(f, program_invocation_short_name);
    fprintf(f, ", \"vk_device\": ");
    json_print_string(f, p->properties.deviceName);
    fprintf(f, ", \"vk_driver\": ");
    json_print_string(f, p->driver);
    fprintf(f, ", \"vk_version\": \"" VERSION_FORMAT "\"", VERSION_PARTS(p->properties.apiVersion));
}
