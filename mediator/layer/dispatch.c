/* SPDX-License-Identifier: MIT */
#include "mediator/layer/dispatch.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 128

struct handle_map dispatch_map = HANDLE_MAP_INIT;

static const char *const suffixes[] = {"", "KHR", "EXT"};
#define SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

static PFN_vkVoidFunction get_instance_function(PFN_vkGetInstanceProcAddr get, VkInstance instance,
                                                const char *name)
{
    PFN_vkVoidFunction function = NULL;
    char full[NAME_BYTES];

    for (size_t i = 0; i < SUFFIXES && !function; i++) {
        snprintf(full, sizeof(full), "vk%s%s", name, suffixes[i]);
        function = get(instance, full);
    }
    return function;
}

static PFN_vkVoidFunction get_device_function(PFN_vkGetDeviceProcAddr get, VkDevice device,
                                              const char *name)
{
    int base = (int)strlen(name);
    PFN_vkVoidFunction function = NULL;
    char full[NAME_BYTES];

    /* The name of one that was born an extension's has the suffix already. */
    if (base > 3 && strcmp(name + base - 3, "KHR") == 0)
        base -= 3;
    for (size_t i = 0; i < SUFFIXES && !function; i++) {
        snprintf(full, sizeof(full), "vk%.*s%s", base, name, suffixes[i]);
        function = get(device, full);
    }
    return function;
}

void dispatch_load_instance(struct instance_table *table, PFN_vkGetInstanceProcAddr get,
                            VkInstance instance)
{
#define LOAD(name) table->name = (PFN_vk##name)get_instance_function(get, instance, #name);
    DISPATCH_INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
    table->GetInstanceProcAddr = get;
}

void dispatch_load_device(struct device_table *table, PFN_vkGetDeviceProcAddr get, VkDevice device)
{
#define LOAD(name) table->name = (PFN_vk##name)get_device_function(get, device, #name);
    DISPATCH_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    table->GetDeviceProcAddr = get;
}

const void *dispatch_in_chain(const void *chain, VkStructureType type)
{
    for (const VkBaseInStructure *s = chain; s; s = s->pNext)
        if (s->sType == type)
            return s;
    return NULL;
}
