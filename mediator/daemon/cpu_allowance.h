/* SPDX-License-Identifier: MIT */
/*
 * What the processes of a vGPU with a cap may use of the processors of a software GPU beside the
 * work that is charged to it: as much as its cap is worth, and CPU_ALLOWANCE_NS at once. Drawing
 * there is processor time, whoever does it and whatever a renderer says of it; but what is beside
 * it is no GPU's work where the renderer is honest, so it is charged to nobody. Pure functions.
 * Used by the arbiters of software GPUs.
 */
#ifndef ALIQUOT_DAEMON_CPU_ALLOWANCE_H
#define ALIQUOT_DAEMON_CPU_ALLOWANCE_H

#include "mediator/sched/entitlement.h"

#include <stdint.h>

/* Of all processors: a renderer starts, and shaders are made into code. */
#define CPU_ALLOWANCE_NS UINT64_C(1000000000)

/* Zeroed: has had none. */
struct cpu_allowance {
    struct entitlement had;
};

/* It used used_ns of each of the processors, on an average, and charged_ns of GPU time was charged
 * for that time, which ends now_ns. cap_ppm: not 0. */
void cpu_allowance_use(struct cpu_allowance *a, uint64_t used_ns, uint64_t charged_ns,
                       uint32_t cap_ppm, uint64_t now_ns);
/* When it may have more: not after now_ns, if now. */
uint64_t cpu_allowance_next_ns(const struct cpu_allowance *a);

#endif
