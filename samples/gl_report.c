/* SPDX-License-Identifier: MIT */
#include "samples/gl_report.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile_ms(const uint64_t *sorted_ns, uint32_t count, unsigned percent)
{
    uint64_t rank = ((uint64_t)count * percent + 99) / 100;
    return sorted_ns[rank ? rank - 1 : 0] / 1e6;
}

static void print_json_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(f, "\\u%04x", *text);
        else
            fputc(*text, f);
    }
    fputc('"', f);
}

struct figures {
    double min_ms, p50_ms, p99_ms, max_ms, fps;
};

static struct figures compute(uint64_t *times_ns, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += times_ns[i];
    qsort(times_ns, count, sizeof(*times_ns), compare_u64);
    return (struct figures){
        .min_ms = times_ns[0] / 1e6,
        .p50_ms = percentile_ms(times_ns, count, 50),
        .p99_ms = percentile_ms(times_ns, count, 99),
        .max_ms = times_ns[count - 1] / 1e6,
        .fps = sum ? count * 1e9 / sum : 0,
    };
}

static void print_json(FILE *f, const struct gl_options *options, enum gl_platform_kind platform,
                       uint32_t width, uint32_t height, const struct figures *figures)
{
    fprintf(f, "{\"program\": ");
    print_json_string(f, program_invocation_short_name);
    fprintf(f, ", \"gl_renderer\": ");
    print_json_string(f, (const char *)glGetString(GL_RENDERER));
    fprintf(f, ", \"gl_version\": ");
    print_json_string(f, (const char *)glGetString(GL_VERSION));
    fprintf(f,
            ", \"platform\": \"%s\", \"width\": %u, \"height\": %u, \"first_frame\": %u, "
            "\"frames\": %u, \"fps\": %.3f, \"frame_ms\": {\"min\": %.3f, \"p50\": %.3f, "
            "\"p99\": %.3f, \"max\": %.3f}}\n",
            gl_platform_kind_name(platform), width, height, options->first_frame, options->frames,
            figures->fps, figures->min_ms, figures->p50_ms, figures->p99_ms, figures->max_ms);
}

int gl_report(const struct gl_options *options, enum gl_platform_kind platform, uint32_t width,
              uint32_t height, uint64_t *times_ns)
{
    struct figures figures = compute(times_ns, options->frames);
    printf("%u frames, %.1f a second; frame time min %.2f ms, p50 %.2f ms, p99 %.2f ms, "
           "max %.2f ms\n",
           options->frames, figures.fps, figures.min_ms, figures.p50_ms, figures.p99_ms,
           figures.max_ms);
    fflush(stdout);
    if (!options->json)
        return 0;

    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.part", options->json);
    FILE *f = n < (int)sizeof(temporary) ? fopen(temporary, "we") : NULL;
    bool ok = f != NULL;
    if (f) {
        print_json(f, options, platform, width, height, &figures);
        ok = !ferror(f);
        ok = fclose(f) == 0 && ok;
        ok = ok && rename(temporary, options->json) == 0;
    }
    if (!ok) {
        int error = f || n < (int)sizeof(temporary) ? errno : ENAMETOOLONG;
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, options->json,
                strerror(error));
        if (f)
            remove(temporary);
        return -(error ? error : EIO);
    }
    return 0;
}
