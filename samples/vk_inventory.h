/* SPDX-License-Identifier: MIT */
/*
 * What a Vulkan device has, as this program sees it: identity, memory and its budget, queues,
 * limits, extensions. For vk-info.
 */
#ifndef ALIQUOT_SAMPLES_VK_INVENTORY_H
#define ALIQUOT_SAMPLES_VK_INVENTORY_H

#include "samples/vk_physical.h"

#include <systemd/sd-json.h>

/* Returns 0 with an object that the caller unrefs, or a negative errno after a message on stderr.
 */
int vk_inventory(const struct vk_physical *p, sd_json_variant **ret);

#endif
