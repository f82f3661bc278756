/* SPDX-License-Identifier: MIT */
#include "samples/gl_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_PLATFORM = 256,
    OPT_DEVICE,
    OPT_SIZE,
    OPT_FIRST,
    OPT_FRAMES,
    OPT_PNG,
    OPT_JSON,
    OPT_KMS,
    OPT_DISPLAY,
    OPT_HOLD,
};

static const struct option long_options[] = {
    {"platform", required_argument, NULL, OPT_PLATFORM},
    {"device", required_argument, NULL, OPT_DEVICE},
    {"size", required_argument, NULL, OPT_SIZE},
    {"first-frame", required_argument, NULL, OPT_FIRST},
    {"frames", required_argument, NULL, OPT_FRAMES},
    {"png", required_argument, NULL, OPT_PNG},
    {"json", required_argument, NULL, OPT_JSON},
    {"kms", no_argument, NULL, OPT_KMS},
    {"display", required_argument, NULL, OPT_DISPLAY},
    {"hold", required_argument, NULL, OPT_HOLD},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(const char *program, const char *summary)
{
    printf(
        "Usage: %s [OPTION]...\n"
        "%s\n\n"
        "  --platform P      auto (default), surfaceless, gbm or device: where EGL comes from\n"
        "  --device PATH     DRM node to use: a render node, with --kms a card\n"
        "  --size WxH        picture size (640x480); with --kms one of the display's modes\n"
        "  --frames N        how many frames to draw (60)\n"
        "  --first-frame N   number of the first one (0); a frame's picture depends on it alone\n"
        "  --png FILE        write the last frame\n"
        "  --json FILE       write renderer and frame times; with --kms as soon as the last\n"
        "                    frame is on the display\n"
        "  --kms             show the frames on a display, through GBM and KMS\n"
        "  --display N       on which of the connected ones, counted from 0\n"
        "  --hold SECONDS    with --kms: keep the last frame for so long; \"stdin\" keeps it\n"
        "                    until standard input closes\n"
        "  --help\n",
        program, summary);
}

static bool parse_u32(const char *text, uint32_t max, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || value > max)
        return false;
    *ret = value;
    return true;
}

static bool parse_size(const char *text, uint32_t *ret_width, uint32_t *ret_height)
{
    uint32_t width, height;
    char buf[32];
    if (snprintf(buf, sizeof(buf), "%s", text) >= (int)sizeof(buf))
        return false;
    char *x = strchr(buf, 'x');
    if (!x)
        return false;
    *x = '\0';
    if (!parse_u32(buf, GL_OPTIONS_SIDE_MAX, &width) ||
        !parse_u32(x + 1, GL_OPTIONS_SIDE_MAX, &height) || !width || !height)
        return false;
    *ret_width = width;
    *ret_height = height;
    return true;
}

static bool parse_hold(const char *text, double *ret)
{
    if (!strcmp(text, "stdin")) {
        *ret = GL_OPTIONS_HOLD_STDIN;
        return true;
    }
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < 0 || value > 1e6)
        return false;
    *ret = value;
    return true;
}

static bool parse_one(struct gl_options *o, int opt, const char *arg)
{
    switch (opt) {
    case OPT_PLATFORM:
        return gl_platform_kind_parse(arg, &o->platform);
    case OPT_DEVICE:
        o->device = arg;
        return true;
    case OPT_SIZE:
        return parse_size(arg, &o->width, &o->height);
    case OPT_FIRST:
        return parse_u32(arg, GL_OPTIONS_FRAMES_MAX, &o->first_frame);
    case OPT_FRAMES:
        return parse_u32(arg, GL_OPTIONS_FRAMES_MAX, &o->frames) && o->frames;
    case OPT_PNG:
        o->png = arg;
        return true;
    case OPT_JSON:
        o->json = arg;
        return true;
    case OPT_KMS:
        o->kms = true;
        return true;
    case OPT_DISPLAY:
        return parse_u32(arg, 255, &o->display);
    case OPT_HOLD:
        return parse_hold(arg, &o->hold_s);
    default:
        return false;
    }
}

int gl_options_parse(struct gl_options *options, int argc, char **argv, const char *summary,
                     int *ret_exit)
{
    const char *program = program_invocation_short_name;
    *options = (struct gl_options){.platform = GL_PLATFORM_AUTO, .frames = 60};
    int opt, index = 0;
    while ((opt = getopt_long(argc, argv, "h", long_options, &index)) != -1) {
        if (opt == 'h') {
            print_help(program, summary);
            *ret_exit = 0;
            return -1;
        }
        if (opt == '?' || !parse_one(options, opt, optarg)) {
            if (opt != '?')
                fprintf(stderr, "%s: --%s: bad value \"%s\"\n", program, long_options[index].name,
                        optarg);
            fprintf(stderr, "Try %s --help.\n", program);
            *ret_exit = 2;
            return -1;
        }
    }
    *ret_exit = 2;
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"\n", program, argv[optind]);
        return -1;
    }
    if (options->kms && options->platform != GL_PLATFORM_AUTO &&
        options->platform != GL_PLATFORM_GBM) {
        fprintf(stderr, "%s: --kms works through GBM, not --platform %s\n", program,
                gl_platform_kind_name(options->platform));
        return -1;
    }
    if (!options->kms && !options->width) {
        options->width = 640;
        options->height = 480;
    }
    return 0;
}
