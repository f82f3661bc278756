/* SPDX-License-Identifier: MIT */
/*
 * The virgl backend on the real software GPU: pixels both ways, streams, fences, reset, bad input.
 * Skipped where there is no software EGL.
 */
#include "virgl_fixture.h"

#include "mediator/base/util.h"
#include "mediator/renderer/virgl_fence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SKIP 77

static void test_one_instance(void **state)
{
    const struct backend_config config = {.gpu = "software"};
    struct backend *second = NULL;
    const char *error = NULL;

    assert_int_equal(backend_virgl.create(&config, &second, &error), -EBUSY);
    assert_null(second);
    assert_non_null(error);
}

static void test_describes_software(void **state)
{
    struct virgl_fixture *f = *state;
    const char *text = f->ops->describe(f->b);

    assert_non_null(strstr(text, "software"));
    assert_true(strstr(text, "llvmpipe") || strstr(text, "softpipe"));
}

static void test_capsets(void **state)
{
    struct virgl_fixture *f = *state;
    uint32_t id, version, size;

    assert_int_equal(f->ops->capset_count(f->b), 2);
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *first, *again;
        uint32_t word;
        assert_int_equal(f->ops->capset_info(f->b, i, &id, &version, &size), 0);
        assert_int_equal(id, i + 1);
        assert_true(size > 200 && size < 65536);
        first = malloc(size);
        again = malloc(size);
        memset(first, 0xaa, size);
        assert_int_equal(f->ops->capset(f->b, id, version, first, size), 0);
        memcpy(&word, first, 4);
        assert_int_equal(word, id); /* a capset starts with its version */
        /* All of it is filled in, with values and not with what lay in memory. */
        memset(again, 0x55, size);
        assert_int_equal(f->ops->capset(f->b, id, version, again, size), 0);
        assert_memory_equal(first, again, size);
        assert_int_equal(f->ops->capset(f->b, id, version + 1, first, size), -EINVAL);
        free(first);
        free(again);
    }
    assert_int_equal(f->ops->capset_info(f->b, 2, &id, &version, &size), -EINVAL);
    assert_int_equal(f->ops->capset(f->b, 4, 0, &id, sizeof(id)), -EINVAL);
}

/* Guests must not read pointers of ours: llvmpipe's answer for its memory is one. */
static void test_capset_leaks_nothing(void **state)
{
    struct virgl_fixture *f = *state;
    uint32_t id, version, size, caps[1024];
    enum { CAPABILITY_BITS_V2 = 688 / 4, MAX_VIDEO_MEMORY = 692 / 4, HAS_VIDEO_MEMORY = 1 << 2 };

    assert_int_equal(f->ops->capset_info(f->b, 1, &id, &version, &size), 0);
    assert_true(size <= sizeof(caps));
    assert_int_equal(f->ops->capset(f->b, id, version, caps, sizeof(caps)), 0);
    assert_int_equal(caps[CAPABILITY_BITS_V2] & HAS_VIDEO_MEMORY, 0);
    assert_int_equal(caps[MAX_VIDEO_MEMORY], 0);
}

/* Nor are they offered memory that only we could map. */
static void test_capset_needs_no_blobs(void **state)
{
    struct virgl_fixture *f = *state;
    uint32_t id, version, size, caps[1024];
    enum { CAPABILITY_BITS = 392 / 4 };

    assert_int_equal(f->ops->capset_info(f->b, 1, &id, &version, &size), 0);
    assert_int_equal(f->ops->capset(f->b, id, version, caps, sizeof(caps)), 0);
    assert_true(caps[CAPABILITY_BITS] != 0);
    assert_int_equal(caps[CAPABILITY_BITS] & 1u << 31, 0); /* ARB_buffer_storage */
}

#define W 67
#define H 41

