/* SPDX-License-Identifier: MIT */
#include "samples/virgl_encode.h"

#include <string.h>

enum command {
    CREATE_OBJECT = 1,
    BIND_OBJECT = 2,
    SET_VIEWPORT = 4,
    SET_FRAMEBUFFER = 5,
    SET_VERTEX_BUFFERS = 6,
    CLEAR = 7,
    DRAW_VBO = 8,
    RESOURCE_INLINE_WRITE = 9,
    BIND_SHADER = 31,
};

#define BLEND_TARGETS 8
#define BLEND_COLOR_MASK(mask) ((uint32_t)(mask) << 27)
#define RASTERIZER_DEPTH_CLIP (1u << 1)
#define RASTERIZER_HALF_PIXEL_CENTER (1u << 29)
#define CLEAR_COLOR0 (1u << 2)

/* What the host sets aside for a shader's tokens; ours have a few dozen. */
#define SHADER_TOKENS 256

/* ---- words ---------------------------------------------------------------------------------- */

static void put(struct virgl_stream *s, uint32_t word)
{
    if (s->count == VIRGL_STREAM_WORDS)
        s->overflow = true;
    else
        s->words[s->count++] = word;
}

static void put_float(struct virgl_stream *s, float value)
{
    uint32_t word;

    memcpy(&word, &value, sizeof(word));
    put(s, word);
}

static void put_zeros(struct virgl_stream *s, unsigned count)
{
    while (count-- > 0)
        put(s, 0);
}

/* Whole words; the last is filled up with zeros. */
static void put_bytes(struct virgl_stream *s, const void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 4) {
        uint32_t word = 0;
        memcpy(&word, (const char *)data + done, bytes - done < 4 ? bytes - done : 4);
        put(s, word);
    }
}

static void begin(struct virgl_stream *s, enum command command, unsigned object, size_t length)
{
    if (length > UINT16_MAX)
        s->overflow = true;
    put(s, (uint32_t)command | object << 8 | (uint32_t)length << 16);
}

/* ---- commands ------------------------------------------------------------------------------- */

void virgl_create_surface(struct virgl_stream *s, uint32_t handle, uint32_t resource,
                          uint32_t format)
{
    begin(s, CREATE_OBJECT, VIRGL_SURFACE, 5);
    put(s, handle);
    put(s, resource);
    put(s, format);
    put(s, 0); /* level */
    put(s, 0); /* first and last layer */
}

void virgl_set_framebuffer(struct virgl_stream *s, uint32_t surface)
{
    begin(s, SET_FRAMEBUFFER, 0, 3);
    put(s, 1); /* colour buffers */
    put(s, 0); /* depth surface */
    put(s, surface);
}

void virgl_set_viewport(struct virgl_stream *s, uint32_t w, uint32_t h)
{
    begin(s, SET_VIEWPORT, 0, 7);
    put(s, 0); /* first viewport */
    put_float(s, (float)w / 2);
    put_float(s, -(float)h / 2); /* row 0 is the top one */
    put_float(s, 0.5f);
    put_float(s, (float)w / 2);
    put_float(s, (float)h / 2);
    put_float(s, 0.5f);
}

void virgl_create_blend(struct virgl_stream *s, uint32_t handle)
{
    begin(s, CREATE_OBJECT, VIRGL_BLEND, 3 + BLEND_TARGETS);
    put(s, handle);
    put(s, 0); /* flags */
    put(s, 0); /* logic operation */
    put(s, BLEND_COLOR_MASK(0xf));
    put_zeros(s, BLEND_TARGETS - 1);
}

void virgl_create_dsa(struct virgl_stream *s, uint32_t handle)
{
    begin(s, CREATE_OBJECT, VIRGL_DSA, 5);
    put(s, handle);
    put_zeros(s, 4); /* depth, stencil front and back, alpha reference */
}

void virgl_create_rasterizer(struct virgl_stream *s, uint32_t handle)
{
    begin(s, CREATE_OBJECT, VIRGL_RASTERIZER, 9);
    put(s, handle);
    put(s, RASTERIZER_DEPTH_CLIP | RASTERIZER_HALF_PIXEL_CENTER);
    put_float(s, 1); /* point size */
    put(s, 0);       /* sprite coordinates */
    put(s, 0);       /* stipple, clip planes */
    put_float(s, 1); /* line width */
    put_zeros(s, 3); /* polygon offset */
}

void virgl_create_shader(struct virgl_stream *s, uint32_t handle, enum virgl_stage stage,
                         const char *tgsi)
{
    size_t bytes = strlen(tgsi) + 1;

    begin(s, CREATE_OBJECT, VIRGL_SHADER, 5 + (bytes + 3) / 4);
    put(s, handle);
    put(s, stage);
    put(s, (uint32_t)bytes);
    put(s, SHADER_TOKENS);
    put(s, 0); /* stream outputs */
    put_bytes(s, tgsi, bytes);
}

void virgl_create_vertex_elements(struct virgl_stream *s, uint32_t handle,
                                  const struct virgl_vertex_element *elements, uint32_t count)
{
    begin(s, CREATE_OBJECT, VIRGL_VERTEX_ELEMENTS, 1 + 4 * (size_t)count);
    put(s, handle);
    for (uint32_t i = 0; i < count; i++) {
        put(s, elements[i].offset);
        put(s, 0); /* instance divisor */
        put(s, 0); /* vertex buffer */
        put(s, elements[i].format);
    }
}

void virgl_bind(struct virgl_stream *s, enum virgl_object type, uint32_t handle)
{
    begin(s, BIND_OBJECT, type, 1);
    put(s, handle);
}

void virgl_bind_shader(struct virgl_stream *s, enum virgl_stage stage, uint32_t handle)
{
    begin(s, BIND_SHADER, 0, 2);
    put(s, handle);
    put(s, stage);
}

void virgl_set_vertex_buffer(struct virgl_stream *s, uint32_t resource, uint32_t stride)
{
    begin(s, SET_VERTEX_BUFFERS, 0, 3);
    put(s, stride);
    put(s, 0); /* offset */
    put(s, resource);
}

void virgl_write_buffer(struct virgl_stream *s, uint32_t resource, const void *data, uint32_t bytes)
{
    begin(s, RESOURCE_INLINE_WRITE, 0, 11 + ((size_t)bytes + 3) / 4);
    put(s, resource);
    put_zeros(s, 4); /* level, usage, stride, layer stride */
    put_zeros(s, 3); /* x, y, z */
    put(s, bytes);
    put(s, 1);
    put(s, 1);
    put_bytes(s, data, bytes);
}

void virgl_clear(struct virgl_stream *s, const float rgba[4])
{
    begin(s, CLEAR, 0, 8);
    put(s, CLEAR_COLOR0);
    for (unsigned i = 0; i < 4; i++)
        put_float(s, rgba[i]);
    put_zeros(s, 3); /* depth (a double), stencil */
}

void virgl_draw(struct virgl_stream *s, uint32_t primitive, uint32_t first, uint32_t count)
{
    begin(s, DRAW_VBO, 0, 12);
    put(s, first);
    put(s, count);
    put(s, primitive);
    put(s, 0);       /* indexed */
    put(s, 1);       /* instances */
    put_zeros(s, 4); /* index bias, first instance, primitive restart and its index */
    put(s, 0);       /* smallest index */
    put(s, first + count - 1);
    put(s, 0); /* count from stream output */
}
