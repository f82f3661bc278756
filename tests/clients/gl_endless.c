/* SPDX-License-Identifier: MIT */
/*
 * gl-endless: draws with a shader that does not end. Tests start it and kill it.
 */
#include "samples/gl_platform.h"
#include "samples/gl_program.h"

#include <stdio.h>

#define SIDE 64

static const char vertex[] = "#version 300 es\n"
                             "void main() {\n"
                             "  vec2 p = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;\n"
                             "  gl_Position = vec4(p, 0.0, 1.0);\n"
                             "}\n";

/* Drivers that bound a loop do so for each level of them: that is long enough. */
static const char fragment[] = "#version 300 es\n"
                               "precision highp float;\n"
                               "uniform float step;\n"
                               "out vec4 result;\n"
                               "void main() {\n"
                               "  float x = 1.0;\n"
                               "  while (x > step)\n"
                               "    for (float y = 0.0; y < 1e9; y += 1.0 - step)\n"
                               "      for (float z = 0.0; z < 1e9; z += 1.0 - step)\n"
                               "        x += fract(sin(x * y + z)) * step;\n"
                               "  result = vec4(x);\n"
                               "}\n";

int main(void)
{
    struct gl_platform platform;
    GLuint framebuffer, target;

    if (gl_platform_open(&platform, GL_PLATFORM_SURFACELESS, NULL) < 0)
        return 1;
    glGenTextures(1, &target);
    glBindTexture(GL_TEXTURE_2D, target);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, SIDE, SIDE);
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, target, 0);
    glViewport(0, 0, SIDE, SIDE);
    GLuint program = gl_program_create(vertex, fragment);
    if (!program)
        return 1;
    glUseProgram(program);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glFlush();
    puts((const char *)glGetString(GL_RENDERER));
    fflush(stdout);
    glFinish();
    fputs("gl-endless: the shader has ended\n", stderr);
    gl_platform_close(&platform);
    return 1;
}