/* A different value for each pixel and byte. */
static void fill_gradient(uint8_t *pixels)
{
    for (uint32_t y = 0; y < H; y++)
        for (uint32_t x = 0; x < W; x++) {
            uint8_t *p = pixels + (y * W + x) * 4;
            p[0] = (uint8_t)(3 * x);
            p[1] = (uint8_t)(6 * y);
            p[2] = (uint8_t)(x + y);
            p[3] = (uint8_t)(200 - x);
        }
}

/* Cut where no row ends. */
static uint32_t scatter(uint8_t *pixels, struct iovec iov[3])
{
    iov[0] = (struct iovec){pixels, 1003};
    iov[1] = (struct iovec){pixels + 1003, 4096};
    iov[2] = (struct iovec){pixels + 5099, W * H * 4 - 5099};
    return 3;
}

static void round_trip(struct virgl_fixture *f, uint32_t format, const int order[4], uint32_t flags)
{
    static uint8_t original[W * H * 4], backing[W * H * 4], read[(W * 4 + 12) * H];
    struct backend_transfer all = {.resource_id = 1, .box = {.w = W, .h = H, .d = 1}};
    struct backend_transfer part = {.resource_id = 1,
                                    .stride = W * 4,
                                    .offset = (5 * W + 7) * 4,
                                    .box = {.x = 7, .y = 5, .w = 20, .h = 10, .d = 1}};
    const uint32_t stride = W * 4 + 12;
    bool alpha = order[3] >= 0;
    static struct iovec iov[3];

    fill_gradient(original);
    memcpy(backing, original, sizeof(backing));
    assert_int_equal(virgl_create_texture(f, 1, format, W, H, flags), 0);
    assert_int_equal(f->ops->transfer_to_host(f->b, &all), -EINVAL); /* no backing yet */
    assert_int_equal(f->ops->resource_back(f->b, 1, iov, scatter(backing, iov)), 0);
    assert_int_equal(f->ops->transfer_to_host(f->b, &all), 0);

    /* Back to the guest: the same bytes, not turned upside down. */
    memset(backing, 0, sizeof(backing));
    assert_int_equal(f->ops->transfer_from_host(f->b, &all), 0);
    for (size_t i = 0; i < sizeof(backing); i++)
        if (alpha || (int)(i % 4) == order[0] || (int)(i % 4) == order[1] ||
            (int)(i % 4) == order[2])
            assert_int_equal(backing[i], original[i]);

    /* A part of it changes, and nothing else. */
    for (uint32_t y = 5; y < 15; y++)
        memset(original + (y * W + 7) * 4, (int)(y * 9), 20 * 4);
    memcpy(backing, original, sizeof(backing));
    assert_int_equal(f->ops->transfer_to_host(f->b, &part), 0);

    /* To the display: B, G, R, top row first; whole, then a rectangle. */
    for (int pass = 0; pass < 2; pass++) {
        uint32_t x0 = pass ? 3 : 0, y0 = pass ? 2 : 0, w = pass ? 40 : W, h = pass ? 20 : H;
        memset(read, 0xee, sizeof(read));
        assert_int_equal(f->ops->read_pixels(f->b, 1, x0, y0, w, h, read, stride), 0);
        for (uint32_t y = 0; y < h; y++) {
            for (uint32_t x = 0; x < w; x++)
                for (int c = 0; c < 3; c++)
                    assert_int_equal(read[y * stride + x * 4 + (uint32_t)c],
                                     original[((y + y0) * W + x + x0) * 4 + (uint32_t)order[c]]);
            for (uint32_t i = w * 4; i < stride && y + 1 < h; i++)
                assert_int_equal(read[y * stride + i], 0xee);
        }
    }
    f->ops->resource_unback(f->b, 1);
    assert_int_equal(f->ops->transfer_to_host(f->b, &all), -EINVAL);
    f->ops->resource_destroy(f->b, 1);
}

