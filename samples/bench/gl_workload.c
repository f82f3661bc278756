/* SPDX-License-Identifier: MIT */
#include "samples/bench/gl_workload.h"
#include "samples/gl_program.h"

#include <epoxy/gl.h>
#include <stdio.h>
#include <string.h>

#define SIDE WORKLOAD_SIDE
#define UPLOAD_SIDE 1024 /* × 4 bytes each way: 4 MiB */
#define STREAM_BYTES (1 << 20)
#define PART_BYTES 4096
#define PARTS 100
#define PROGRAMS 8

/* One workload runs in a process, so they share these. */
static GLuint programs[PROGRAMS];
static GLint uniform;
static GLuint buffer, texture;
static uint8_t pixels[SIDE * SIDE * 4];
static uint8_t data[UPLOAD_SIDE * UPLOAD_SIDE * 4];

static const char vertex_plain[] = "#version 300 es\n"
                                   "layout(location = 0) in vec2 position;\n"
                                   "void main() { gl_Position = vec4(position, 0.0, 1.0); }\n";

static const char fragment_colour[] = "#version 300 es\n"
                                      "precision mediump float;\n"
                                      "uniform vec4 colour;\n"
                                      "out vec4 result;\n"
                                      "void main() { result = colour; }\n";

/* %u: makes each program another one. */
static const char fragment_number[] =
    "#version 300 es\n"
    "precision mediump float;\n"
    "out vec4 result;\n"
    "void main() { result = vec4(float(%u) / 65536.0, gl_FragCoord.xy / 512.0, 1.0); }\n";

static const char fragment_heavy[] =
    "#version 300 es\n"
    "precision highp float;\n"
    "out vec4 result;\n"
    "void main() {\n"
    "  vec2 z = gl_FragCoord.xy / 256.0 - 1.0, c = z;\n"
    "  for (int i = 0; i < 48; i++) z = vec2(z.x * z.x - z.y * z.y, 2.0 * z.x * z.y) * 0.5 + c;\n"
    "  result = vec4(fract(z), 0.5, 1.0);\n"
    "}\n";

static const char fragment_texture[] =
    "#version 300 es\n"
    "precision mediump float;\n"
    "uniform sampler2D image;\n"
    "out vec4 result;\n"
    "void main() { result = texture(image, gl_FragCoord.xy / 512.0); }\n";

/* ---- parts ---------------------------------------------------------------------------------- */

/* A triangle with legs of that length, in the middle, as vertex data. */
static void make_buffer(float size, GLsizeiptr bytes)
{
    const float triangle[] = {0, 0, size, 0, 0, size};

    glGenBuffers(1, &buffer);
    glBindBuffer(GL_ARRAY_BUFFER, buffer);
    glBufferData(GL_ARRAY_BUFFER, bytes, NULL, GL_STREAM_DRAW);
    glBufferSubData(GL_ARRAY_BUFFER, 0, sizeof(triangle), triangle);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, NULL);
    glEnableVertexAttribArray(0);
}

static void make_full_screen(void)
{
    const float quad[] = {-1, -1, 3, -1, -1, 3};

    make_buffer(0, sizeof(quad));
    glBufferSubData(GL_ARRAY_BUFFER, 0, sizeof(quad), quad);
}

static int use_program(const char *fragment)
{
    programs[0] = gl_program_create(vertex_plain, fragment);
    if (!programs[0])
        return -1;
    glUseProgram(programs[0]);
    uniform = glGetUniformLocation(programs[0], "colour");
    return 0;
}

static GLuint numbered_program(unsigned number)
{
    char source[sizeof(fragment_number) + 16];

    snprintf(source, sizeof(source), fragment_number, number);
    return gl_program_create(vertex_plain, source);
}

static int set_up_small(void)
{
    make_buffer(0.005f, 1024);
    return use_program(fragment_colour);
}

/* ---- workloads ------------------------------------------------------------------------------ */

static void clear(uint32_t number)
{
    glClearColor((number & 255) / 255.0f, 0.5f, 0.25f, 1);
    glClear(GL_COLOR_BUFFER_BIT);
}

static int clear_finish(uint32_t number)
{
    clear(number);
    glFinish();
    return 0;
}

