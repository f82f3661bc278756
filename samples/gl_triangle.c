/* SPDX-License-Identifier: MIT */
/*
 * gl-triangle: one triangle, a colour in each corner, that turns slowly. The smallest OpenGL ES 3
 * program that shows whether a context, a shader and a buffer work; it runs natively and in a
 * guest. Talks to the GL driver alone.
 */
#include "samples/gl_program.h"
#include "samples/gl_sample.h"
#include "samples/matrix.h"

#include <epoxy/gl.h>
#include <errno.h>

#define RADIANS_PER_FRAME 0.02f

static const char vertex_source[] = "#version 300 es\n"
                                    "layout(location = 0) in vec2 position;\n"
                                    "layout(location = 1) in vec3 color;\n"
                                    "uniform mat4 transform;\n"
                                    "out highp vec3 shade;\n"
                                    "void main()\n"
                                    "{\n"
                                    "    shade = color;\n"
                                    "    gl_Position = transform * vec4(position, 0.0, 1.0);\n"
                                    "}\n";

static const char fragment_source[] = "#version 300 es\n"
                                      "precision highp float;\n"
                                      "in vec3 shade;\n"
                                      "out vec4 result;\n"
                                      "void main()\n"
                                      "{\n"
                                      "    result = vec4(shade, 1.0);\n"
                                      "}\n";

static const float corners[3][5] = {
    /* x, y, red, green, blue */
    {0.0f, 0.8f, 1.0f, 0.2f, 0.2f},
    {-0.7f, -0.4f, 0.2f, 1.0f, 0.2f},
    {0.7f, -0.4f, 0.2f, 0.3f, 1.0f},
};

static GLuint program, vertex_array, vertices;

static int init(void)
{
    program = gl_program_create(vertex_source, fragment_source);
    if (!program)
        return -EIO;
    glGenVertexArrays(1, &vertex_array);
    glBindVertexArray(vertex_array);
    glGenBuffers(1, &vertices);
    glBindBuffer(GL_ARRAY_BUFFER, vertices);
    glBufferData(GL_ARRAY_BUFFER, sizeof(corners), corners, GL_STATIC_DRAW);
    glEnableVertexAttribArray(0);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, sizeof(corners[0]), NULL);
    glEnableVertexAttribArray(1);
    glVertexAttribPointer(1, 3, GL_FLOAT, GL_FALSE, sizeof(corners[0]),
                          (const void *)(2 * sizeof(float)));
    return 0;
}

static void draw(uint32_t frame, uint32_t width, uint32_t height)
{
    struct mat4 transform = mat4_rotate(frame * RADIANS_PER_FRAME, (struct vec3){0, 0, 1});
    /* Keep the triangle's shape in a picture that is not square. */
    for (int column = 0; column < 4; column++)
        transform.m[column * 4] *= (float)height / width;

    glClearColor(0.1f, 0.1f, 0.12f, 1.0f);
    glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT);
    glDisable(GL_DEPTH_TEST);
    glUseProgram(program);
    glUniformMatrix4fv(glGetUniformLocation(program, "transform"), 1, GL_FALSE, transform.m);
    glBindVertexArray(vertex_array);
    glDrawArrays(GL_TRIANGLES, 0, 3);
}

static void finish(void)
{
    glDeleteVertexArrays(1, &vertex_array);
    glDeleteBuffers(1, &vertices);
    glDeleteProgram(program);
}

int main(int argc, char **argv)
{
    static const struct gl_sample sample = {
        .summary = "Draws a turning triangle with OpenGL ES 3.",
        .init = init,
        .draw = draw,
        .finish = finish,
    };
    return gl_sample_main(&sample, argc, argv);
}
