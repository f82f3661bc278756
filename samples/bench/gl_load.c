/* SPDX-License-Identifier: MIT */
/*
 * gl-load: draws frames of a chosen GPU time with OpenGL ES 3, as many as it can or at a rate, and
 * says how long they took. Who runs it: the benchmarks of sharing, several at once; it trusts its
 * command line and ends by itself.
 */
#include "samples/bench/load_main.h"
#include "samples/gl_platform.h"
#include "samples/gl_program.h"

#include <epoxy/gl.h>
#include <stdio.h>

static enum gl_platform_kind platform_kind = GL_PLATFORM_SURFACELESS;
static struct gl_platform platform;
static GLint rounds_uniform;

static const char vertex_source[] = "#version 300 es\n"
                                    "layout(location = 0) in vec2 position;\n"
                                    "void main() { gl_Position = vec4(position, 0.0, 1.0); }\n";

/* z neither grows nor vanishes, whatever the number of rounds: all cost the same. */
static const char fragment_source[] =
    "#version 300 es\n"
    "precision highp float;\n"
    "uniform int rounds;\n"
    "out vec4 result;\n"
    "void main() {\n"
    "  vec2 c = gl_FragCoord.xy / 256.0, z = c;\n"
    "  for (int i = 0; i < rounds; i++) z = z * 0.9 + vec2(z.y, -z.x) * 0.3 + c;\n"
    "  result = vec4(fract(z), 0.5, 1.0) / 64.0;\n"
    "}\n";

static int set_up(void)
{
    static const float triangle[] = {-1, -1, 3, -1, -1, 3};
    GLuint framebuffer, target, buffer;

    glGenTextures(1, &target);
    glBindTexture(GL_TEXTURE_2D, target);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, LOAD_SIDE, LOAD_SIDE);
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, target, 0);
    glViewport(0, 0, LOAD_SIDE, LOAD_SIDE);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) {
        fprintf(stderr, "gl-load: no framebuffer to draw into\n");
        return -1;
    }
    GLuint program = gl_program_create(vertex_source, fragment_source);
    if (!program)
        return -1;
    glUseProgram(program);
    rounds_uniform = glGetUniformLocation(program, "rounds");
    glGenBuffers(1, &buffer);
    glBindBuffer(GL_ARRAY_BUFFER, buffer);
    glBufferData(GL_ARRAY_BUFFER, sizeof(triangle), triangle, GL_STATIC_DRAW);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, NULL);
    glEnableVertexAttribArray(0);
    /* What a draw would hide, a driver need not draw: so nothing is hidden. */
    glEnable(GL_BLEND);
    glBlendFunc(GL_ONE, GL_ONE);
    return 0;
}

static int draw(const struct load_frame *frame)
{
    for (uint32_t i = 0; i < frame->draws; i++) {
        glUniform1i(rounds_uniform, (GLint)load_frame_part(frame, i));
        glDrawArrays(GL_TRIANGLES, 0, 3);
    }
    glFinish();
    return 0;
}

static void close_platform(void)
{
    gl_platform_close(&platform);
}

static int open_platform(void)
{
    if (gl_platform_open(&platform, platform_kind, NULL) < 0)
        return -1;
    if (set_up() == 0)
        return 0;
    close_platform();
    return -1;
}

static int check(void)
{
    GLenum error = glGetError();

    if (error == GL_NO_ERROR)
        return 0;
    fprintf(stderr, "gl-load: GL error 0x%x\n", error);
    return -1;
}

static const char *renderer(void)
{
    return (const char *)glGetString(GL_RENDERER);
}

enum { PLATFORM = LOAD_OPTION_FIRST };

static bool parse(int val, const char *arg)
{
    return val == PLATFORM && gl_platform_kind_parse(arg, &platform_kind);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"platform", required_argument, NULL, PLATFORM},
        {0},
    };
    static const struct load_driver driver = {
        .program = "gl-load",
        .help = "  --platform P      surfaceless (default), gbm or device\n",
        .known = known,
        .parse = parse,
        .open = open_platform,
        .draw = draw,
        .check = check,
        .renderer = renderer,
        .close = close_platform,
    };
    return load_main(&driver, argc, argv);
}
