/* SPDX-License-Identifier: MIT */
/*
 * Which of the host's GPUs a guest sees: the one that its vGPU is on, as LAYER_GPU_ENV
 * (protocol/layer.h) says, and no other. A driver that has a fast GPU on offer would else give it
 * to guests whose time on another one is accounted.
 */
#ifndef ALIQUOT_LAYER_GPU_CHOICE_H
#define ALIQUOT_LAYER_GPU_CHOICE_H

#include <stdbool.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

struct gpu_choice {
    bool any;  /* all there are; the rest has no meaning */
    bool cpu;  /* those that draw on the CPU; likewise */
    bool only; /* the one that does not, if it is the only one; likewise */
    bool has_node, has_pci, has_uuid;
    int64_t node_major, node_minor;
    uint32_t pci_domain, pci_bus, pci_device, pci_function;
    uint8_t uuid[VK_UUID_SIZE];
};

/* text: the variable's value; NULL: it is not set. False: it makes no sense. */
bool gpu_choice_parse(const char *text, struct gpu_choice *ret);

VkResult VKAPI_CALL gpu_choice_enumerate(VkInstance instance, uint32_t *count,
                                         VkPhysicalDevice *ret);
/* A group is what is left of it, if anything is. */
VkResult VKAPI_CALL gpu_choice_enumerate_groups(VkInstance instance, uint32_t *count,
                                                VkPhysicalDeviceGroupProperties *ret);

#endif
