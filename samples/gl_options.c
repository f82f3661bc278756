/* SPDX-License-Identifier: MIT */
#include "samples/gl_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { OPT_PLATFORM = 1, OPT_DEVICE, OPT_KMS, OPT_DISPLAY, OPT_HOLD };

static const struct option known[] = {
    {"platform", required_argument, NULL, OPT_PLATFORM},
    {"device", required_argument, NULL, OPT_DEVICE},
    {"kms", no_argument, NULL, OPT_KMS},
    {"display", required_argument, NULL, OPT_DISPLAY},
    {"hold", required_argument, NULL, OPT_HOLD},
    {0},
};

static const char help[] =
    "  --platform P      auto (default), surfaceless, gbm or device: where EGL comes from\n"
    "  --device PATH     DRM node to use: a render node, with --kms a card\n"
    "  --kms             show the frames on a display, through GBM and KMS; the size is one of\n"
    "                    its modes, and --json is written when the last frame is on it\n"
    "  --display N       on which of the connected ones, counted from 0\n"
    "  --hold SECONDS    with --kms: keep the last frame for so long; \"stdin\" keeps it\n"
    "                    until standard input closes\n";

static bool parse_hold(const char *text, double *ret)
{
    if (strcmp(text, "stdin") == 0) {
        *ret = GL_OPTIONS_HOLD_STDIN;
        return true;
    }
    return sample_parse_number(text, 0, 1e6, ret);
}

static bool parse_one(void *data, int val, const char *arg)
{
    struct gl_options *o = data;
    switch (val) {
    case OPT_PLATFORM:
        return gl_platform_kind_parse(arg, &o->platform);
    case OPT_DEVICE:
        o->device = arg;
        return true;
    case OPT_KMS:
        o->kms = true;
        return true;
    case OPT_DISPLAY:
        return sample_parse_u32(arg, 255, &o->display);
    case OPT_HOLD:
        return parse_hold(arg, &o->hold_s);
    default:
        return false;
    }
}

int gl_options_parse(struct gl_options *options, int argc, char **argv, const char *summary,
                     int *ret_exit)
{
    *options = (struct gl_options){.platform = GL_PLATFORM_AUTO};
    const struct sample_options_more more = {help, known, parse_one, options};
    if (sample_options_parse(&options->common, &more, argc, argv, summary, ret_exit) < 0)
        return -1;
    if (options->kms && options->platform != GL_PLATFORM_AUTO &&
        options->platform != GL_PLATFORM_GBM) {
        fprintf(stderr, "%s: --kms works through GBM, not --platform %s\n",
                program_invocation_short_name, gl_platform_kind_name(options->platform));
        *ret_exit = 2;
        return -1;
    }
    if (!options->kms && !options->common.width) {
        options->common.width = SAMPLE_OPTIONS_WIDTH;
        options->common.height = SAMPLE_OPTIONS_HEIGHT;
    }
    return 0;
}
