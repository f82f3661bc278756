/* SPDX-License-Identifier: MIT */
/*
 * The figures of a GL sample's run, for the reader of the terminal and as JSON.
 */
#ifndef ALIQUOT_SAMPLES_GL_REPORT_H
#define ALIQUOT_SAMPLES_GL_REPORT_H

#include "samples/frame_times.h"
#include "samples/gl_options.h"

#include <stdint.h>

/*
 * Prints frame times and frames a second, and writes the JSON file if there is to be one. The times
 * are sorted by the call. The context must be current. Returns 0, or a negative errno after a
 * message on stderr.
 */
int gl_report(const struct gl_options *options, enum gl_platform_kind platform, uint32_t width,
              uint32_t height, struct frame_times *times);

#endif