static void test_pixels(void **state)
{
    static const struct {
        uint32_t format;
        int order[4]; /* where B, G, R, A are; A -1: none */
    } formats[] = {
        {1, {0, 1, 2, 3}}, {2, {0, 1, 2, -1}}, {67, {2, 1, 0, 3}},  {134, {2, 1, 0, -1}},
        {3, {3, 2, 1, 0}}, {4, {3, 2, 1, -1}}, {68, {1, 2, 3, -1}}, {121, {1, 2, 3, 0}},
    };
    struct virgl_fixture *f = *state;
    size_t supported = 0;

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        /* Alpha-first formats are optional in virglrenderer. */
        if (i >= 4 && virgl_create_texture(f, 1, formats[i].format, W, H, Y_0_TOP) < 0)
            continue;
        if (i >= 4)
            f->ops->resource_destroy(f->b, 1);
        round_trip(f, formats[i].format, formats[i].order, Y_0_TOP);
        round_trip(f, formats[i].format, formats[i].order, 0);
        supported++;
    }
    assert_true(supported >= 4);
}

static void test_clear_and_fences(void **state)
{
    struct virgl_fixture *f = *state;
    static uint8_t backing[W * H * 4];
    static struct iovec iov[3];
    struct virgl_stream s = {0};
    const struct backend_transfer back = {
        .ctx_id = 5, .resource_id = 9, .box = {.w = W, .h = H, .d = 1}};
    uint8_t pixel[4];

    assert_int_equal(f->ops->ctx_create(f->b, 5, 0, "test", 4), 0);
    assert_int_equal(virgl_create_texture(f, 9, B8G8R8A8, W, H, 0), 0);
    assert_int_equal(f->ops->resource_back(f->b, 9, iov, scatter(backing, iov)), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 5, 9), 0);
    virgl_put_draw_to(&s, 1, 9, B8G8R8A8);
    virgl_put_clear(&s, 1.0f, 0.2f, 0.6f, 0.4f);
    assert_int_equal(virgl_submit(f, 5, &s), 0);

    /* The device's timeline, then two of the context: each comes back under its own name. */
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 7), 0);
    virgl_wait_fence(f, 0, 0, 7);
    assert_int_equal(virgl_submit(f, 5, &(struct virgl_stream){0}), 0);
    assert_int_equal(f->ops->fence(f->b, true, 5, 0, 0x123456789abcdull), 0);
    assert_int_equal(f->ops->fence(f->b, true, 5, 3, 8), 0);
    virgl_wait_fence(f, 5, 0, 0x123456789abcdull);
    virgl_wait_fence(f, 5, 3, 8);

    assert_int_equal(f->ops->transfer_from_host(f->b, &back), 0);
    for (size_t i = 0; i < sizeof(backing); i += 4) {
        assert_int_equal(backing[i], 153);
        assert_int_equal(backing[i + 1], 51);
        assert_int_equal(backing[i + 2], 255);
        assert_int_equal(backing[i + 3], 102);
    }
    assert_int_equal(f->ops->read_pixels(f->b, 9, W - 1, H - 1, 1, 1, pixel, 4), 0);
    assert_int_equal(pixel[2], 255);

    f->ops->ctx_detach(f->b, 5, 9);
    f->ops->ctx_destroy(f->b, 5);
    assert_int_equal(virgl_submit(f, 5, &s), -ENOENT);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 9), 0);
    virgl_wait_fence(f, 0, 0, 9);
    /* Nothing under way: done before the call returns. */
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 10), 0);
    assert_true(virgl_is_done(f, 0, 0, 10));
}

static void test_draw(void **state)
{
    struct virgl_fixture *f = *state;
    struct virgl_stream s = {0};
    uint8_t pixels[64 * 64 * 4];

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(virgl_create_texture(f, 1, B8G8R8A8, 64, 64, 0), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 1), 0);
    virgl_put_draw_to(&s, 1, 1, B8G8R8A8);
    virgl_put_clear(&s, 0, 0, 0, 1);
    virgl_put_draw(&s);
    assert_int_equal(virgl_submit(f, 1, &s), 0);
    assert_int_equal(f->ops->fence(f->b, true, 1, 0, 1), 0);
    virgl_wait_fence(f, 1, 0, 1);
    assert_int_equal(f->ops->read_pixels(f->b, 1, 0, 0, 64, 64, pixels, 64 * 4), 0);
    for (size_t i = 0; i < sizeof(pixels); i += 4) {
        assert_in_range(pixels[i], 76, 77);
        assert_int_equal(pixels[i + 1], 51);
        assert_in_range(pixels[i + 2], 25, 26);
    }
}

