/* SPDX-License-Identifier: MIT */
/*
 * The command line that the drawing samples share, whatever they draw with: how many frames, how
 * large, and where picture and figures go. A sample adds options of its own.
 */
#ifndef ALIQUOT_SAMPLES_SAMPLE_OPTIONS_H
#define ALIQUOT_SAMPLES_SAMPLE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#define SAMPLE_OPTIONS_FRAMES_MAX 1000000u
#define SAMPLE_OPTIONS_SECONDS_MAX 1e6
#define SAMPLE_OPTIONS_SIDE_MAX 8192u
#define SAMPLE_OPTIONS_MORE_MAX 16

/* Where no size is given and nothing else says one. */
#define SAMPLE_OPTIONS_WIDTH 640u
#define SAMPLE_OPTIONS_HEIGHT 480u

struct sample_options {
    uint32_t width, height; /* pixels; 0 = not given */
    uint32_t first_frame;
    uint32_t frames;        /* 60 if not given */
    double seconds;         /* draw for so long instead; 0 = not given */
    const char *png, *json; /* borrowed from argv, NULL = none */
};

/* What a sample has besides. */
struct sample_options_more {
    const char *help;           /* its lines in --help */
    const struct option *known; /* ends with {0}; val is what parse() is called with, below 256 */
    bool (*parse)(void *data, int val, const char *arg); /* false = a bad value */
    void *data;
};

/*
 * Returns 0; or -1 with the program to end with *ret_exit: 0 after --help, 2 after a usage error,
 * which has been explained on stderr. summary is the program's one line in --help.
 */
int sample_options_parse(struct sample_options *options, const struct sample_options_more *more,
                         int argc, char **argv, const char *summary, int *ret_exit);

/* Whether another frame is to be drawn, after so many and so long. */
bool sample_options_go_on(const struct sample_options *options, uint32_t drawn,
                          uint64_t elapsed_ns);

/* What values are made of; false leaves *ret as it was. */
bool sample_parse_u32(const char *text, uint32_t max, uint32_t *ret);
bool sample_parse_number(const char *text, double min, double max, double *ret);

#endif
