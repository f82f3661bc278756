/* SPDX-License-Identifier: MIT */
/*
 * What gl-load and vk-load have in common: command line, when to begin, frames as many as can be or
 * at a rate, and the report. A program brings the drawing.
 */
#ifndef ALIQUOT_SAMPLES_LOAD_MAIN_H
#define ALIQUOT_SAMPLES_LOAD_MAIN_H

#include "samples/bench/load_calibrate.h"

#include <getopt.h>
#include <stdbool.h>

#define LOAD_MORE_OPTIONS_MAX 8
#define LOAD_OPTION_FIRST 256 /* val of a program's own options: this and above */

struct load_driver {
    const char *program;
    const char *help;                        /* lines of its own options */
    const struct option *known;              /* those; ends with {0} */
    bool (*parse)(int val, const char *arg); /* false = a bad value */
    /* Opens the device and makes what frames need. 0, or negative after a message. */
    int (*open)(void);
    load_draw_fn *draw;
    /* Whether all went well, at the end. 0, or negative after a message. */
    int (*check)(void);
    uint64_t (*gpu_ns)(void);      /* of the last draw(), 0 = not asked for; NULL: can't tell */
    const char *(*renderer)(void); /* the name of the GPU */
    void (*close)(void);           /* after open() succeeded */
};

/* The program's main(). Returns the exit code: 0 fine, 1 failed, 2 usage. */
int load_main(const struct load_driver *driver, int argc, char **argv);

/* For parse(); false leaves *ret as it was. */
bool load_parse_count(const char *text, uint32_t max, uint32_t *ret);

#endif
