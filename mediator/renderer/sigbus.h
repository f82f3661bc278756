/* SPDX-License-Identifier: MIT */
/*
 * What happens when guest memory vanishes under us. A front-end may cut the file of its guest's
 * memory short while we have it mapped; the next access raises SIGBUS, in whatever code reads guest
 * memory, virglrenderer included. There is nothing to go back to: the renderer serves this one
 * guest, so it says why and exits. Used by main.c, once, before the first connection.
 */
#ifndef ALIQUOT_RENDERER_SIGBUS_H
#define ALIQUOT_RENDERER_SIGBUS_H

#include "protocol/broker.h"

/* From now on SIGBUS writes one line that names the vGPU, counts as rejected in stats (borrowed for
 * ever) and ends the process with exit code 1. */
void sigbus_install(const char *program, const char *vgpu, struct broker_stats *stats);

#endif
