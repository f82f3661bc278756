/* SPDX-License-Identifier: MIT */
#include "samples/bench/load_work.h"
#include "samples/bench/load_record.h"
#include "samples/gl_program.h"

#include <epoxy/gl.h>
#include <stdio.h>

#define SIDE 256
#define SAMPLES 7 /* frames of a measurement; the shortest counts: others had no part in it */
#define REFINEMENTS 3

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

int load_work_set_up(void)
{
    static const float triangle[] = {-1, -1, 3, -1, -1, 3};
    GLuint framebuffer, target, buffer;

    glGenTextures(1, &target);
    glBindTexture(GL_TEXTURE_2D, target);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, SIDE, SIDE);
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, target, 0);
    glViewport(0, 0, SIDE, SIDE);
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

void load_work_draw(const struct load_frame *frame)
{
    for (uint64_t i = 0; i < frame->draws; i++) {
        uint64_t before = frame->work * i / frame->draws;
        uint64_t after = frame->work * (i + 1) / frame->draws;
        glUniform1i(rounds_uniform, (GLint)(after - before));
        glDrawArrays(GL_TRIANGLES, 0, 3);
    }
    glFinish();
}

static int64_t measure(const struct load_frame *frame)
{
    int64_t best_ns = INT64_MAX;

    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t start_ns = load_now_ns();
        load_work_draw(frame);
        int64_t ns = load_now_ns() - start_ns;
        if (ns < best_ns)
            best_ns = ns;
    }
    return best_ns;
}

static uint32_t clamp_work(double work)
{
    return work < 1 ? 1 : work > LOAD_WORK_MAX ? LOAD_WORK_MAX : (uint32_t)(work + 0.5);
}

int64_t load_work_calibrate(struct load_frame *frame, int64_t frame_ns)
{
    struct load_frame half = {.work = 1, .draws = frame->draws};

    frame->work = 2;
    (void)measure(&half); /* the shader gets compiled */
    int64_t half_ns = measure(&half), ns = measure(frame);
    while (ns < frame_ns && frame->work <= LOAD_WORK_MAX / 2) {
        half = *frame;
        half_ns = ns;
        frame->work *= 2;
        ns = measure(frame);
    }
    double unit_ns = (double)(ns - half_ns) / (frame->work - half.work);
    for (unsigned i = 0; i < REFINEMENTS && unit_ns > 0; i++) {
        frame->work = clamp_work(frame->work + (double)(frame_ns - ns) / unit_ns);
        ns = measure(frame);
    }
    return ns;
}
