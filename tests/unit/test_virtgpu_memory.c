/* SPDX-License-Identifier: MIT */
/* Resources, blobs and transfers over a render node, against a driver of our own. */
#include "protocol/virtio_gpu.h"
#include "tests/unit/virtgpu_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define DXT1 105 /* blocks of 4 × 4 texels, 8 bytes */
#define PAGE 4096u

static uint64_t free_bytes(struct aliquot_vgpu *vgpu)
{
    struct aliquot_info info;

    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    return info.memory_free_bytes;
}

/* ---- resources ------------------------------------------------------------------------------ */

static void test_creation(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource_args args = {
        .target = 2,
        .format = BGRA8,
        .bind = 10,
        .width = 64,
        .height = 32,
        .depth = 1,
        .array_size = 1,
        .last_level = 3,
        .nr_samples = 0,
        .flags = 1,
        .backing_bytes = 3 * PAGE - 8,
    };
    struct aliquot_resource *resource = NULL, *bare = NULL, *flat = NULL;
    size_t bytes = 0;

    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &resource), 0);
    assert_int_equal(fake.resource.bind, 10);
    assert_int_equal(fake.resource.height, 32);
    assert_int_equal(fake.resource.last_level, 3);
    assert_int_equal(fake.resource.flags, 1);
    assert_int_equal(fake.resource.size, 3 * PAGE - 8);
    assert_true(aliquot_resource_id(resource) > 100);
    memset(aliquot_resource_map(resource, &bytes), 1, 3 * PAGE - 8);
    assert_int_equal(bytes, 3 * PAGE);
    assert_int_equal(free_bytes(s->vgpu), ALIQUOT_MEMORY_MIN_BYTES - 3 * PAGE);
    assert_int_equal(aliquot_resource_wait(resource), 0);

    args.backing_bytes = 0;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &bare), 0);
    assert_null(aliquot_resource_map(bare, NULL));
    assert_int_equal(aliquot_transfer_to_host(NULL, bare, &(struct aliquot_transfer){0}, NULL),
                     -EINVAL);

    /* What RESOURCE_CREATE_2D makes of it. */
    assert_int_equal(aliquot_resource_create_2d(s->vgpu, 2, 40, 30, &flat), 0);
    assert_int_equal(fake.resource.target, 2);
    assert_int_equal(fake.resource.format, 2);
    assert_int_equal(fake.resource.bind, 1 << 1);
    assert_int_equal(fake.resource.depth, 1);
    assert_int_equal(fake.resource.array_size, 1);
    assert_int_equal(fake.resource.flags, VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP);
    assert_int_equal(fake.resource.size, 40 * 30 * 4);

    aliquot_resource_destroy(flat);
    aliquot_resource_destroy(bare);
    aliquot_resource_destroy(resource);
    assert_int_equal(fake.handles, 0);
    assert_int_equal(free_bytes(s->vgpu), ALIQUOT_MEMORY_MIN_BYTES);
}

static void test_memory_limit(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource_args args = {
        .format = 64, .width = 16, .height = 1, .depth = 1, .array_size = 1};
    struct aliquot_resource *first = NULL, *second = NULL;

    args.backing_bytes = ALIQUOT_MEMORY_MIN_BYTES + 1;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &first), -EINVAL);
    args.backing_bytes = ALIQUOT_MEMORY_MIN_BYTES - PAGE + 1;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &first), 0);
    assert_int_equal(free_bytes(s->vgpu), 0);
    args.backing_bytes = 1;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &second), -ENOMEM);
    aliquot_resource_destroy(first);
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &second), 0);
    aliquot_resource_destroy(second);

    /* What the kernel refuses takes nothing. */
    fake.fail_request = DRM_IOCTL_VIRTGPU_RESOURCE_CREATE;
    fake.fail_errno = ENOMEM;
    second = NULL;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &second), -ENOMEM);
    fake.fail_request = DRM_IOCTL_VIRTGPU_MAP;
    fake.fail_errno = ENOENT;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &args, &second), -ENOENT);
    expect_error(s->vgpu, "MAP");
    assert_null(second);
    assert_int_equal(fake.handles, 0);
    assert_int_equal(free_bytes(s->vgpu), ALIQUOT_MEMORY_MIN_BYTES);
}

/* ---- transfers ------------------------------------------------------------------------------ */

struct picture {
    uint32_t format, width, height;
};