/* Streams go to their own context, whatever was done in between. */
static void test_context_switch(void **state)
{
    struct virgl_fixture *f = *state;
    struct virgl_stream bind = {0}, red = {0}, green = {0};
    uint8_t pixel[4];

    for (uint32_t i = 1; i <= 2; i++) {
        assert_int_equal(f->ops->ctx_create(f->b, i, 2, "", 0), 0);
        assert_int_equal(virgl_create_texture(f, i, B8G8R8A8, 8, 8, 0), 0);
        assert_int_equal(f->ops->ctx_attach(f->b, i, i), 0);
        bind.count = 0;
        virgl_put_draw_to(&bind, 1, i, B8G8R8A8);
        assert_int_equal(virgl_submit(f, i, &bind), 0);
    }
    virgl_put_clear(&red, 1, 0, 0, 1);
    virgl_put_clear(&green, 0, 1, 0, 1);
    assert_int_equal(virgl_submit(f, 1, &green), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 3, 2, "", 0), 0);
    assert_int_equal(virgl_submit(f, 1, &red), 0);
    assert_int_equal(virgl_submit(f, 2, &red), 0);
    f->ops->ctx_destroy(f->b, 3);
    assert_int_equal(virgl_submit(f, 2, &green), 0);
    assert_int_equal(f->ops->read_pixels(f->b, 1, 3, 3, 1, 1, pixel, 4), 0);
    assert_int_equal(pixel[2], 255);
    assert_int_equal(pixel[1], 0);
    assert_int_equal(f->ops->read_pixels(f->b, 2, 3, 3, 1, 1, pixel, 4), 0);
    assert_int_equal(pixel[2], 0);
    assert_int_equal(pixel[1], 255);
}

/* Submits work and, behind it, a query whose result goes to result. */
static void submit_query(struct virgl_fixture *f, struct iovec *result)
{
    struct virgl_stream s = {0};

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    virgl_create_big(f, 1);
    assert_int_equal(virgl_create_query_buffer(f, 200, result), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 200), 0);
    virgl_put_heavy_work(&s);
    virgl_put_timestamp(&s, 1, 200);
    memset(result->iov_base, 0, result->iov_len);
    assert_int_equal(virgl_submit(f, 1, &s), 0);
}

/* A fence is reported after the GPU has done the work, and the queries before it are written then:
 * the timestamp taken after the work exists. */
static void test_fence_waits_for_gpu(void **state)
{
    struct virgl_fixture *f = *state;
    static uint32_t result[8];
    static struct iovec iov = {result, sizeof(result)};

    submit_query(f, &iov);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 1), 0);
    virgl_wait_fence(f, 0, 0, 1);
    assert_int_equal(result[0], QUERY_DONE);
}

/* The short way to wait tells no less than a fence. */
static void test_finish_writes_queries(void **state)
{
    struct virgl_fixture *f = *state;
    static uint32_t result[8];
    static struct iovec iov = {result, sizeof(result)};

    submit_query(f, &iov);
    assert_true(f->ops->finish(f->b, 60 * 1000 * 1000));
    assert_int_equal(result[0], QUERY_DONE);
}

/* Nor does a client wait for ever that reads a late result again and again. */
static void test_transfer_writes_queries(void **state)
{
    struct virgl_fixture *f = *state;
    static uint32_t result[8];
    static struct iovec iov = {result, sizeof(result)};
    const struct backend_transfer t = {.resource_id = 200, .ctx_id = 1, .box = {0, 0, 0, 32, 1, 1}};

    submit_query(f, &iov);
    assert_int_equal(result[0], 0);
    assert_true(virgl_fences_wait_current(60 * 1000 * 1000));
    assert_int_equal(f->ops->transfer_from_host(f->b, &t), 0);
    assert_int_equal(result[0], QUERY_DONE);
}

