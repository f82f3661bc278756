/* SPDX-License-Identifier: MIT */
/*
 * What vk-bench measures, and the device that it runs on: one at a time, with what the workload
 * made on it.
 */
#ifndef ALIQUOT_SAMPLES_VK_WORKLOAD_H
#define ALIQUOT_SAMPLES_VK_WORKLOAD_H

#include "samples/bench/workload.h"

extern const struct workload vk_workloads[];
extern const unsigned vk_workload_count;

/* which: as for vk_physical_choose(). Returns 0, or a negative errno after a message on stderr. */
int vk_workload_open(const char *which);
/* The device's name. */
const char *vk_workload_renderer(void);
void vk_workload_close(void);

#endif