static struct aliquot_resource *make_picture(struct aliquot_vgpu *vgpu, struct picture p)
{
    const struct aliquot_resource_args args = {
        .target = 2,
        .format = p.format,
        .width = p.width,
        .height = p.height,
        .depth = 1,
        .array_size = 4,
        .backing_bytes = 1 << 20,
    };
    struct aliquot_resource *resource = NULL;

    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &resource), 0);
    fake.n_transfers = 0;
    return resource;
}

/* Rows and layers as long as the level has them need no words, others go one at a time. */
static void test_strides(void **state)
{
    static const struct {
        struct picture picture;
        struct aliquot_transfer transfer;
        unsigned commands;
        uint32_t last_offset, last_h; /* of the last command */
    } cases[] = {
        {{BGRA8, 64, 16}, {.box = {.w = 64, .h = 16, .d = 1}}, 1, 0, 16},
        {{BGRA8, 64, 16}, {.box = {.w = 64, .h = 16, .d = 1}, .stride = 256}, 1, 0, 16},
        {{BGRA8, 64, 16},
         {.box = {.w = 8, .h = 4, .d = 1}, .stride = 256, .offset = 512},
         1,
         512,
         4},
        {{BGRA8, 64, 16},
         {.box = {.w = 8, .h = 4, .d = 1}, .stride = 32, .offset = 512},
         4,
         608,
         1},
        {{BGRA8, 64, 16}, {.box = {.w = 8, .h = 1, .d = 1}, .stride = 32}, 1, 0, 1},
        {{BGRA8, 64, 16}, {.box = {.w = 8, .h = 2, .d = 3}, .stride = 256}, 1, 0, 2},
        {{BGRA8, 64, 16}, {.box = {.w = 8, .h = 2, .d = 3}, .layer_stride = 4096}, 1, 0, 2},
        {{BGRA8, 64, 16}, {.box = {.w = 8, .h = 2, .d = 3}, .layer_stride = 8192}, 6, 16640, 1},
        {{BGRA8, 64, 16}, {.box = {.w = 8, .h = 2, .d = 2}, .stride = 512}, 4, 8704, 1},
        /* Level 1 is 32 by 8. */
        {{BGRA8, 64, 16}, {.box = {.w = 4, .h = 2, .d = 1}, .level = 1, .stride = 128}, 1, 0, 2},
        {{BGRA8, 64, 16}, {.box = {.w = 4, .h = 2, .d = 1}, .level = 1, .stride = 256}, 2, 256, 1},
        /* 16 blocks of 8 bytes in a row, 4 rows of blocks. */
        {{DXT1, 64, 16}, {.box = {.w = 64, .h = 16, .d = 1}, .stride = 128}, 1, 0, 16},
        {{DXT1, 64, 14}, {.box = {.w = 64, .h = 14, .d = 1}, .stride = 136}, 4, 408, 2},
        {{DXT1, 64, 16}, {.box = {.w = 8, .h = 4, .d = 1}, .stride = 16}, 1, 0, 4},
        /* Nothing is nothing. */
        {{BGRA8, 64, 16}, {.box = {.w = 8, .h = 0, .d = 1}, .stride = 32}, 1, 0, 0},
    };
    struct virtgpu_scene *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int to_host = 0; to_host < 2; to_host++) {
            struct aliquot_resource *resource = make_picture(s->vgpu, cases[i].picture);
            int result = to_host
                             ? aliquot_transfer_to_host(NULL, resource, &cases[i].transfer, NULL)
                             : aliquot_transfer_from_host(NULL, resource, &cases[i].transfer, NULL);
            assert_int_equal(result, 0);
            if (fake.n_transfers != cases[i].commands)
                fail_msg("case %zu: %u commands", i, fake.n_transfers);
            const struct fake_transfer *last = &fake.transfers[fake.n_transfers - 1];
            assert_int_equal(last->to_host, to_host);
            assert_int_equal(last->args.stride, 0);
            assert_int_equal(last->args.layer_stride, 0);
            assert_int_equal(last->args.level, cases[i].transfer.level);
            if (last->args.offset != cases[i].last_offset || last->args.box.h != cases[i].last_h)
                fail_msg("case %zu: offset %u, height %u", i, last->args.offset, last->args.box.h);
            aliquot_resource_destroy(resource);
        }
    }
}