/* An object of a context keeps a resource alive; the backing is the guest's again all the same. */
static void test_backing_after_destroy(void **state)
{
    struct virgl_fixture *f = *state;
    static uint32_t result[8];
    static struct iovec iov = {result, sizeof(result)};
    struct virgl_stream s = {0};

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(virgl_create_query_buffer(f, 200, &iov), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 200), 0);
    virgl_put_timestamp(&s, 1, 200);
    assert_int_equal(virgl_submit(f, 1, &s), 0);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 1), 0);
    virgl_wait_fence(f, 0, 0, 1);
    f->ops->resource_destroy(f->b, 200);
    memset(result, 0x77, sizeof(result));
    s.count = 0; /* the same query once more */
    virgl_put_command(&s, END_QUERY, 0, 1);
    virgl_put(&s, 1);
    virgl_put_command(&s, GET_QUERY_RESULT, 0, 2);
    virgl_put(&s, 1);
    virgl_put(&s, 0);
    virgl_submit(f, 1, &s);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 2), 0);
    virgl_wait_fence(f, 0, 0, 2);
    for (size_t i = 0; i < ARRAY_SIZE(result); i++)
        assert_int_equal(result[i], 0x77777777);
}

/* Work of several contexts, one fence on a timeline that has next to none itself. */
static void test_fence_covers_all_contexts(void **state)
{
    struct virgl_fixture *f = *state;
    static uint32_t result[8];
    static struct iovec iov = {result, sizeof(result)};
    struct virgl_stream s = {0};

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 2, 1, "", 0), 0);
    virgl_create_big(f, 1);
    assert_int_equal(virgl_create_query_buffer(f, 200, &iov), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 200), 0);
    virgl_put_heavy_work(&s);
    virgl_put_timestamp(&s, 1, 200);
    memset(result, 0, sizeof(result));
    assert_int_equal(virgl_submit(f, 1, &s), 0);
    assert_int_equal(virgl_submit(f, 2, &(struct virgl_stream){0}), 0);
    assert_int_equal(f->ops->fence(f->b, true, 2, 0, 1), 0);
    virgl_wait_fence(f, 2, 0, 1);
    assert_int_equal(result[0], QUERY_DONE);
}

/* A context's fences are reported also if the context goes before. */
static void test_fence_outlives_context(void **state)
{
    struct virgl_fixture *f = *state;
    struct virgl_stream s = {0};

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 2, 2, "", 0), 0);
    virgl_create_big(f, 1);
    virgl_put_heavy_work(&s);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(virgl_submit(f, 1, &s), 0);
        assert_int_equal(f->ops->fence(f->b, true, 1, 0, i), 0);
    }
    f->ops->ctx_destroy(f->b, 2);
    f->ops->ctx_destroy(f->b, 1);
    for (uint64_t i = 1; i <= 4; i++)
        virgl_wait_fence(f, 1, 0, i);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(f->fences.done[i].fence_id, i + 1);
}

static void test_reset_forgets(void **state)
{
    struct virgl_fixture *f = *state;
    struct virgl_stream s = {0};
    size_t before;

    for (uint32_t round = 0; round < 3; round++) {
        assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
        virgl_create_big(f, 1);
        s.count = 0;
        virgl_put_heavy_work(&s);
        assert_int_equal(virgl_submit(f, 1, &s), 0);
        assert_int_equal(f->ops->fence(f->b, false, 0, 0, 1000), 0);
        assert_int_equal(f->ops->fence(f->b, true, 1, 1, 1001), 0);
        pthread_mutex_lock(&f->fences.lock);
        before = f->fences.count;
        pthread_mutex_unlock(&f->fences.lock);
        f->ops->reset(f->b);

        /* All is new, and fences still come; only new ones. */
        assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
        virgl_create_big(f, 1);
        assert_int_equal(virgl_submit(f, 1, &s), 0);
        assert_int_equal(f->ops->fence(f->b, false, 0, 0, 5 + round), 0);
        virgl_wait_fence(f, 0, 0, 5 + round);
        assert_int_equal(f->fences.count, before + 1);
        f->ops->reset(f->b);
    }
}

