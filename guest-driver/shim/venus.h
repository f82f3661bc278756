/* SPDX-License-Identifier: MIT */
/*
 * Mesa's Venus in this process: its sleep, told from the program's own, ends with news; and when
 * the process on the host that works for it is gone, the program does not wait for it for ever.
 */
#ifndef ALIQUOT_SHIM_VENUS_H
#define ALIQUOT_SHIM_VENUS_H

#include "guest-driver/shim/device.h"

/* Venus has made a context on the device: from now on its waits hear of what has ended. */
void venus_begins(struct device *device);
/* Venus has given one up. */
void venus_ends(struct device *device);

#endif
