/* SPDX-License-Identifier: MIT */
/*
 * What the renderer's own process takes of the host's memory. Its bounds stand behind the limits
 * that the device model enforces: drivers allocate for shaders, contexts and much else that nobody
 * charges, and a guest can drive that. Whoever passes them ends its own vGPU, not the host.
 */
#ifndef ALIQUOT_RENDERER_SELF_LIMIT_H
#define ALIQUOT_RENDERER_SELF_LIMIT_H

#include <stdint.h>

/* For good: limits private memory to what the guest may be charged with and a fixed part for
 * program, driver and compiler, and offers this process first when the host runs out of memory.
 * Failures are logged; the renderer works without. */
void self_limit(uint64_t guest_bytes);

/* Before the first thread: has malloc keep what is freed. A software GPU frees and allocates tens
 * of megabytes in each frame, and the kernel clears each page that it gives out again. */
void self_keep_freed(void);
/* Gives the kernel back what is free; takes milliseconds. */
void self_trim(void);

#endif
