/* SPDX-License-Identifier: MIT */
/*
 * Bounds of the renderer's own process, behind the limits that the device model enforces: drivers
 * allocate for shaders, contexts and much else that nobody charges, and a guest can drive that.
 * Whoever passes them ends its own vGPU, not the host.
 */
#ifndef ALIQUOT_RENDERER_SELF_LIMIT_H
#define ALIQUOT_RENDERER_SELF_LIMIT_H

#include <stdint.h>

/* For good: limits private memory to what the guest may be charged with and a fixed part for
 * program, driver and compiler, and offers this process first when the host runs out of memory.
 * Failures are logged; the renderer works without. */
void self_limit(uint64_t guest_bytes);

#endif
