/* SPDX-License-Identifier: MIT */
#include "mediator/base/util.h"
#include "mediator/renderer/backend.h"
#include "protocol/virtio_gpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct {
    unsigned count;
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
} fenced;

static void on_fence(void *opaque, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id)
{
    assert_ptr_equal(opaque, &fenced);
    fenced.count++;
    fenced.ctx_id = ctx_id;
    fenced.ring_idx = ring_idx;
    fenced.fence_id = fence_id;
}

static int setup(void **state)
{
    static const struct backend_events events = {.fence_done = on_fence};
    const struct backend_config config = {.gpu = "auto", .events = &events, .opaque = &fenced};
    struct backend *b;
    const char *error;

    memset(&fenced, 0, sizeof(fenced));
    assert_int_equal(backend_null.create(&config, &b, &error), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    backend_null.destroy(*state);
    return 0;
}

static void create(struct backend *b, uint32_t id, uint32_t target, uint32_t format)
{
    const struct backend_resource_args args = {
        .id = id, .target = target, .format = format, .width = 8, .height = 4, .depth = 1};

    assert_int_equal(b->ops->resource_create(b, &args), 0);
}

static void test_capsets(void **state)
{
    struct backend *b = *state;
    uint32_t id, version, size;
    uint8_t buf[1384];

    assert_int_equal(b->ops->capset_count(b), 2);
    assert_int_equal(b->ops->capset_info(b, 0, &id, &version, &size), 0);
    assert_int_equal(id, VIRTIO_GPU_CAPSET_VIRGL);
    assert_int_equal(size, 308);
    assert_int_equal(b->ops->capset_info(b, 1, &id, &version, &size), 0);
    assert_int_equal(id, VIRTIO_GPU_CAPSET_VIRGL2);
    assert_int_equal(version, 2);
    assert_int_equal(size, sizeof(buf));
    assert_int_equal(b->ops->capset_info(b, 2, &id, &version, &size), -EINVAL);
    memset(buf, 0xff, sizeof(buf));
    assert_int_equal(b->ops->capset(b, id, version, buf, size), 0);
    assert_int_equal(buf[0], 2);
    for (size_t i = 4; i < sizeof(buf); i++)
        assert_int_equal(buf[i], 0);
    assert_int_equal(b->ops->capset(b, id, 3, buf, size), -EINVAL);
    assert_int_equal(b->ops->capset(b, 4, 0, buf, size), -EINVAL);
}

static void test_fence(void **state)
{
    struct backend *b = *state;

    assert_int_equal(b->ops->fence(b, true, 3, 2, 1ull << 40), 0);
    assert_int_equal(fenced.count, 1);
    assert_int_equal(fenced.ctx_id, 3);
    assert_int_equal(fenced.ring_idx, 2);
    assert_true(fenced.fence_id == 1ull << 40);
}

static void test_pixels_both_ways(void **state)
{
    struct backend *b = *state;
    uint32_t backing[8 * 4], out[8 * 4];
    /* In three uneven pieces. */
    struct iovec iov[3] = {{backing, 50}, {(char *)backing + 50, 1}, {(char *)backing + 51, 77}};
    struct backend_transfer t = {.resource_id = 1, .box = {2, 1, 0, 3, 2, 1}, .offset = 40};

    create(b, 1, 2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
    assert_int_equal(b->ops->read_pixels(b, 1, 0, 0, 8, 4, out, 32), 0);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(out[i], 0);
    assert_int_equal(b->ops->transfer_to_host(b, &t), -EINVAL); /* no backing */
    assert_int_equal(b->ops->resource_back(b, 1, iov, 3), 0);
    for (uint32_t i = 0; i < 32; i++)
        backing[i] = 0x01020300u + i;
    assert_int_equal(b->ops->transfer_to_host(b, &t), 0); /* stride 0: that of the resource */
    assert_int_equal(b->ops->read_pixels(b, 1, 0, 0, 8, 4, out, 32), 0);
    for (uint32_t y = 0; y < 4; y++) {
        for (uint32_t x = 0; x < 8; x++) {
            bool in = x >= 2 && x < 5 && y >= 1 && y < 3;
            assert_int_equal(out[y * 8 + x], in ? backing[10 + (y - 1) * 8 + (x - 2)] : 0);
        }
    }

    /* Back, with a stride of its own; nothing else of the backing changes. */
    memset(backing, 0x77, sizeof(backing));
    t.stride = 12;
    t.offset = 4;
    assert_int_equal(b->ops->transfer_from_host(b, &t), 0);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(backing[1 + i], out[(1 + i / 3) * 8 + 2 + i % 3]);
    assert_int_equal(backing[0], 0x77777777);
    assert_int_equal(backing[7], 0x77777777);
    b->ops->resource_unback(b, 1);
    assert_int_equal(b->ops->transfer_from_host(b, &t), -EINVAL);
}

static void test_transfers_that_do_not_fit(void **state)
{
    struct backend *b = *state;
    uint32_t backing[8 * 4] = {0};
    struct iovec iov = {backing, sizeof(backing)};
    const struct backend_transfer bad[] = {
        {.resource_id = 9, .box = {0, 0, 0, 1, 1, 1}},
        {.resource_id = 1, .box = {0, 0, 0, 8, 4, 1}, .offset = 4},
        {.resource_id = 1, .box = {0, 0, 0, 8, 1, 1}, .offset = UINT64_MAX - 3},
        {.resource_id = 1, .box = {0, 0, 0, 8, 4, 1}, .stride = 33},
        {.resource_id = 1, .box = {0, 0, 0, 8, 4, 1}, .stride = UINT32_MAX},
        {.resource_id = 1, .box = {0, 0, 0, 8, 4, 1}, .stride = 4},
        {.resource_id = 1, .box = {0, 0, 0, 9, 1, 1}},
        {.resource_id = 1, .box = {0, 0, 0, 1, 1, 2}},
        {.resource_id = 1, .box = {UINT32_MAX, 0, 0, 2, 1, 1}},
    };

    create(b, 1, 2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
    assert_int_equal(b->ops->resource_back(b, 1, &iov, 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(b->ops->transfer_to_host(b, &bad[i]), -EINVAL);
        assert_int_equal(b->ops->transfer_from_host(b, &bad[i]), -EINVAL);
    }
    assert_int_equal(b->ops->read_pixels(b, 1, 1, 0, 8, 1, backing, 32), -EINVAL);
    assert_int_equal(b->ops->read_pixels(b, 9, 0, 0, 1, 1, backing, 32), -EINVAL);
    assert_int_equal(b->ops->resource_back(b, 9, &iov, 1), -EINVAL);
}

static void test_byte_orders(void **state)
{
    struct backend *b = *state;
    /* Bytes of one pixel with blue 1, green 2, red 3, alpha or nothing 4. */
    static const struct {
        uint32_t format;
        uint8_t bytes[4];
    } cases[] = {
        {VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, {1, 2, 3, 4}},
        {VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, {1, 2, 3, 4}},
        {VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, {4, 3, 2, 1}},
        {VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, {4, 3, 2, 1}},
        {VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, {3, 2, 1, 4}},
        {VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, {3, 2, 1, 4}},
        {VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, {4, 1, 2, 3}},
        {VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, {4, 1, 2, 3}},
    };
    static const uint8_t want[4] = {1, 2, 3, 4};

    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t out[4];
        struct iovec iov = {(void *)cases[i].bytes, 4};
        const struct backend_transfer t = {.resource_id = i + 1, .box = {7, 3, 0, 1, 1, 1}};

        create(b, i + 1, 2, cases[i].format);
        assert_int_equal(b->ops->resource_back(b, i + 1, &iov, 1), 0);
        assert_int_equal(b->ops->transfer_to_host(b, &t), 0);
        assert_int_equal(b->ops->read_pixels(b, i + 1, 7, 3, 1, 1, out, 4), 0);
        assert_memory_equal(out, want, 4);
    }
}

static void test_3d_is_accepted(void **state)
{
    struct backend *b = *state;
    uint32_t stream[4] = {0}, out[32];
    struct iovec iov = {stream, sizeof(stream)};
    struct backend_dmabuf dmabuf;
    const struct backend_transfer t = {.ctx_id = 1, .resource_id = 1, .box = {0, 0, 0, 8, 4, 1}};

    assert_int_equal(b->ops->ctx_create(b, 1, 0, "x", 1), 0);
    create(b, 1, 3, 67);
    assert_int_equal(b->ops->ctx_attach(b, 1, 1), 0);
    assert_int_equal(b->ops->resource_back(b, 1, &iov, 1), 0);
    assert_int_equal(b->ops->transfer_to_host(b, &t), 0);
    assert_int_equal(b->ops->transfer_from_host(b, &t), 0);
    assert_int_equal(b->ops->submit(b, 1, stream, sizeof(stream)), 0);
    memset(out, 0xff, sizeof(out));
    assert_int_equal(b->ops->read_pixels(b, 1, 0, 0, 8, 4, out, 32), 0);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(out[i], 0);
    assert_int_equal(b->ops->export_dmabuf(b, 1, &dmabuf), -EOPNOTSUPP);
    b->ops->ctx_detach(b, 1, 1);
    b->ops->ctx_destroy(b, 1);
    b->ops->resource_destroy(b, 1);
    b->ops->resource_destroy(b, 1);
    create(b, 1, 2, 1);
    b->ops->reset(b);
    create(b, 1, 2, 1); /* the id is free again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_capsets),          TEST(test_fence),
        TEST(test_pixels_both_ways), TEST(test_transfers_that_do_not_fit),
        TEST(test_byte_orders),      TEST(test_3d_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
