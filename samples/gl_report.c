/* SPDX-License-Identifier: MIT */
#include "samples/gl_report.h"

#include "samples/json_file.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <stdio.h>

struct report {
    const struct sample_options *options; /* borrowed */
    enum gl_platform_kind platform;
    uint32_t width, height;
    struct frame_figures figures;
};

static void print_json(FILE *f, const void *data)
{
    const struct report *r = data;
    fprintf(f, "{\"program\": ");
    json_print_string(f, program_invocation_short_name);
    fprintf(f, ", \"gl_renderer\": ");
    json_print_string(f, (const char *)glGetString(GL_RENDERER));
    fprintf(f, ", \"gl_version\": ");
    json_print_string(f, (const char *)glGetString(GL_VERSION));
    fprintf(f,
            ", \"platform\": \"%s\", \"width\": %u, \"height\": %u, \"first_frame\": %u, "
            "\"frames\": %zu, \"fps\": %.3f, \"frame_ms\": ",
            gl_platform_kind_name(r->platform), r->width, r->height, r->options->first_frame,
            r->figures.frames, r->figures.fps);
    frame_figures_print_json(&r->figures, f);
    fprintf(f, "}\n");
}

int gl_report(const struct gl_options *options, enum gl_platform_kind platform, uint32_t width,
              uint32_t height, struct frame_times *times)
{
    const struct report report = {&options->common, platform, width, height,
                                  frame_times_figures(times)};
    frame_figures_print(&report.figures, "frames");
    return options->common.json ? json_file_write(options->common.json, print_json, &report) : 0;
}
