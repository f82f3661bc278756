/* SPDX-License-Identifier: MIT */
#include "virgl_fixture.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <cmocka.h>

#define WAIT_MS 20000

/* ---- fences that were reported --------------------------------------------------------------- */

static void fence_done(void *opaque, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id)
{
    struct virgl_done_list *f = opaque;

    pthread_mutex_lock(&f->lock);
    if (f->count < ARRAY_SIZE(f->done))
        f->done[f->count++] = (struct virgl_done){ctx_id, ring_idx, fence_id};
    pthread_mutex_unlock(&f->lock);
    eventfd_write(f->fd, 1);
}

static const struct backend_events events = {.fence_done = fence_done};

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

bool virgl_is_done(struct virgl_fixture *f, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id)
{
    bool found = false;

    pthread_mutex_lock(&f->fences.lock);
    for (size_t i = 0; i < f->fences.count; i++)
        found |= f->fences.done[i].ctx_id == ctx_id && f->fences.done[i].ring_idx == ring_idx &&
                 f->fences.done[i].fence_id == fence_id;
    pthread_mutex_unlock(&f->fences.lock);
    return found;
}

void virgl_wait_fence(struct virgl_fixture *f, uint32_t ctx_id, uint32_t ring_idx,
                      uint64_t fence_id)
{
    long long until = now_ms() + WAIT_MS;

    while (!virgl_is_done(f, ctx_id, ring_idx, fence_id)) {
        struct pollfd p[2] = {{.fd = f->fences.fd, .events = POLLIN},
                              {.fd = f->ops->event_fd(f->b), .events = POLLIN}};
        eventfd_t count;
        assert_true(now_ms() < until);
        assert_true(poll(p, 2, (int)(until - now_ms())) > 0);
        if (p[0].revents)
            eventfd_read(f->fences.fd, &count);
        if (p[1].revents)
            f->ops->dispatch(f->b);
    }
}

/* ---- fixture --------------------------------------------------------------------------------- */

static int create(struct virgl_fixture *f, enum backend_vulkan vulkan, const char **error)
{
    const struct backend_config config = {.gpu = "software",
                                          .events = &events,
                                          .opaque = &f->fences,
                                          .vulkan = vulkan,
                                          .layer_fd = -1};

    return backend_virgl.create(&config, &f->b, error);
}

static int set_up(void **state, enum backend_vulkan vulkan)
{
    struct virgl_fixture *f = calloc(1, sizeof(*f));
    const char *error = "";

    assert_non_null(f);
    f->fences.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&f->fences.lock, NULL);
    f->ops = &backend_virgl;
    if (create(f, vulkan, &error) < 0)
        fail_msg("%s", error);
    *state = f;
    return 0;
}

int virgl_set_up(void **state)
{
    return set_up(state, BACKEND_VULKAN_OFF);
}

int virgl_set_up_vulkan(void **state)
{
    return set_up(state, BACKEND_VULKAN_ON);
}

bool virgl_available(const char *test, enum backend_vulkan vulkan)
{
    struct virgl_fixture f = {0};
    const char *error = "";

    log_init(test, NULL, false);
    if (create(&f, vulkan, &error) < 0) {
        print_message("skipped: %s\n", error);
        return false;
    }
    backend_virgl.destroy(f.b);
    return true;
}

int virgl_tear_down(void **state)
{
    struct virgl_fixture *f = *state;

    f->ops->destroy(f->b);
    close(f->fences.fd);
    pthread_mutex_destroy(&f->fences.lock);
    free(f);
    return 0;
}

