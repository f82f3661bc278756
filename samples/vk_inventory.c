/* SPDX-License-Identifier: MIT */
#include "samples/vk_inventory.h"

#include "samples/vk_result.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES_MAX 32
#define CLEANUP __attribute__((cleanup(unref_variant)))

static void unref_variant(sd_json_variant **v)
{
    sd_json_variant_unref(*v);
}

/* ---- limits --------------------------------------------------------------------------------- */

enum kind { U32, U64, SIZE, FLOAT };

/* Those that programs run into; count: of an array. */
static const struct limit {
    const char *name;
    size_t offset;
    enum kind kind;
    unsigned count;
} limits[] = {
#define LIMIT(kind, name, count) {#name, offsetof(VkPhysicalDeviceLimits, name), kind, count}
    LIMIT(U32, maxImageDimension1D, 1),
    LIMIT(U32, maxImageDimension2D, 1),
    LIMIT(U32, maxImageDimension3D, 1),
    LIMIT(U32, maxImageDimensionCube, 1),
    LIMIT(U32, maxImageArrayLayers, 1),
    LIMIT(U32, maxTexelBufferElements, 1),
    LIMIT(U32, maxUniformBufferRange, 1),
    LIMIT(U32, maxStorageBufferRange, 1),
    LIMIT(U32, maxPushConstantsSize, 1),
    LIMIT(U32, maxMemoryAllocationCount, 1),
    LIMIT(U32, maxSamplerAllocationCount, 1),
    LIMIT(U64, bufferImageGranularity, 1),
    LIMIT(U32, maxBoundDescriptorSets, 1),
    LIMIT(U32, maxPerStageResources, 1),
    LIMIT(U32, maxDescriptorSetSampledImages, 1),
    LIMIT(U32, maxDescriptorSetStorageBuffers, 1),
    LIMIT(U32, maxVertexInputAttributes, 1),
    LIMIT(U32, maxFragmentOutputAttachments, 1),
    LIMIT(U32, maxComputeSharedMemorySize, 1),
    LIMIT(U32, maxComputeWorkGroupCount, 3),
    LIMIT(U32, maxComputeWorkGroupInvocations, 1),
    LIMIT(U32, maxComputeWorkGroupSize, 3),
    LIMIT(FLOAT, maxSamplerAnisotropy, 1),
    LIMIT(U32, maxViewports, 1),
    LIMIT(U32, maxViewportDimensions, 2),
    LIMIT(SIZE, minMemoryMapAlignment, 1),
    LIMIT(U64, minUniformBufferOffsetAlignment, 1),
    LIMIT(U64, minStorageBufferOffsetAlignment, 1),
    LIMIT(U32, maxFramebufferWidth, 1),
    LIMIT(U32, maxFramebufferHeight, 1),
    LIMIT(U32, framebufferColorSampleCounts, 1),
    LIMIT(U32, maxColorAttachments, 1),
    LIMIT(U32, timestampComputeAndGraphics, 1),
    LIMIT(FLOAT, timestampPeriod, 1),
    LIMIT(U32, maxDrawIndirectCount, 1),
    LIMIT(U64, optimalBufferCopyOffsetAlignment, 1),
    LIMIT(U64, nonCoherentAtomSize, 1),
#undef LIMIT
};

static int new_number(sd_json_variant **ret, enum kind kind, const void *at)
{
    switch (kind) {
    case U32:
        return sd_json_variant_new_unsigned(ret, *(const uint32_t *)at);
    case U64:
        return sd_json_variant_new_unsigned(ret, *(const uint64_t *)at);
    case SIZE:
        return sd_json_variant_new_unsigned(ret, *(const size_t *)at);
    default:
        return sd_json_variant_new_real(ret, (double)*(const float *)at);
    }
}

static size_t size_of(enum kind kind)
{
    return kind == U64 ? sizeof(uint64_t) : kind == SIZE ? sizeof(size_t) : sizeof(uint32_t);
}