/* Each row of a picture with rows of its own lies where it belongs. */
static void test_rows(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource *resource = make_picture(s->vgpu, (struct picture){BGRA8, 64, 16});
    const struct aliquot_transfer t = {
        .box = {.x = 3, .y = 5, .z = 1, .w = 8, .h = 3, .d = 2}, .stride = 100, .offset = 40};
    struct aliquot_fence *fence = NULL;

    assert_int_equal(aliquot_transfer_to_host(NULL, resource, &t, &fence), 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(fake.n_transfers, 6);
    for (unsigned i = 0; i < 6; i++) {
        const struct drm_virtgpu_3d_transfer_to_host *args = &fake.transfers[i].args;
        assert_int_equal(args->box.x, 3);
        assert_int_equal(args->box.y, 5 + i % 3);
        assert_int_equal(args->box.z, 1 + i / 3);
        assert_int_equal(args->box.w, 8);
        assert_int_equal(args->box.h, 1);
        assert_int_equal(args->box.d, 1);
        assert_int_equal(args->offset, 40 + i / 3 * 1600 + i % 3 * 100);
    }
    /* The fence came after them, from the same node. */
    assert_int_equal(fake.execbuffer.size, 0);
    assert_int_equal(fake.execbuffer_fd, fake.transfers[0].fd);
}

static void test_bad_transfers(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource *resource = make_picture(s->vgpu, (struct picture){BGRA8, 64, 16});
    struct aliquot_resource *flat = NULL;
    struct aliquot_fence *fence = NULL;
    struct aliquot_transfer t = {.box = {.w = 8, .h = 4, .d = 1}};

    t.offset = 1 << 20;
    assert_int_equal(aliquot_transfer_to_host(NULL, resource, &t, &fence), -EINVAL);
    t.offset = 0;
    t.stride = 1 << 20; /* the second row is outside */
    assert_int_equal(aliquot_transfer_to_host(NULL, resource, &t, &fence), -EINVAL);
    t.stride = 0xfffffff0u;
    t.box.h = 0xfffffff0u;
    assert_int_equal(aliquot_transfer_to_host(NULL, resource, &t, &fence), -EINVAL);
    t.box.h = 4;
    t.stride = 0;
    fake.fail_request = DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST;
    fake.fail_errno = EINVAL;
    assert_int_equal(aliquot_transfer_from_host(NULL, resource, &t, &fence), -EINVAL);
    expect_error(s->vgpu, "TRANSFER_FROM_HOST");
    fake.fail_request = 0;
    assert_int_equal(aliquot_resource_create_2d(s->vgpu, BGRA8, 8, 8, &flat), 0);
    assert_int_equal(aliquot_transfer_from_host(NULL, flat, &t, &fence), -EOPNOTSUPP);
    assert_int_equal(aliquot_transfer_to_host(s->context, flat, &t, &fence), -EOPNOTSUPP);
    assert_int_equal(aliquot_transfer_to_host(NULL, flat, &t, NULL), 0);
    assert_null(fence);
}

/* ---- blobs ---------------------------------------------------------------------------------- */

static void test_blobs(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_blob_args args = {.mem = ALIQUOT_BLOB_HOST3D,
                                     .flags = ALIQUOT_BLOB_MAPPABLE,
                                     .blob_id = 7,
                                     .bytes = 4 * PAGE};
    struct aliquot_resource *blob = NULL, *guest = NULL;
    void *memory = NULL, *again = NULL, *part = NULL;
    size_t bytes = 0;

    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), 0);
    assert_int_equal(fake.blob.blob_id, 7);
    assert_int_equal(fake.blob.size, 4 * PAGE);
    assert_int_equal(free_bytes(s->vgpu), ALIQUOT_MEMORY_MIN_BYTES);
    assert_null(aliquot_resource_map(blob, NULL));
    assert_int_equal(aliquot_blob_map(blob, &memory, &bytes), 0);
    assert_int_equal(bytes, 4 * PAGE);
    memset(memory, 1, bytes);
    assert_int_equal(aliquot_blob_map(blob, &again, NULL), 0);
    assert_ptr_equal(memory, again);

    /* A part, where the kernel wants, and at an address. */
    assert_int_equal(
        aliquot_blob_mmap(blob, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 2 * PAGE, &part), 0);
    memset(part, 2, PAGE);
    void *place = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *wish = place;
    assert_int_equal(
        aliquot_blob_mmap(blob, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, PAGE, &wish),
        0);
    assert_ptr_equal(wish, place);
    memset(wish, 3, PAGE);
    assert_int_equal(aliquot_blob_mmap(blob, PAGE, PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_FIXED_NOREPLACE, PAGE, &wish),
                     -EEXIST);
    munmap(wish, PAGE);
    assert_int_equal(aliquot_blob_mmap(blob, PAGE, PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_FIXED_NOREPLACE, PAGE, &wish),
                     0);
    munmap(wish, PAGE);
    munmap(part, PAGE);

    assert_int_equal(aliquot_blob_mmap(blob, PAGE, PROT_READ, MAP_SHARED, 4 * PAGE, &part),
                     -EINVAL);
    assert_int_equal(aliquot_blob_mmap(blob, PAGE, PROT_READ, MAP_SHARED, 100, &part), -EINVAL);
    assert_int_equal(aliquot_blob_mmap(blob, 0, PROT_READ, MAP_SHARED, 0, &part), -EINVAL);

    /* In the guest's memory: as backing, and counted like it. */
    args.mem = ALIQUOT_BLOB_GUEST;
    args.blob_id = 0;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, NULL, &args, &guest), 0);
    assert_int_equal(free_bytes(s->vgpu), ALIQUOT_MEMORY_MIN_BYTES - 4 * PAGE);
    assert_int_equal(aliquot_blob_map(guest, &memory, NULL), 0);
    assert_ptr_equal(memory, aliquot_resource_map(guest, NULL));
    aliquot_resource_destroy(guest);
    aliquot_resource_destroy(blob);
    assert_int_equal(fake.handles, 0);
}