int virgl_create_texture(struct virgl_fixture *f, uint32_t id, uint32_t format, uint32_t w,
                         uint32_t h, uint32_t flags)
{
    const struct backend_resource_args args = {
        .id = id,
        .target = TARGET_2D,
        .format = format,
        .bind = flags ? BIND_RENDER_TARGET : BIND_RENDER_TARGET | BIND_SAMPLER_VIEW,
        .width = w,
        .height = h,
        .depth = 1,
        .array_size = 1,
        .flags = flags,
    };

    return f->ops->resource_create(f->b, &args);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* Iovecs and what they point to are static below: the backend has them until virgl_tear_down. */

void virgl_put(struct virgl_stream *s, uint32_t word)
{
    assert_true(s->count < ARRAY_SIZE(s->words));
    s->words[s->count++] = word;
}

static void virgl_put_float(struct virgl_stream *s, float value)
{
    uint32_t word;

    memcpy(&word, &value, 4);
    virgl_put(s, word);
}

void virgl_put_command(struct virgl_stream *s, uint32_t cmd, uint32_t object, uint32_t len)
{
    virgl_put(s, cmd | object << 8 | len << 16);
}

void virgl_put_draw_to(struct virgl_stream *s, uint32_t surface, uint32_t texture, uint32_t format)
{
    virgl_put_command(s, CREATE_OBJECT, OBJECT_SURFACE, 5);
    virgl_put(s, surface);
    virgl_put(s, texture);
    virgl_put(s, format);
    virgl_put(s, 0); /* level */
    virgl_put(s, 0); /* layers */
    virgl_put_command(s, SET_FRAMEBUFFER_STATE, 0, 3);
    virgl_put(s, 1);
    virgl_put(s, 0); /* no depth */
    virgl_put(s, surface);
}

void virgl_put_clear(struct virgl_stream *s, float r, float g, float b, float a)
{
    virgl_put_command(s, CLEAR, 0, 8);
    virgl_put(s, 1 << 2); /* colour buffer 0 */
    virgl_put_float(s, r);
    virgl_put_float(s, g);
    virgl_put_float(s, b);
    virgl_put_float(s, a);
    virgl_put(s, 0); /* depth, a double */
    virgl_put(s, 0);
    virgl_put(s, 0); /* stencil */
}

void virgl_put_blit(struct virgl_stream *s, uint32_t dst, uint32_t src, uint32_t format,
                    uint32_t side)
{
    virgl_put_command(s, BLIT, 0, 21);
    virgl_put(s, 0xf | 1 << 8); /* RGBA, linear */
    virgl_put(s, 0);            /* scissor */
    virgl_put(s, 0);
    for (int i = 0; i < 2; i++) {
        virgl_put(s, i == 0 ? dst : src);
        virgl_put(s, 0); /* level */
        virgl_put(s, format);
        virgl_put(s, 0); /* x, y, z */
        virgl_put(s, 0);
        virgl_put(s, 0);
        virgl_put(s, i == 0 ? side : side - 3); /* w, h, d */
        virgl_put(s, i == 0 ? side : side - 5);
        virgl_put(s, 1);
    }
}

static void virgl_put_shader(struct virgl_stream *s, uint32_t handle, uint32_t type,
                             const char *text)
{
    uint32_t len = (uint32_t)strlen(text) + 1, words = (len + 3) / 4;

    s->kept[s->n_kept++ % ARRAY_SIZE(s->kept)] = s->count;
    virgl_put_command(s, CREATE_OBJECT, OBJECT_SHADER, 5 + words);
    virgl_put(s, handle);
    virgl_put(s, type);
    virgl_put(s, len);
    virgl_put(s, 300); /* tokens, at most */
    virgl_put(s, 0);   /* stream outputs */
    for (uint32_t i = 0; i < words; i++) {
        char four[4] = {0};
        uint32_t word;
        memcpy(four, text + i * 4, MIN(len - i * 4, 4));
        memcpy(&word, four, 4);
        virgl_put(s, word);
    }
    virgl_put_command(s, BIND_SHADER, 0, 2);
    virgl_put(s, handle);
    virgl_put(s, type);
}

/* One triangle that covers everything; its corners come from the vertex number. */
void virgl_put_draw(struct virgl_stream *s)
{
    virgl_put_shader(s, 10, SHADER_VERTEX,
                     "VERT\nDCL SV[0], VERTEXID\nDCL OUT[0], POSITION\nDCL TEMP[0]\n"
                     "IMM[0] FLT32 {4.0, -1.0, 0.0, 1.0}\nIMM[1] UINT32 {1, 0, 0, 0}\n"
                     "AND TEMP[0].x, SV[0].xxxx, IMM[1].xxxx\n"
                     "USHR TEMP[0].y, SV[0].xxxx, IMM[1].xxxx\n"
                     "U2F TEMP[0].xy, TEMP[0].xyyy\n"
                     "MAD OUT[0].xy, TEMP[0].xyyy, IMM[0].xxxx, IMM[0].yyyy\n"
                     "MOV OUT[0].zw, IMM[0].zzzw\nEND\n");
    virgl_put_shader(s, 11, SHADER_FRAGMENT,
                     "FRAG\nDCL OUT[0], COLOR\nIMM[0] FLT32 {0.1, 0.2, 0.3, 1.0}\n"
                     "MOV OUT[0], IMM[0]\nEND\n");
    virgl_put_command(s, CREATE_OBJECT, OBJECT_VERTEX_ELEMENTS,
                      1); /* none, but it has to be there */
    virgl_put(s, 12);
    virgl_put_command(s, BIND_OBJECT, OBJECT_VERTEX_ELEMENTS, 1);
    virgl_put(s, 12);
    virgl_put_command(s, CREATE_OBJECT, OBJECT_BLEND,
                      11); /* no blending, but colours are written */
    virgl_put(s, 13);
    for (int i = 0; i < 10; i++)
        virgl_put(s, i < 2 ? 0 : 0xfu << 27);
    virgl_put_command(s, BIND_OBJECT, OBJECT_BLEND, 1);
    virgl_put(s, 13);
    virgl_put_command(s, SET_VIEWPORT, 0, 7);
    virgl_put(s, 0);
    for (int i = 0; i < 6; i++)
        virgl_put_float(s, i == 2 ? 0.5f : 32.0f);
    s->kept[s->n_kept++ % ARRAY_SIZE(s->kept)] = s->count;
    virgl_put_command(s, DRAW, 0, 12);
    virgl_put(s, 0); /* start, count, mode */
    virgl_put(s, 3);
    virgl_put(s, 5);
    virgl_put(s, 0); /* not indexed, one instance */
    virgl_put(s, 1);
    for (int i = 0; i < 5; i++)
        virgl_put(s, 0);
    virgl_put(s, 3); /* highest index */
    virgl_put(s, 0);
}

int virgl_submit(struct virgl_fixture *f, uint32_t ctx_id, struct virgl_stream *s)
{
    return f->ops->submit(f->b, ctx_id, s->words, s->count * 4);
}

#define BIG 2048
enum { BIG_A = 100, BIG_B = 101 };

void virgl_create_big(struct virgl_fixture *f, uint32_t ctx_id)
{
    assert_int_equal(virgl_create_texture(f, BIG_A, B8G8R8A8, BIG, BIG, 0), 0);
    assert_int_equal(virgl_create_texture(f, BIG_B, B8G8R8A8, BIG, BIG, 0), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, ctx_id, BIG_A), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, ctx_id, BIG_B), 0);
}

