/* SPDX-License-Identifier: MIT */
#include "samples/sample_options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_SIZE = 256,
    OPT_FIRST,
    OPT_FRAMES,
    OPT_SECONDS,
    OPT_PNG,
    OPT_JSON,
    OPT_HELP,
};

static const struct option common[] = {
    {"size", required_argument, NULL, OPT_SIZE},
    {"first-frame", required_argument, NULL, OPT_FIRST},
    {"frames", required_argument, NULL, OPT_FRAMES},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"png", required_argument, NULL, OPT_PNG},
    {"json", required_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
};
#define COMMON (sizeof(common) / sizeof(common[0]))

static void print_help(const char *program, const char *summary, const char *more)
{
    printf(
        "Usage: %s [OPTION]...\n"
        "%s\n\n"
        "  --size WxH        picture size (640x480)\n"
        "  --frames N        how many frames to draw (60)\n"
        "  --seconds S       draw for so long, however many frames that makes\n"
        "  --first-frame N   number of the first one (0); a frame's picture depends on it alone\n"
        "  -o, --png FILE    write the last frame\n"
        "  --json FILE       write what drew and the frame times\n"
        "%s"
        "  --help\n",
        program, summary, more);
}

bool sample_parse_u32(const char *text, uint32_t max, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || value > max)
        return false;
    *ret = value;
    return true;
}

bool sample_parse_number(const char *text, double min, double max, double *ret)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max))
        return false;
    *ret = value;
    return true;
}

bool sample_options_go_on(const struct sample_options *options, uint32_t drawn, uint64_t elapsed_ns)
{
    if (options->seconds == 0)
        return drawn < options->frames;
    /* The first one in any case: there has to be a picture. */
    return drawn == 0 || (elapsed_ns < options->seconds * 1e9 && drawn < SAMPLE_OPTIONS_FRAMES_MAX);
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
    if (!sample_parse_u32(buf, SAMPLE_OPTIONS_SIDE_MAX, &width) ||
        !sample_parse_u32(x + 1, SAMPLE_OPTIONS_SIDE_MAX, &height) || !width || !height)
        return false;
    *ret_width = width;
    *ret_height = height;
    return true;
}

static bool parse_common(struct sample_options *o, int opt, const char *arg)
{
    switch (opt) {
    case OPT_SIZE:
        return parse_size(arg, &o->width, &o->height);
    case OPT_FIRST:
        return sample_parse_u32(arg, SAMPLE_OPTIONS_FRAMES_MAX, &o->first_frame);
    case OPT_FRAMES:
        return sample_parse_u32(arg, SAMPLE_OPTIONS_FRAMES_MAX, &o->frames) && o->frames;
    case OPT_SECONDS:
        return sample_parse_number(arg, 0.001, SAMPLE_OPTIONS_SECONDS_MAX, &o->seconds);
    case OPT_PNG:
    case 'o':
        o->png = arg;
        return true;
    case OPT_JSON:
        o->json = arg;
        return true;
    default:
        return false;
    }
}

/* Ours and the sample's, in one table as getopt wants it. */
static void join(struct option *table, const struct option *more)
{
    size_t count = 0;
    while (more[count].name)
        count++;
    assert(count <= SAMPLE_OPTIONS_MORE_MAX);
    memcpy(table, common, sizeof(common));
    memcpy(table + COMMON, more, (count + 1) * sizeof(*more));
}

static int usage_error(int *ret_exit)
{
    fprintf(stderr, "Try %s --help.\n", program_invocation_short_name);
    *ret_exit = 2;
    return -1;
}

int sample_options_parse(struct sample_options *options, const struct sample_options_more *more,
                         int argc, char **argv, const char *summary, int *ret_exit)
{
    struct option table[COMMON + SAMPLE_OPTIONS_MORE_MAX + 1];
    join(table, more->known);
    *options = (struct sample_options){.frames = 60};
    int opt, index = 0;
    while ((opt = getopt_long(argc, argv, "ho:", table, &index)) != -1) {
        if (opt == OPT_HELP || opt == 'h') {
            print_help(program_invocation_short_name, summary, more->help);
            *ret_exit = 0;
            return -1;
        }
        if (opt == '?')
            return usage_error(ret_exit);
        bool ours = opt >= OPT_SIZE || opt == 'o';
        if (!(ours ? parse_common(options, opt, optarg) : more->parse(more->data, opt, optarg))) {
            fprintf(stderr, "%s: --%s: bad value \"%s\"\n", program_invocation_short_name,
                    table[index].name, optarg);
            return usage_error(ret_exit);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"\n", program_invocation_short_name,
                argv[optind]);
        return usage_error(ret_exit);
    }
    return 0;
}