static int readback(uint32_t number)
{
    glReadPixels(0, 0, SIDE, SIDE, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    return 0;
}

static int clear_readback(uint32_t number)
{
    clear(number);
    return readback(number);
}

static int set_up_draws(void)
{
    make_buffer(0.25f, 1024);
    return use_program(fragment_colour);
}

static int draws_uniforms(uint32_t number)
{
    clear(number);
    for (unsigned i = 0; i < 1000; i++) {
        glUniform4f(uniform, i / 1000.0f, (number & 255) / 255.0f, 0, 1);
        glDrawArrays(GL_TRIANGLES, 0, 3);
    }
    glFinish();
    return 0;
}

static int bare_draws(uint32_t number)
{
    clear(number);
    for (unsigned i = 0; i < 1000; i++)
        glDrawArrays(GL_TRIANGLES, 0, 3);
    glFinish();
    return 0;
}

static int set_up_programs(void)
{
    make_buffer(0.1f, 1024);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        programs[i] = numbered_program(i);
        if (!programs[i])
            return -1;
    }
    return 0;
}

static int program_switches(uint32_t number)
{
    clear(number);
    for (unsigned i = 0; i < 300; i++) {
        glUseProgram(programs[i % PROGRAMS]);
        glDrawArrays(GL_TRIANGLES, 0, 3);
    }
    glFinish();
    return 0;
}

static int set_up_fill(void)
{
    make_full_screen();
    return use_program(fragment_heavy);
}

static int fill(uint32_t number)
{
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glFinish();
    return 0;
}

static int set_up_upload(void)
{
    make_full_screen();
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, UPLOAD_SIDE, UPLOAD_SIDE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
    return use_program(fragment_texture);
}

static int upload(uint32_t number)
{
    memset(data, (int)number, 4096);
    glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, UPLOAD_SIDE, UPLOAD_SIDE, GL_RGBA, GL_UNSIGNED_BYTE,
                    data);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glFinish();
    return 0;
}

static int set_up_stream(void)
{
    make_buffer(0.005f, STREAM_BYTES);
    return use_program(fragment_colour);
}

static int stream(uint32_t number)
{
    void *map = glMapBufferRange(GL_ARRAY_BUFFER, 0, STREAM_BYTES,
                                 GL_MAP_WRITE_BIT | GL_MAP_INVALIDATE_BUFFER_BIT);

    if (map)
        memset(map, (int)number, STREAM_BYTES);
    glUnmapBuffer(GL_ARRAY_BUFFER);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glFinish();
    return 0;
}

static int set_up_subdata(void)
{
    make_buffer(0.005f, PARTS * PART_BYTES);
    return use_program(fragment_colour);
}

static int subdata(uint32_t number)
{
    for (unsigned i = 0; i < PARTS; i++)
        glBufferSubData(GL_ARRAY_BUFFER, i * PART_BYTES, PART_BYTES, data + i * PART_BYTES);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glFinish();
    return 0;
}

static int set_up_shader(void)
{
    make_full_screen();
    return 0;
}

static int new_shader(uint32_t number)
{
    GLuint program = numbered_program(number);

    glUseProgram(program);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glFinish();
    glDeleteProgram(program);
    return 0;
}

const struct workload gl_workloads[] = {
    {"clear-finish", "one clear, then glFinish", NULL, clear_finish},
    {"clear-readback", "one clear, then 1 MiB read back", NULL, clear_readback},
    {"readback", "1 MiB read back, nothing drawn", NULL, readback},
    {"draws-uniforms", "1000 draws, a uniform before each", set_up_draws, draws_uniforms},
    {"bare-draws", "1000 draws and nothing else", set_up_small, bare_draws},
    {"program-switches", "300 draws, another program each", set_up_programs, program_switches},
    {"fill", "a full screen of a long fragment shader", set_up_fill, fill},
    {"upload", "4 MiB of texture, drawn", set_up_upload, upload},
    {"stream", "1 MiB of vertices through an invalidating map", set_up_stream, stream},
    {"subdata", "100 times glBufferSubData of 4 KiB, then a draw", set_up_subdata, subdata},
    {"new-shader", "a new shader each frame", set_up_shader, new_shader},
};
const unsigned gl_workload_count = sizeof(gl_workloads) / sizeof(gl_workloads[0]);