int virgl_create_query_buffer(struct virgl_fixture *f, uint32_t id, struct iovec *iov)
{
    const struct backend_resource_args args = {.id = id,
                                               .target = TARGET_BUFFER,
                                               .format = R8_UNORM,
                                               .bind = BIND_CUSTOM,
                                               .width = 32,
                                               .height = 1,
                                               .depth = 1,
                                               .array_size = 1};
    int r = f->ops->resource_create(f->b, &args);

    return r < 0 ? r : f->ops->resource_back(f->b, id, iov, 1);
}

void virgl_put_timestamp(struct virgl_stream *s, uint32_t query, uint32_t buffer)
{
    virgl_put_command(s, CREATE_OBJECT, OBJECT_QUERY, 4);
    virgl_put(s, query);
    virgl_put(s, QUERY_TIMESTAMP);
    virgl_put(s, 0);
    virgl_put(s, buffer);
    virgl_put_command(s, END_QUERY, 0, 1);
    virgl_put(s, query);
    virgl_put_command(s, GET_QUERY_RESULT, 0, 2);
    virgl_put(s, query);
    virgl_put(s, 0); /* do not wait */
}

void virgl_put_heavy_work(struct virgl_stream *s)
{
    for (int i = 0; i < 8; i++)
        virgl_put_blit(s, i % 2 ? BIG_A : BIG_B, i % 2 ? BIG_B : BIG_A, B8G8R8A8, BIG);
}
