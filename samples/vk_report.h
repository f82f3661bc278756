/* SPDX-License-Identifier: MIT */
/*
 * What the reports of the Vulkan samples begin with: which program, on which device.
 */
#ifndef ALIQUOT_SAMPLES_VK_REPORT_H
#define ALIQUOT_SAMPLES_VK_REPORT_H

#include "samples/vk_physical.h"

#include <stdio.h>

/* Lines on stdout: device, driver, Vulkan version. */
void vk_report_print(const struct vk_physical *p);

/* "program": …, "vk_device": …, "vk_driver": …, "vk_version": …, for the inside of an object. */
void vk_report_print_json(const struct vk_physical *p, FILE *f);

#endif