/* With a query that has no result yet virglrenderer's thread waits for the main thread: a driver
 * that starts anew, or a renderer that ends, just then must not wait for each other. */
static void test_reset_with_query(void **state)
{
    struct virgl_fixture *f = *state;
    static uint32_t result[8];
    static struct iovec iov = {result, sizeof(result)};

    for (int round = 0; round < 4; round++) {
        struct virgl_stream s = {0};
        assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
        virgl_create_big(f, 1);
        assert_int_equal(virgl_create_query_buffer(f, 200, &iov), 0);
        assert_int_equal(f->ops->ctx_attach(f->b, 1, 200), 0);
        virgl_put_heavy_work(&s);
        virgl_put_timestamp(&s, 1, 200);
        assert_int_equal(virgl_submit(f, 1, &s), 0);
        assert_int_equal(f->ops->fence(f->b, false, 0, 0, 1), 0);
        if (round % 2)
            break; /* virgl_tear_down with it under way */
        f->ops->reset(f->b);
        assert_int_equal(f->ops->fence(f->b, false, 0, 0, 2), 0);
        virgl_wait_fence(f, 0, 0, 2);
    }
}

static void test_bad_arguments(void **state)
{
    struct virgl_fixture *f = *state;
    static uint8_t backing[W * H * 4];
    static struct iovec iov[3];
    struct iovec none = {0};
    struct backend_transfer t = {.resource_id = 1, .box = {.w = W, .h = H, .d = 1}};
    struct backend_dmabuf dmabuf;
    uint8_t pixels[64];

    assert_int_equal(f->ops->ctx_create(f->b, 1, 4, "venus", 5), -EINVAL);
    assert_int_equal(f->ops->ctx_create(f->b, 0, 2, "", 0), -EINVAL);
    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "x", 1), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "x", 1), -EEXIST);
    assert_int_equal(virgl_create_texture(f, 1, 9999, 16, 16, 0), -EINVAL);
    assert_int_equal(virgl_create_texture(f, 1, B8G8R8A8, 0, 16, 0), -EINVAL);
    assert_int_equal(virgl_create_texture(f, 1, B8G8R8X8, W, H, Y_0_TOP), 0);
    assert_int_equal(virgl_create_texture(f, 1, B8G8R8X8, W, H, Y_0_TOP), -EEXIST);
    assert_int_equal(f->ops->resource_back(f->b, 1, &none, 0), -EINVAL);
    assert_int_equal(f->ops->resource_back(f->b, 2, iov, 3), -ENOENT);
    assert_int_equal(f->ops->resource_back(f->b, 1, iov, scatter(backing, iov)), 0);
    assert_int_equal(f->ops->resource_back(f->b, 1, iov, 3), -EBUSY);
    assert_int_equal(f->ops->ctx_attach(f->b, 1, 2), -ENOENT);
    assert_int_equal(f->ops->ctx_attach(f->b, 2, 1), -ENOENT);

    t.box.x = 1;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    assert_int_equal(f->ops->transfer_from_host(f->b, &t), -EINVAL);
    t.box.x = 0x80000000u;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    t.box.x = 0;
    t.level = 1;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    t.level = 0;
    t.offset = 4;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    t.offset = UINT64_MAX - 3;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    t.offset = 0;
    t.stride = W * 4 + 4; /* the last row would end behind the backing */
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    t.stride = W * 4 - 4;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    /* 40 × stride wraps to 8 in 32 bits. */
    t.stride = 0x66666667u;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    assert_int_equal(f->ops->transfer_from_host(f->b, &t), -EINVAL);
    t.stride = 0;
    t.ctx_id = 7;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -ENOENT);
    t.ctx_id = 0;
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), 0);

    assert_int_equal(f->ops->read_pixels(f->b, 1, W - 1, 0, 2, 1, pixels, 8), -EINVAL);
    assert_int_equal(f->ops->read_pixels(f->b, 1, 0, 0, 4, 1, pixels, 12), -EINVAL);
    assert_int_equal(f->ops->read_pixels(f->b, 3, 0, 0, 1, 1, pixels, 4), -ENOENT);
    assert_int_equal(f->ops->export_dmabuf(f->b, 1, &dmabuf), -EOPNOTSUPP);
    assert_int_equal(f->ops->export_dmabuf(f->b, 3, &dmabuf), -ENOENT);
    f->ops->resource_destroy(f->b, 77);
    f->ops->ctx_destroy(f->b, 77);
}

