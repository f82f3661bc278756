/* SPDX-License-Identifier: MIT */
/*
 * The virgl backend on the software GPU, for the unit tests of it: fences as an event loop sees
 * them, and streams encoded by hand. Helpers fail the test that calls them.
 */
#ifndef ALIQUOT_TESTS_VIRGL_FIXTURE_H
#define ALIQUOT_TESTS_VIRGL_FIXTURE_H

#include "mediator/renderer/backend.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the virgl protocol, which has no installed header. */
enum {
    CREATE_OBJECT = 1,
    BIND_OBJECT = 2,
    SET_VIEWPORT = 4,
    SET_FRAMEBUFFER_STATE = 5,
    CLEAR = 7,
    DRAW = 8
};
enum { BLIT = 16, END_QUERY = 20, GET_QUERY_RESULT = 21, BIND_SHADER = 31, LAST_COMMAND = 60 };
enum { OBJECT_BLEND = 1, OBJECT_SHADER = 4, OBJECT_VERTEX_ELEMENTS = 5 };
enum { OBJECT_SURFACE = 8, OBJECT_QUERY = 9, LAST_OBJECT = 11 };
enum { SHADER_VERTEX = 0, SHADER_FRAGMENT = 1 };
enum { QUERY_TIMESTAMP = 2, QUERY_DONE = 1 };
enum { TARGET_BUFFER = 0, TARGET_2D = 2 };
enum { BIND_RENDER_TARGET = 1 << 1, BIND_SAMPLER_VIEW = 1 << 3, BIND_CUSTOM = 1 << 17 };
enum { B8G8R8A8 = 1, B8G8R8X8 = 2, R8_UNORM = 64, Y_0_TOP = 1 };

/* Words before a shader's text; of a draw those that say how much. */
#define VIRGL_KEPT 6

/* A fence that was reported. */
struct virgl_done {
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
};

struct virgl_done_list {
    int fd;
    pthread_mutex_t lock;
    struct virgl_done done[4096];
    size_t count;
};

struct virgl_fixture {
    struct virgl_done_list fences;
    struct backend *b;
    const struct backend_ops *ops;
};

#define VIRGL_TEST(name) cmocka_unit_test_setup_teardown(test_##name, virgl_set_up, virgl_tear_down)

int virgl_set_up(void **state);
int virgl_set_up_vulkan(void **state);
int virgl_tear_down(void **state);
/* False: there is no software EGL here, or no Vulkan for who needs it, and a line says so. */
bool virgl_available(const char *test, enum backend_vulkan vulkan);

/* Whether a fence was reported already. */
bool virgl_is_done(struct virgl_fixture *f, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id);
/* Does what the renderer's event loop does, until the fence is reported. */
void virgl_wait_fence(struct virgl_fixture *f, uint32_t ctx_id, uint32_t ring_idx,
                      uint64_t fence_id);

/* Render targets; flags are Y_0_TOP or 0. */
int virgl_create_texture(struct virgl_fixture *f, uint32_t id, uint32_t format, uint32_t w,
                         uint32_t h, uint32_t flags);
/* iov, and what it points to, have to live until the resource does not: make them static. */
int virgl_create_query_buffer(struct virgl_fixture *f, uint32_t id, struct iovec *iov);
/* Two large textures attached to a context, for heavy work. */
void virgl_create_big(struct virgl_fixture *f, uint32_t ctx_id);

struct virgl_stream {
    uint32_t words[1024] __attribute__((aligned(8)));
    size_t count;
    size_t kept[8], n_kept; /* where commands start whose first VIRGL_KEPT words are left alone */
};

void virgl_put(struct virgl_stream *s, uint32_t word);
void virgl_put_command(struct virgl_stream *s, uint32_t cmd, uint32_t object, uint32_t len);
/* Makes the texture the colour buffer. */
void virgl_put_draw_to(struct virgl_stream *s, uint32_t surface, uint32_t texture, uint32_t format);
void virgl_put_clear(struct virgl_stream *s, float r, float g, float b, float a);
/* A scaled copy with filtering. */
void virgl_put_blit(struct virgl_stream *s, uint32_t dst, uint32_t src, uint32_t format,
                    uint32_t side);
/* One triangle that covers everything, in (0.1, 0.2, 0.3). */
void virgl_put_draw(struct virgl_stream *s);
/* A timestamp of when all of it is done, asked for at once. */
void virgl_put_timestamp(struct virgl_stream *s, uint32_t query, uint32_t buffer);
/* Takes the software GPU a while. */
void virgl_put_heavy_work(struct virgl_stream *s);
int virgl_submit(struct virgl_fixture *f, uint32_t ctx_id, struct virgl_stream *s);

#endif
