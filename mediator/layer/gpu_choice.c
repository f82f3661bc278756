/* SPDX-License-Identifier: MIT */
#include "mediator/layer/gpu_choice.h"

#include "mediator/base/util.h"
#include "mediator/layer/device.h"

#include <stdio.h>
#include <string.h>

/* Of one identity, the longest is a UUID. */
#define WORD_BYTES 64

/* ---- the choice ----------------------------------------------------------------------------- */

static bool parse_uuid(const char *text, uint8_t uuid[static VK_UUID_SIZE])
{
    char digits[3] = "", *end;

    if (strlen(text) != (size_t)2 * VK_UUID_SIZE)
        return false;
    for (size_t i = 0; i < VK_UUID_SIZE; i++) {
        memcpy(digits, text + 2 * i, 2);
        uuid[i] = (uint8_t)strtoul(digits, &end, 16);
        if (end != digits + 2)
            return false;
    }
    return true;
}

static bool parse_word(const char *word, struct gpu_choice *c)
{
    unsigned major, minor;
    int end = 0;

    if (strcmp(word, "cpu") == 0) {
        c->cpu = true;
        return true;
    }
    if (strcmp(word, "only") == 0) {
        c->only = true;
        return true;
    }
    if (strncmp(word, "uuid:", 5) == 0) {
        c->has_uuid = parse_uuid(word + 5, c->uuid);
        return c->has_uuid;
    }
    if (sscanf(word, "drm:%u:%u%n", &major, &minor, &end) == 2 && word[end] == '\0') {
        c->node_major = major;
        c->node_minor = minor;
        c->has_node = true;
        return true;
    }
    end = 0;
    c->has_pci = sscanf(word, "pci:%x:%x:%x.%x%n", &c->pci_domain, &c->pci_bus, &c->pci_device,
                        &c->pci_function, &end) == 4 &&
                 word[end] == '\0';
    return c->has_pci;
}

bool gpu_choice_parse(const char *text, struct gpu_choice *ret)
{
    struct gpu_choice c = {.any = !text};
    char word[WORD_BYTES];

    while (text) {
        size_t len = strcspn(text, ",");
        if (len >= sizeof(word))
            return false;
        memcpy(word, text, len);
        word[len] = '\0';
        if (!parse_word(word, &c))
            return false;
        text = text[len] == ',' ? text + len + 1 : NULL;
    }
    *ret = c;
    return true;
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

struct identity {
    bool is_cpu, has_node, has_pci;
    int64_t node_major, node_minor;
    VkPhysicalDevicePCIBusInfoPropertiesEXT pci;
    uint8_t uuid[VK_UUID_SIZE];
};

/* Drivers pass over structs that they don't know. */
static void identify(const struct layer_instance *i, VkPhysicalDevice gpu, struct identity *ret)
{
    VkPhysicalDeviceDrmPropertiesEXT drm = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRM_PROPERTIES_EXT};
    VkPhysicalDevicePCIBusInfoPropertiesEXT pci = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT,
        .pNext = &drm,
        .pciFunction = UINT32_MAX};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES,
                                       .pNext = &pci};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};

    i->table.GetPhysicalDeviceProperties2(gpu, &properties);
    *ret = (struct identity){
        .is_cpu = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU,
        .has_node = drm.hasRender == VK_TRUE,
        .node_major = drm.renderMajor,
        .node_minor = drm.renderMinor,
        .has_pci = pci.pciFunction != UINT32_MAX,
        .pci = pci,
    };
    memcpy(ret->uuid, id.deviceUUID, sizeof(ret->uuid));
}

/* By what both know, the surest first. */
static bool is_chosen(const struct gpu_choice *c, const struct identity *d)
{
    if (c->cpu || d->is_cpu)
        return c->cpu && d->is_cpu;
    if (c->only)
        return true;
    if (c->has_node && d->has_node)
        return c->node_major == d->node_major && c->node_minor == d->node_minor;
    if (c->has_pci && d->has_pci)
        return c->pci_domain == d->pci.pciDomain && c->pci_bus == d->pci.pciBus &&
               c->pci_device == d->pci.pciDevice && c->pci_function == d->pci.pciFunction;
    return c->has_uuid && memcmp(c->uuid, d->uuid, sizeof(c->uuid)) == 0;
}

/* Those that there are below us; the caller frees them. */
static VkResult enumerate_below(const struct layer_instance *i, uint32_t *ret_count,
                                VkPhysicalDevice **ret)
{
    VkPhysicalDevice *gpus = NULL;
    uint32_t count = 0;
    VkResult result;

    do { /* one may come in between */
        result = i->table.EnumeratePhysicalDevices(i->handle, &count, NULL);
        if (result < 0)
            break;
        free(gpus);
        gpus = calloc(count + 1, sizeof(VkPhysicalDevice));
        result = gpus ? i->table.EnumeratePhysicalDevices(i->handle, &count, gpus)
                      : VK_ERROR_OUT_OF_HOST_MEMORY;
    } while (result == VK_INCOMPLETE);
    if (result < 0) {
        free(gpus);
        return result;
    }
    *ret_count = count;
    *ret = gpus;
    return VK_SUCCESS;
}

