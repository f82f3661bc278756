/* SPDX-License-Identifier: MIT */
/*
 * Tells when an event loop has had nothing to do for some time: for what is worth doing only then.
 * Costs nothing while the loop is idle. Used by the renderer's main.c.
 */
#ifndef ALIQUOT_RENDERER_IDLE_WATCH_H
#define ALIQUOT_RENDERER_IDLE_WATCH_H

#include <stdint.h>
#include <systemd/sd-event.h>

struct idle_watch;

/* Calls fn once whenever no event has been handled for quiet_us to twice that, after there was one.
 * The event loop is borrowed for the watch's life. -errno on failure. */
int idle_watch_create(sd_event *event, uint64_t quiet_us, void (*fn)(void *opaque), void *opaque,
                      struct idle_watch **ret);
void idle_watch_destroy(struct idle_watch *w);

#endif