static int add_limit(sd_json_variant **object, const VkPhysicalDeviceLimits *all,
                     const struct limit *limit)
{
    const char *at = (const char *)all + limit->offset;
    for (unsigned i = 0; i < limit->count; i++, at += size_of(limit->kind)) {
        CLEANUP sd_json_variant *number = NULL;
        char name[64];
        if (limit->count == 1)
            snprintf(name, sizeof(name), "%s", limit->name);
        else
            snprintf(name, sizeof(name), "%s.%c", limit->name, "xyz"[i]);
        int r = new_number(&number, limit->kind, at);
        if (r >= 0)
            r = sd_json_variant_set_field(object, name, number);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_limits(const struct vk_physical *p, sd_json_variant **object)
{
    CLEANUP sd_json_variant *all = NULL;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        int r = add_limit(&all, &p->properties.limits, &limits[i]);
        if (r < 0)
            return r;
    }
    return sd_json_variant_set_field(object, "limits", all);
}

/* ---- flags ---------------------------------------------------------------------------------- */

struct flag {
    uint32_t bit;
    const char *name;
};

/* Words with a blank between; text is large enough for all of them. */
static void print_flags(char *text, size_t size, uint32_t flags, const struct flag *known,
                        size_t count)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        if (flags & known[i].bit)
            used +=
                (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", known[i].name);
    }
}

static const struct flag memory_flags[] = {
    {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, "device-local"},
    {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT, "host-visible"},
    {VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, "host-coherent"},
    {VK_MEMORY_PROPERTY_HOST_CACHED_BIT, "host-cached"},
    {VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT, "lazily-allocated"},
    {VK_MEMORY_PROPERTY_PROTECTED_BIT, "protected"},
};

static const struct flag queue_flags[] = {
    {VK_QUEUE_GRAPHICS_BIT, "graphics"},   {VK_QUEUE_COMPUTE_BIT, "compute"},
    {VK_QUEUE_TRANSFER_BIT, "transfer"},   {VK_QUEUE_SPARSE_BINDING_BIT, "sparse-binding"},
    {VK_QUEUE_PROTECTED_BIT, "protected"},
};

/* ---- memory, queues, extensions ------------------------------------------------------------- */

static int add_heaps(const struct vk_physical *p, sd_json_variant **object)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT,
    };
    VkPhysicalDeviceMemoryProperties2 all = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
    };
    CLEANUP sd_json_variant *heaps = NULL;
    bool has_budget = vk_physical_has(p, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    if (has_budget)
        all.pNext = &budget;
    vkGetPhysicalDeviceMemoryProperties2(p->device, &all);
    for (uint32_t i = 0; i < all.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &all.memoryProperties.memoryHeaps[i];
        int r = sd_json_variant_append_arraybo(
            &heaps, SD_JSON_BUILD_PAIR_UNSIGNED("size_bytes", heap->size),
            SD_JSON_BUILD_PAIR_CONDITION(has_budget, "budget_bytes",
                                         SD_JSON_BUILD_UNSIGNED(budget.heapBudget[i])),
            SD_JSON_BUILD_PAIR_CONDITION(has_budget, "usage_bytes",
                                         SD_JSON_BUILD_UNSIGNED(budget.heapUsage[i])),
            SD_JSON_BUILD_PAIR_BOOLEAN("device_local",
                                       heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT));
        if (r < 0)
            return r;
    }
    return sd_json_variant_set_field(object, "heaps", heaps);
}

static int add_memory_types(const struct vk_physical *p, sd_json_variant **object)
{
    CLEANUP sd_json_variant *types = NULL;
    for (uint32_t i = 0; i < p->memory.memoryTypeCount; i++) {
        char flags[128];
        print_flags(flags, sizeof(flags), p->memory.memoryTypes[i].propertyFlags, memory_flags,
                    sizeof(memory_flags) / sizeof(memory_flags[0]));
        int r = sd_json_variant_append_arraybo(
            &types, SD_JSON_BUILD_PAIR_UNSIGNED("heap", p->memory.memoryTypes[i].heapIndex),
            SD_JSON_BUILD_PAIR_STRING("flags", flags));
        if (r < 0)
            return r;
    }
    return sd_json_variant_set_field(object, "memory_types", types);
}

