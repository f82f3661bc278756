/* SPDX-License-Identifier: MIT */
/*
 * gl-bench: frames a second of small OpenGL workloads, natively or on a vGPU, whatever the
 * environment makes of EGL. Who runs it: the benchmark scripts and people; it trusts its command
 * line and ends by itself.
 */
#include "samples/bench/gl_workload.h"
#include "samples/gl_platform.h"

#include <epoxy/gl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
    const char *workload; /* NULL = all */
    const char *json;     /* NULL = none */
    double seconds;
    enum gl_platform_kind platform;
};

static const char usage_text[] =
    "Usage: gl-bench [OPTION]...\n"
    "Measures frames a second of small OpenGL ES workloads at 512x512.\n"
    "\n"
    "  --workload NAME   only that one; \"list\" names them\n"
    "  --seconds S       how long each is measured (1)\n"
    "  --platform P      surfaceless (default), gbm or device\n"
    "  --json FILE       write the figures\n"
    "  --help\n";

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void list(void)
{
    for (unsigned i = 0; i < gl_workload_count; i++)
        printf("%-18s%s\n", gl_workloads[i].name, gl_workloads[i].text);
}

static bool is_workload(const char *name)
{
    for (unsigned i = 0; i < gl_workload_count; i++) {
        if (strcmp(gl_workloads[i].name, name) == 0)
            return true;
    }
    return false;
}

/* 0, or -1 with the exit status. */
static int parse(struct options *o, int argc, char **argv, int *ret_exit)
{
    enum { WORKLOAD = 1, SECONDS, PLATFORM, JSON, HELP };
    static const struct option known[] = {
        {"workload", required_argument, NULL, WORKLOAD},
        {"seconds", required_argument, NULL, SECONDS},
        {"platform", required_argument, NULL, PLATFORM},
        {"json", required_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {0},
    };
    int option;
    char *end;

    *o = (struct options){.seconds = 1, .platform = GL_PLATFORM_SURFACELESS};
    *ret_exit = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (option) {
        case WORKLOAD:
            o->workload = optarg;
            if (strcmp(optarg, "list") == 0) {
                list();
                *ret_exit = 0;
                return -1;
            }
            if (!is_workload(optarg)) {
                fprintf(stderr, "gl-bench: no workload '%s' (see --workload list)\n", optarg);
                return -1;
            }
            break;
        case SECONDS:
            o->seconds = strtod(optarg, &end);
            if (*end || end == optarg || !(o->seconds > 0 && o->seconds <= 3600)) {
                fprintf(stderr, "gl-bench: --seconds: '%s' is not in 0 … 3600\n", optarg);
                return -1;
            }
            break;
        case PLATFORM:
            if (!gl_platform_kind_parse(optarg, &o->platform)) {
                fprintf(stderr, "gl-bench: --platform: unknown '%s'\n", optarg);
                return -1;
            }
            break;
        case JSON:
            o->json = optarg;
            break;
        case HELP:
            fputs(usage_text, stdout);
            *ret_exit = 0;
            return -1;
        default:
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "gl-bench: what is '%s'?\n", argv[optind]);
        return -1;
    }
    return 0;
}

static int make_target(void)
{
    GLuint framebuffer, target;

    glGenTextures(1, &target);
    glBindTexture(GL_TEXTURE_2D, target);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, GL_WORKLOAD_SIDE, GL_WORKLOAD_SIDE);
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, target, 0);
    glViewport(0, 0, GL_WORKLOAD_SIDE, GL_WORKLOAD_SIDE);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE)
        return 0;
    fprintf(stderr, "gl-bench: no framebuffer to draw into\n");
    return -1;
}

/* Frames a second, or a negative value after a message. */
static double measure(const struct gl_workload *workload, double seconds)
{
    uint32_t frame = 0;

    if (make_target() < 0 || (workload->set_up && workload->set_up() < 0))
        return -1;
    /* Caches fill, shaders get compiled, allocators find their size. */
    int64_t start_ns = now_ns();
    do {
        workload->frame(frame++);
    } while (frame < 3 || now_ns() - start_ns < seconds * 0.2e9);

    uint32_t first = frame;
    int64_t elapsed_ns;
    start_ns = now_ns();
    do {
        workload->frame(frame++);
        elapsed_ns = now_ns() - start_ns;
    } while (elapsed_ns < seconds * 1e9);
    GLenum error = glGetError();
    if (error != GL_NO_ERROR) {
        fprintf(stderr, "gl-bench: %s: GL error 0x%x\n", workload->name, error);
        return -1;
    }
    return (frame - first) * 1e9 / (double)elapsed_ns;
}

/* A context of its own for each, so that they do not see each other's state. */
static int run(const struct gl_workload *workload, const struct options *o, double *ret_fps)
{
    struct gl_platform platform;

    int result = gl_platform_open(&platform, o->platform, NULL);
    if (result < 0)
        return result;
    *ret_fps = measure(workload, o->seconds);
    if (*ret_fps >= 0) {
        printf("%-18s%10.1f fps  %s\n", workload->name, *ret_fps, glGetString(GL_RENDERER));
        fflush(stdout);
    }
    gl_platform_close(&platform);
    return *ret_fps < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    int status;
    bool first = true;
    FILE *json = NULL;

    if (parse(&options, argc, argv, &status) < 0)
        return status;
    if (options.json && !(json = fopen(options.json, "w"))) {
        fprintf(stderr, "gl-bench: %s: %m\n", options.json);
        return 1;
    }
    status = 0;
    for (unsigned i = 0; i < gl_workload_count && status == 0; i++) {
        const struct gl_workload *workload = &gl_workloads[i];
        double fps;
        if (options.workload && strcmp(options.workload, workload->name) != 0)
            continue;
        status = run(workload, &options, &fps) < 0;
        if (json && status == 0)
            fprintf(json, "%s  \"%s\": %.2f", first ? "{\n" : ",\n", workload->name, fps);
        first = false;
    }
    if (json) {
        fputs(first ? "{}\n" : "\n}\n", json);
        if (fclose(json) != 0)
            status = 1;
    }
    return status;
}
