/* SPDX-License-Identifier: MIT */
/*
 * Mesa's Venus in this process: telling its calls from the program's own, and looking after its
 * program when the host does nothing for it any more.
 */
#ifndef ALIQUOT_SHIM_VENUS_H
#define ALIQUOT_SHIM_VENUS_H

#include "guest-driver/shim/device.h"

/* Venus has made a context on the device, or given one up. */
void venus_begins(struct device *device);
void venus_ends(void);

/* Around fork(): the child's Venus has no context yet. */
void venus_lock(void);
void venus_unlock(void);
void venus_forked(void);

/* The device, if Venus calls, from an address in its library, and there is news to be had of ends
 * on the GPU; and the count of those. */
struct device *venus_device(const void *caller, uint32_t *ret_count);

/* A thread of Venus's waits, at now_ns, and so many have ended. Ends the program if it waits in
 * vain, unless that is not wanted (device.h). */
void venus_waits(struct device *device, uint32_t count, int64_t now_ns);

#endif