/* A blob outlives the context it was made in, as it does on the device. */
static void test_blob_without_context(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_blob_args args = {
        .mem = ALIQUOT_BLOB_HOST3D, .flags = ALIQUOT_BLOB_MAPPABLE, .blob_id = 7, .bytes = PAGE};
    struct aliquot_resource *blob = NULL;
    struct aliquot_context *other = NULL;
    void *memory = NULL;

    assert_int_equal(aliquot_context_create(s->vgpu, 4, NULL, &other), 0);
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, other, &args, &blob), 0);
    assert_int_equal(aliquot_context_attach(other, blob), 0); /* it is already */
    assert_int_equal(fake.imports, 0);
    assert_int_equal(aliquot_context_attach(s->context, blob), 0);
    assert_int_equal(aliquot_context_detach(other, blob), 0);
    aliquot_context_destroy(other);
    assert_int_equal(aliquot_blob_map(blob, &memory, NULL), 0);
    memset(memory, 1, PAGE);
    aliquot_resource_destroy(blob);
    assert_int_equal(fake.handles, 0);
}

static void test_bad_blobs(void **state)
{
    struct virtgpu_scene *s = *state;
    const struct aliquot_blob_args good = {.mem = ALIQUOT_BLOB_HOST3D, .blob_id = 7, .bytes = PAGE};
    struct aliquot_blob_args args = good;
    struct aliquot_resource *blob = NULL;
    void *memory = NULL;

    args.mem = 4;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), -EINVAL);
    args = good;
    args.bytes = 100;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), -EINVAL);
    args = good;
    args.flags = 8;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), -EINVAL);
    args = good;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, NULL, &args, &blob), -EINVAL);
    fake.fail_request = DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB;
    fake.fail_errno = ENOSPC;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), -ENOMEM);
    fake.fail_request = 0;
    assert_int_equal(aliquot_resource_create_blob(s->vgpu, s->context, &args, &blob), 0);
    assert_int_equal(aliquot_blob_map(blob, &memory, NULL), -EINVAL); /* not mappable */
    aliquot_resource_destroy(blob);
}

/* A device without blobs, and one without memory in which they could be seen. */
static void test_no_blobs(void **state)
{
    struct aliquot_blob_args args = {
        .mem = ALIQUOT_BLOB_HOST3D, .flags = ALIQUOT_BLOB_MAPPABLE, .blob_id = 7, .bytes = PAGE};
    struct aliquot_resource *blob = NULL;

    for (int has_blob = 0; has_blob < 2; has_blob++) {
        struct aliquot_vgpu *vgpu = NULL;
        struct aliquot_context *context;

        fake_reset();
        fake.has_blob = has_blob;
        fake.has_host_visible = false;
        assert_int_equal(aliquot_open(&(struct aliquot_open_args){.path = FAKE_NODE}, &vgpu), 0);
        assert_int_equal(aliquot_context_create(vgpu, 4, NULL, &context), 0);
        assert_int_equal(aliquot_resource_create_blob(vgpu, context, &args, &blob), -EOPNOTSUPP);
        expect_error(vgpu, has_blob ? "host-visible" : "no blobs");
        aliquot_close(vgpu);
    }
    assert_null(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_creation, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_memory_limit, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_strides, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_rows, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_bad_transfers, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_blobs, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_blob_without_context, virtgpu_set_up,
                                        virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_bad_blobs, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test(test_no_blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