/* Leaves those that are chosen, in their order. */
static VkResult enumerate_chosen(const struct layer_instance *i, uint32_t *ret_count,
                                 VkPhysicalDevice **ret)
{
    uint32_t count, chosen = 0;
    VkPhysicalDevice *gpus;
    VkResult result = enumerate_below(i, &count, &gpus);

    if (result < 0)
        return result;
    for (uint32_t k = 0; k < count && !i->choice.any; k++) {
        struct identity identity;

        identify(i, gpus[k], &identity);
        if (is_chosen(&i->choice, &identity))
            gpus[chosen++] = gpus[k];
    }
    if (i->choice.any)
        chosen = count;
    if (i->choice.only && chosen > 1)
        chosen = 0;
    *ret_count = chosen;
    *ret = gpus;
    return VK_SUCCESS;
}

VkResult VKAPI_CALL gpu_choice_enumerate(VkInstance instance, uint32_t *count,
                                         VkPhysicalDevice *ret)
{
    const struct layer_instance *i = dispatch_find(dispatch_key(instance));
    VkPhysicalDevice *gpus;
    uint32_t there, room = *count;
    VkResult result = enumerate_chosen(i, &there, &gpus);

    if (result < 0)
        return result;
    *count = ret ? MIN(there, room) : there;
    if (ret && *count > 0)
        memcpy(ret, gpus, *count * sizeof(VkPhysicalDevice));
    free(gpus);
    return ret && there > room ? VK_INCOMPLETE : VK_SUCCESS;
}

/* ---- groups --------------------------------------------------------------------------------- */

static VkResult groups_below(const struct layer_instance *i, uint32_t *ret_count,
                             VkPhysicalDeviceGroupProperties **ret)
{
    VkPhysicalDeviceGroupProperties *groups = NULL;
    uint32_t count = 0;
    VkResult result;

    do {
        result = i->table.EnumeratePhysicalDeviceGroups(i->handle, &count, NULL);
        if (result < 0)
            break;
        free(groups);
        groups = calloc(count + 1, sizeof(*groups));
        for (uint32_t k = 0; groups && k < count; k++)
            groups[k].sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES;
        result = groups ? i->table.EnumeratePhysicalDeviceGroups(i->handle, &count, groups)
                        : VK_ERROR_OUT_OF_HOST_MEMORY;
    } while (result == VK_INCOMPLETE);
    if (result < 0) {
        free(groups);
        return result;
    }
    *ret_count = count;
    *ret = groups;
    return VK_SUCCESS;
}

static bool is_among(VkPhysicalDevice gpu, const VkPhysicalDevice *gpus, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (gpus[k] == gpu)
            return true;
    return false;
}

/* Takes out of the group what is not among those. */
static void reduce(VkPhysicalDeviceGroupProperties *group, const VkPhysicalDevice *gpus,
                   uint32_t count)
{
    uint32_t left = 0;

    for (uint32_t k = 0; k < group->physicalDeviceCount; k++)
        if (is_among(group->physicalDevices[k], gpus, count))
            group->physicalDevices[left++] = group->physicalDevices[k];
    group->physicalDeviceCount = left;
    if (left < 2) /* there is no subset of one */
        group->subsetAllocation = VK_FALSE;
}

VkResult VKAPI_CALL gpu_choice_enumerate_groups(VkInstance instance, uint32_t *count,
                                                VkPhysicalDeviceGroupProperties *ret)
{
    const struct layer_instance *i = dispatch_find(dispatch_key(instance));
    _cleanup_free_ VkPhysicalDeviceGroupProperties *groups = NULL;
    VkPhysicalDevice *gpus = NULL;
    uint32_t n_gpus = 0, n_groups = 0, there = 0, room = *count;
    VkResult result = enumerate_chosen(i, &n_gpus, &gpus);

    if (result == VK_SUCCESS)
        result = groups_below(i, &n_groups, &groups);
    for (uint32_t k = 0; k < n_groups && result == VK_SUCCESS; k++) {
        VkPhysicalDeviceGroupProperties *group = &groups[k];

        reduce(group, gpus, n_gpus);
        if (group->physicalDeviceCount == 0)
            continue;
        if (ret && there < room) {
            group->sType = ret[there].sType; /* the caller's, and what he has behind it */
            group->pNext = ret[there].pNext;
            ret[there] = *group;
        }
        there++;
    }
    free(gpus);
    if (result < 0)
        return result;
    *count = ret ? MIN(there, room) : there;
    return ret && there > room ? VK_INCOMPLETE : VK_SUCCESS;
}
