/* SPDX-License-Identifier: MIT */
/*
 * The command line that all GL samples share: what the drawing samples have in common, and on which
 * EGL platform or display.
 */
#ifndef ALIQUOT_SAMPLES_GL_OPTIONS_H
#define ALIQUOT_SAMPLES_GL_OPTIONS_H

#include "samples/gl_platform.h"
#include "samples/sample_options.h"

#include <stdbool.h>
#include <stdint.h>

#define GL_OPTIONS_HOLD_STDIN (-1.0)

struct gl_options {
    struct sample_options common; /* without --kms the size is set */
    enum gl_platform_kind platform;
    const char *device; /* borrowed from argv; NULL = the first that works */
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