/* Strides whose sum wraps 32 bits passed virglrenderer's own check; GL then read far behind. */
static void test_wrapping_stride(void **state)
{
    struct virgl_fixture *f = *state;
    static uint8_t backing[4096];
    static struct iovec iov = {backing, sizeof(backing)};
    struct backend_transfer t = {
        .resource_id = 1, .stride = 0x80000000u, .box = {.w = 16, .h = 3, .d = 1}};

    assert_int_equal(virgl_create_texture(f, 1, B8G8R8A8, 16, 16, 0), 0);
    assert_int_equal(f->ops->resource_back(f->b, 1, &iov, 1), 0);
    assert_int_equal(f->ops->transfer_to_host(f->b, &t), -EINVAL);
    assert_int_equal(f->ops->transfer_from_host(f->b, &t), -EINVAL);
}

/* An error of one context is its own. */
static void test_context_error(void **state)
{
    struct virgl_fixture *f = *state;
    struct virgl_stream bad = {0}, good = {0};

    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "", 0), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 2, 2, "", 0), 0);
    assert_int_equal(virgl_create_texture(f, 1, B8G8R8A8, W, H, 0), 0);
    assert_int_equal(f->ops->ctx_attach(f->b, 2, 1), 0);
    virgl_put_command(&bad, 250, 0, 1);
    virgl_put(&bad, 0);
    virgl_put_draw_to(&good, 1, 1, B8G8R8A8);
    virgl_put_clear(&good, 0, 1, 0, 1);
    assert_int_equal(virgl_submit(f, 1, &bad), -EIO);
    assert_int_equal(virgl_submit(f, 1, &good), -EIO);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 1), 0);
    virgl_wait_fence(f, 0, 0, 1);
    assert_int_equal(virgl_submit(f, 2, &good), 0);
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 2), 0);
    virgl_wait_fence(f, 0, 0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRGL_TEST(one_instance),
        VIRGL_TEST(describes_software),
        VIRGL_TEST(capsets),
        VIRGL_TEST(capset_leaks_nothing),
        VIRGL_TEST(capset_needs_no_blobs),
        VIRGL_TEST(pixels),
        VIRGL_TEST(clear_and_fences),
        VIRGL_TEST(draw),
        VIRGL_TEST(context_switch),
        VIRGL_TEST(backing_after_destroy),
        VIRGL_TEST(fence_waits_for_gpu),
        VIRGL_TEST(finish_writes_queries),
        VIRGL_TEST(transfer_writes_queries),
        VIRGL_TEST(fence_covers_all_contexts),
        VIRGL_TEST(fence_outlives_context),
        VIRGL_TEST(reset_forgets),
        VIRGL_TEST(reset_with_query),
        VIRGL_TEST(bad_arguments),
        VIRGL_TEST(wrapping_stride),
        VIRGL_TEST(context_error),
    };

    if (!virgl_available("test_backend_virgl", BACKEND_VULKAN_OFF))
        return SKIP;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
