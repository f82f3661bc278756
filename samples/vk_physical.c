/* SPDX-License-Identifier: MIT */
#include "samples/vk_physical.h"

#include "samples/sample_options.h"
#include "samples/vk_result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vk_physical_type_name(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return "CPU";
    default:
        return "other";
    }
}

static int complain(int error, const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    return -error;
}

static int create_instance(VkInstance *ret)
{
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = program_invocation_short_name,
        .pEngineName = "aliquot-samples",
        .apiVersion = VK_API_VERSION_1_1,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &application,
    };
    return vk_check(vkCreateInstance(&info, NULL, ret), "vkCreateInstance");
}

static bool is_cpu(VkPhysicalDevice device)
{
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    return properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
}

static bool has_name(VkPhysicalDevice device, const char *part)
{
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    return strcasestr(properties.deviceName, part) != NULL;
}

static VkPhysicalDevice choose(const struct vk_physical *p, const char *which)
{
    uint32_t number;
    if (which && sample_parse_u32(which, UINT32_MAX, &number))
        return number < p->count ? p->devices[number] : VK_NULL_HANDLE;
    for (uint32_t i = 0; i < p->count; i++) {
        if (which ? has_name(p->devices[i], which) : !is_cpu(p->devices[i]))
            return p->devices[i];
    }
    return which ? VK_NULL_HANDLE : p->devices[0];
}

static void read_driver(struct vk_physical *p)
{
    if (!vk_physical_has(p, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)) {
        snprintf(p->driver, sizeof(p->driver), "version 0x%x", p->properties.driverVersion);
        return;
    }
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
    };
    VkPhysicalDeviceProperties2 all = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = &driver,
    };
    vkGetPhysicalDeviceProperties2(p->device, &all);
    snprintf(p->driver, sizeof(p->driver), "%s %s", driver.driverName, driver.driverInfo);
}

static int find_devices(struct vk_physical *p)
{
    p->count = VK_PHYSICAL_MAX;
    VkResult result = vkEnumeratePhysicalDevices(p->instance, &p->count, p->devices);
    /* With more than fit, those that do fit will have to do. */
    int r = vk_check(result == VK_INCOMPLETE ? VK_SUCCESS : result, "vkEnumeratePhysicalDevices");
    if (r == 0 && p->count == 0)
        r = complain(ENODEV, "no Vulkan device: install a driver, or see whether VK_DRIVER_FILES "
                             "names the right one");
    return r;
}

int vk_physical_open(struct vk_physical *p)
{
    *p = (struct vk_physical){0};
    int r = create_instance(&p->instance);
    if (r < 0)
        return r;
    r = find_devices(p);
    if (r < 0)
        vk_physical_close(p);
    return r;
}

int vk_physical_choose(struct vk_physical *p, const char *which)
{
    p->device = choose(p, which);
    if (!p->device) {
        fprintf(stderr, "%s: no device \"%s\"; vk-info --list shows what there is\n",
                program_invocation_short_name, which);
        return -ENODEV;
    }
    vkGetPhysicalDeviceProperties(p->device, &p->properties);
    vkGetPhysicalDeviceMemoryProperties(p->device, &p->memory);
    if (p->properties.apiVersion < VK_API_VERSION_1_1)
        return complain(ENOTSUP, "the device has Vulkan 1.0, 1.1 is needed; vk-info --list shows "
                                 "what there is");
    read_driver(p);
    return 0;
}

void vk_physical_close(struct vk_physical *p)
{
    vkDestroyInstance(p->instance, NULL);
    *p = (struct vk_physical){0};
}

bool vk_physical_has(const struct vk_physical *p, const char *extension)
{
    uint32_t count = 0;
    bool found = false;
    if (vkEnumerateDeviceExtensionProperties(p->device, NULL, &count, NULL) != VK_SUCCESS)
        return false;
    VkExtensionProperties *all = calloc(count + 1, sizeof(*all));
    if (all && vkEnumerateDeviceExtensionProperties(p->device, NULL, &count, all) == VK_SUCCESS) {
        for (uint32_t i = 0; i < count && !found; i++)
            found = strcmp(all[i].extensionName, extension) == 0;
    }
    free(all);
    return found;
}
