/* SPDX-License-Identifier: MIT */
/*
 * Mesa's Venus as a guest of this process: telling its sleep from the program's own.
 */
#ifndef ALIQUOT_SHIM_VENUS_H
#define ALIQUOT_SHIM_VENUS_H

#include "guest-driver/shim/device.h"

/* Venus has made a context on the device: from now on its waits hear of what has ended. */
void venus_begins(struct device *device);

#endif
