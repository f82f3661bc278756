/* SPDX-License-Identifier: MIT */
/*
 * The command line that all GL samples share: how many frames, how large, on which EGL platform,
 * and where picture and figures go.
 */
#ifndef ALIQUOT_SAMPLES_GL_OPTIONS_H
#define ALIQUOT_SAMPLES_GL_OPTIONS_H

#include "samples/gl_platform.h"

#include <stdbool.h>
#include <stdint.h>

#define GL_OPTIONS_FRAMES_MAX 1000000u
#define GL_OPTIONS_SIDE_MAX 8192u
#define GL_OPTIONS_HOLD_STDIN (-1.0)

struct gl_options {
    enum gl_platform_kind platform;
    const char *device;     /* borrowed from argv; NULL = the first that works */
    uint32_t width, height; /* pixels; 0 = 640x480, with --kms the display's own mode */
    uint32_t first_frame;
    uint32_t frames;
    const char *png, *json; /* borrowed from argv, NULL = none */
    bool kms;
    uint32_t display; /* index among the connected ones */
    double hold_s;    /* GL_OPTIONS_HOLD_STDIN = until stdin closes */
};

/*
 * Returns 0; or -1 with the program to end with *ret_exit: 0 after --help, 2 after a usage error,
 * which has been explained on stderr. summary is the program's one line in --help.
 */
int gl_options_parse(struct gl_options *options, int argc, char **argv, const char *summary,
                     int *ret_exit);

#endif
