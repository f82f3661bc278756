/* SPDX-License-Identifier: MIT */
/*
 * Knobs as text, in the notation of aliquot.conf(5): the way back from what mediator/sched/knobs.h
 * reads. Pure functions. Used by the control interface and the file of kept knobs.
 */
#ifndef ALIQUOT_DAEMON_KNOB_TEXT_H
#define ALIQUOT_DAEMON_KNOB_TEXT_H

#include <stdint.h>

/* Enough for all that sched_knobs_check() lets pass, and for any other number. */
#define KNOB_TEXT_MAX 24

/* "12.5%", exact. */
void knob_text_ppm(uint32_t ppm, char buf[static KNOB_TEXT_MAX]);
/* "4ms", "0.5ms", exact. */
void knob_text_slice(uint64_t ns, char buf[static KNOB_TEXT_MAX]);

#endif
