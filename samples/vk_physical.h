/* SPDX-License-Identifier: MIT */
/*
 * The Vulkan instance and which of its devices a sample uses. Vulkan 1.1 is enough.
 */
#ifndef ALIQUOT_SAMPLES_VK_PHYSICAL_H
#define ALIQUOT_SAMPLES_VK_PHYSICAL_H

#include <stdbool.h>
#include <vulkan/vulkan.h>

#define VK_PHYSICAL_MAX 16 /* devices that are looked at */

struct vk_physical {
    VkInstance instance; /* owned */
    VkPhysicalDevice devices[VK_PHYSICAL_MAX];
    uint32_t count;
    VkPhysicalDevice device; /* the chosen one, as all that follows */
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    char driver[VK_MAX_DRIVER_NAME_SIZE + VK_MAX_DRIVER_INFO_SIZE]; /* name and version */
};

/* Opens an instance and finds its devices. Returns 0, or a negative errno after a message on
 * stderr; it is then closed. */
int vk_physical_open(struct vk_physical *p);
void vk_physical_close(struct vk_physical *p);

/*
 * Chooses a device. which: its number, or a part of its name in upper or lower case; NULL = the
 * first that is no CPU, else the first. Returns 0, or a negative errno after a message on stderr.
 */
int vk_physical_choose(struct vk_physical *p, const char *which);

/* Whether the chosen device has the extension. */
bool vk_physical_has(const struct vk_physical *p, const char *extension);

/* "discrete GPU", … */
const char *vk_physical_type_name(VkPhysicalDeviceType type);

#endif
