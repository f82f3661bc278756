/* SPDX-License-Identifier: MIT */
/*
 * gl-bench: frames a second of small OpenGL workloads, natively or on a vGPU, whatever the
 * environment makes of EGL. Who runs it: the benchmark scripts and people; it trusts its command
 * line and ends by itself.
 */
#include "samples/bench/gl_workload.h"
#include "samples/gl_platform.h"

#include <epoxy/gl.h>
#include <stdio.h>

static enum gl_platform_kind platform_kind = GL_PLATFORM_SURFACELESS;
static struct gl_platform platform;

static int make_target(void)
{
    GLuint framebuffer, target;

    glGenTextures(1, &target);
    glBindTexture(GL_TEXTURE_2D, target);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, WORKLOAD_SIDE, WORKLOAD_SIDE);
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, target, 0);
    glViewport(0, 0, WORKLOAD_SIDE, WORKLOAD_SIDE);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE)
        return 0;
    fprintf(stderr, "gl-bench: no framebuffer to draw into\n");
    return -1;
}

static void close_platform(void)
{
    gl_platform_close(&platform);
}

static int open_platform(void)
{
    if (gl_platform_open(&platform, platform_kind, NULL) < 0)
        return -1;
    if (make_target() == 0)
        return 0;
    close_platform();
    return -1;
}

static int parse_platform(const char *text)
{
    return gl_platform_kind_parse(text, &platform_kind) ? 0 : -1;
}

static const char *renderer(void)
{
    return (const char *)glGetString(GL_RENDERER);
}

static int check(void)
{
    GLenum error = glGetError();

    if (error == GL_NO_ERROR)
        return 0;
    fprintf(stderr, "gl-bench: GL error 0x%x\n", error);
    return -1;
}

int main(int argc, char **argv)
{
    const struct workload_driver driver = {
        .program = "gl-bench",
        .summary = "Measures frames a second of small OpenGL ES workloads at 512x512.",
        .where = "platform",
        .where_help = "  --platform P      surfaceless (default), gbm or device\n",
        .parse_where = parse_platform,
        .workloads = gl_workloads,
        .count = gl_workload_count,
        .open = open_platform,
        .renderer = renderer,
        .check = check,
        .close = close_platform,
    };
    return workload_main(&driver, argc, argv);
}
