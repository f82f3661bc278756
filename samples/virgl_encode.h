/* SPDX-License-Identifier: MIT */
/*
 * Just enough of the virgl command stream to draw triangles, encoded by hand: the words that Mesa's
 * virgl driver would send for the same calls. For raw-virgl and the benchmark, which show and
 * measure what passes the library when nothing but the library is there.
 *
 * A stream is a sequence of commands; each is a word `command | object type << 8 | length << 16`
 * and length words. Objects are named by handles that the sender chooses, resources by their ids.
 */
#ifndef ALIQUOT_SAMPLES_VIRGL_ENCODE_H
#define ALIQUOT_SAMPLES_VIRGL_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers of the virgl protocol that callers need. */
enum {
    VIRGL_TARGET_BUFFER = 0,
    VIRGL_TARGET_2D = 2,

    VIRGL_FORMAT_BGRA8 = 1, /* in memory: B G R A */
    VIRGL_FORMAT_RG32F = 29,
    VIRGL_FORMAT_RGB32F = 30,
    VIRGL_FORMAT_RGBA32F = 31,
    VIRGL_FORMAT_R8 = 64, /* of buffers */

    VIRGL_USE_RENDER_TARGET = 1 << 1, /* bind flags of resources */
    VIRGL_USE_SAMPLER_VIEW = 1 << 3,
    VIRGL_USE_VERTEX_BUFFER = 1 << 4,

    VIRGL_PRIM_TRIANGLES = 4,
};

enum virgl_object {
    VIRGL_BLEND = 1,
    VIRGL_RASTERIZER = 2,
    VIRGL_DSA = 3, /* depth, stencil, alpha */
    VIRGL_SHADER = 4,
    VIRGL_VERTEX_ELEMENTS = 5,
    VIRGL_SURFACE = 8,
};

enum virgl_stage { VIRGL_STAGE_VERTEX = 0, VIRGL_STAGE_FRAGMENT = 1 };

#define VIRGL_STREAM_WORDS 1024

struct virgl_stream {
    uint32_t words[VIRGL_STREAM_WORDS];
    size_t count;
    bool overflow; /* something did not fit: the stream is unusable */
};

struct virgl_vertex_element {
    uint32_t offset; /* bytes, in a vertex */
    uint32_t format;
};

void virgl_create_surface(struct virgl_stream *s, uint32_t handle, uint32_t resource,
                          uint32_t format);
/* One colour buffer, no depth. */
void virgl_set_framebuffer(struct virgl_stream *s, uint32_t surface);
/* All of a w × h target; y goes up. */
void virgl_set_viewport(struct virgl_stream *s, uint32_t w, uint32_t h);
/* Opaque, all channels written. */
void virgl_create_blend(struct virgl_stream *s, uint32_t handle);
/* No tests. */
void virgl_create_dsa(struct virgl_stream *s, uint32_t handle);
/* Filled, nothing culled. */
void virgl_create_rasterizer(struct virgl_stream *s, uint32_t handle);
/* tgsi: the shader as text. */
void virgl_create_shader(struct virgl_stream *s, uint32_t handle, enum virgl_stage stage,
                         const char *tgsi);
void virgl_create_vertex_elements(struct virgl_stream *s, uint32_t handle,
                                  const struct virgl_vertex_element *elements, uint32_t count);
/* Of all but shaders. */
void virgl_bind(struct virgl_stream *s, enum virgl_object type, uint32_t handle);
void virgl_bind_shader(struct virgl_stream *s, enum virgl_stage stage, uint32_t handle);
void virgl_set_vertex_buffer(struct virgl_stream *s, uint32_t resource, uint32_t stride);
/* Writes bytes, carried in the stream, to the start of a buffer. */
void virgl_write_buffer(struct virgl_stream *s, uint32_t resource, const void *data,
                        uint32_t bytes);
void virgl_clear(struct virgl_stream *s, const float rgba[4]);
void virgl_draw(struct virgl_stream *s, uint32_t primitive, uint32_t first, uint32_t count);

#endif
