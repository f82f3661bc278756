/* SPDX-License-Identifier: MIT */
/*
 * Vulkan's results in words, for all Vulkan samples: its name, and what whoever reads it can do.
 */
#ifndef ALIQUOT_SAMPLES_VK_RESULT_H
#define ALIQUOT_SAMPLES_VK_RESULT_H

#include <vulkan/vulkan.h>

/* "VK_ERROR_DEVICE_LOST"; "VkResult" where the number is not known here. */
const char *vk_result_name(VkResult result);

/*
 * 0 for VK_SUCCESS; else a negative errno, after a message on stderr that names the call and the
 * result: -ENOMEM, -ENODEV (the device is lost), -ENOTSUP or -EIO.
 */
int vk_check(VkResult result, const char *call);

#endif