static int add_queues(const struct vk_physical *p, sd_json_variant **object)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;
    CLEANUP sd_json_variant *queues = NULL;
    vkGetPhysicalDeviceQueueFamilyProperties(p->device, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        char flags[128];
        print_flags(flags, sizeof(flags), families[i].queueFlags, queue_flags,
                    sizeof(queue_flags) / sizeof(queue_flags[0]));
        int r = sd_json_variant_append_arraybo(
            &queues, SD_JSON_BUILD_PAIR_UNSIGNED("queues", families[i].queueCount),
            SD_JSON_BUILD_PAIR_STRING("flags", flags),
            SD_JSON_BUILD_PAIR_UNSIGNED("timestamp_bits", families[i].timestampValidBits));
        if (r < 0)
            return r;
    }
    return sd_json_variant_set_field(object, "queue_families", queues);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const VkExtensionProperties *)a)->extensionName,
                  ((const VkExtensionProperties *)b)->extensionName);
}

/* Names to versions: so two devices' can be compared, whatever the order. */
static int add_extensions(const struct vk_physical *p, sd_json_variant **object)
{
    CLEANUP sd_json_variant *versions = NULL;
    uint32_t count = 0;
    int r = vk_check(vkEnumerateDeviceExtensionProperties(p->device, NULL, &count, NULL),
                     "vkEnumerateDeviceExtensionProperties");
    if (r < 0)
        return r;
    VkExtensionProperties *all = calloc(count + 1, sizeof(*all));
    if (!all)
        return -ENOMEM;
    r = vk_check(vkEnumerateDeviceExtensionProperties(p->device, NULL, &count, all),
                 "vkEnumerateDeviceExtensionProperties");
    if (r == 0)
        qsort(all, count, sizeof(*all), compare_names);
    for (uint32_t i = 0; i < count && r >= 0; i++)
        r = sd_json_variant_set_field_unsigned(&versions, all[i].extensionName, all[i].specVersion);
    free(all);
    return r < 0 || !versions ? r : sd_json_variant_set_field(object, "extensions", versions);
}

static int add_identity(const struct vk_physical *p, sd_json_variant **object)
{
    const VkPhysicalDeviceProperties *d = &p->properties;
    char version[32];
    snprintf(version, sizeof(version), "%u.%u.%u", VK_API_VERSION_MAJOR(d->apiVersion),
             VK_API_VERSION_MINOR(d->apiVersion), VK_API_VERSION_PATCH(d->apiVersion));
    return sd_json_buildo(object,
                          SD_JSON_BUILD_PAIR_STRING("program", program_invocation_short_name),
                          SD_JSON_BUILD_PAIR_STRING("vk_device", d->deviceName),
                          SD_JSON_BUILD_PAIR_STRING("vk_driver", p->driver),
                          SD_JSON_BUILD_PAIR_STRING("vk_version", version),
                          SD_JSON_BUILD_PAIR_STRING("type", vk_physical_type_name(d->deviceType)),
                          SD_JSON_BUILD_PAIR_UNSIGNED("vendor_id", d->vendorID),
                          SD_JSON_BUILD_PAIR_UNSIGNED("device_id", d->deviceID),
                          SD_JSON_BUILD_PAIR_UNSIGNED("driver_version", d->driverVersion));
}

int vk_inventory(const struct vk_physical *p, sd_json_variant **ret)
{
    static int (*const parts[])(const struct vk_physical *, sd_json_variant **) = {
        add_identity, add_heaps, add_memory_types, add_queues, add_limits, add_extensions,
    };
    CLEANUP sd_json_variant *object = NULL;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        int r = parts[i](p, &object);
        if (r < 0) {
            fprintf(stderr, "%s: %s\n", program_invocation_short_name, strerror(-r));
            return r;
        }
    }
    *ret = sd_json_variant_ref(object);
    return 0;
}
