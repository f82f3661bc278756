/* SPDX-License-Identifier: MIT */
/*
 * What a vGPU offers to programs, whichever way they get to it: on the host this suite is run over
 * a socket, in a guest over a render node. It gets the path, and whether the device is to have all
 * (Venus, blobs, CONTEXT_INIT) or virgl alone.
 */
#include "tests/clients/vgpu.h"

#include <errno.h>
#include <linux/virtio_gpu.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define SIDE 64
#define PAGE 4096u
#define VIRGL2 2
#define VENUS 4
/* Slow: guests are emulated, with sanitizers in the programs. */
#define PATIENT_GUEST_MS 60000

static const char *path;
static bool full; /* the device has all */

static const struct aliquot_resource_args texture = {
    .target = 2,
    .format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
    .bind = 1 << 1,
    .width = SIDE,
    .height = SIDE,
    .depth = 1,
    .array_size = 1,
    .backing_bytes = 2 * SIDE * SIDE * 4,
};
static const struct aliquot_transfer whole = {.box = {.w = SIDE, .h = SIDE, .d = 1}};

static struct aliquot_vgpu *start(void)
{
    return open_vgpu(path, -1, PATIENT_GUEST_MS);
}

/* Nothing failed unseen, and all memory came back. */
static void finish(struct aliquot_vgpu *vgpu)
{
    struct aliquot_info info;

    assert_int_equal(aliquot_sync(vgpu), 0);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_int_equal(info.errors, 0);
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.memory_free_bytes, info.memory_bytes);
    aliquot_close(vgpu);
}

static void test_capsets(void **state)
{
    struct aliquot_vgpu *vgpu = start();
    static uint8_t data[1 << 20];
    struct aliquot_info info;
    uint64_t ids = 0;

    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_true(info.features & 1 << VIRTIO_GPU_F_VIRGL);
    assert_int_equal(!!(info.features & 1 << VIRTIO_GPU_F_CONTEXT_INIT), full);
    assert_int_equal(!!(info.features & 1 << VIRTIO_GPU_F_RESOURCE_BLOB), full);
    assert_int_equal(info.host_visible_bytes != 0, full);
    for (uint32_t i = 0; i < info.num_capsets; i++) {
        struct aliquot_capset_info capset;
        size_t bytes = 0;
        assert_int_equal(aliquot_capset_info(vgpu, i, &capset), 0);
        assert_int_equal(
            aliquot_capset(vgpu, capset.id, capset.max_version, data, sizeof(data), &bytes), 0);
        assert_int_equal(bytes, capset.max_bytes);
        printf("capset %u version %u: %zu bytes\n", capset.id, capset.max_version, bytes);
        ids |= 1ull << capset.id;
    }
    assert_true(ids & 1 << VIRGL2);
    assert_true(!full || ids & 1 << VENUS); /* there may be one that is of no use */
    assert_int_equal(aliquot_capset_info(vgpu, info.num_capsets, &(struct aliquot_capset_info){0}),
                     -EINVAL);
    assert_int_equal(aliquot_capset(vgpu, 60, 1, data, sizeof(data), NULL), -EINVAL);
    assert_int_equal(aliquot_capset(vgpu, VIRGL2, 1, data, 0, NULL), -EINVAL);
    finish(vgpu);
}

static void test_contexts(void **state)
{
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_context *a = NULL, *b = NULL, *none = NULL;
    struct aliquot_fence *fence = NULL;

    assert_int_equal(aliquot_context_create(vgpu, VIRGL2, "suite", &a), 0);
    assert_int_equal(aliquot_context_create(vgpu, 0, NULL, &b), 0);
    assert_int_equal(aliquot_fence_finish(submit(a)), 0);
    assert_int_equal(aliquot_fence_finish(submit(b)), 0);
    aliquot_context_destroy(b);
    if (full) {
        assert_int_equal(aliquot_context_create(vgpu, VENUS, "venus", &b), 0);
        assert_int_equal(aliquot_submit(b, NULL, 0, 0, &fence), 0); /* a timeline of its own */
        assert_int_equal(aliquot_fence_finish(fence), 0);
        aliquot_context_destroy(b);
    } else {
        assert_int_equal(aliquot_context_create(vgpu, VENUS, "venus", &none), -EINVAL);
        assert_int_equal(aliquot_submit(a, NULL, 0, 0, &fence), -EINVAL);
    }
    assert_int_equal(aliquot_context_create(vgpu, 60, NULL, &none), -EINVAL);
    assert_int_equal(aliquot_context_create(vgpu, 256, NULL, &none), -EINVAL);
    assert_null(none);
    aliquot_context_destroy(a);
    finish(vgpu);
}

static void run(struct aliquot_context *context, struct aliquot_resource *resource,
                const struct aliquot_transfer *t, bool to_host)
{
    struct aliquot_fence *fence = NULL;
    int result = to_host ? aliquot_transfer_to_host(context, resource, t, &fence)
                         : aliquot_transfer_from_host(context, resource, t, &fence);

    assert_int_equal(result, 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
}

static void fill(uint32_t *pixels, size_t count, uint32_t seed)
{
    for (size_t i = 0; i < count; i++)
        pixels[i] = seed + (uint32_t)i * 2654435761u;
}

static void test_transfers(void **state)
{
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_context *a = make_context(vgpu), *b = make_context(vgpu);
    struct aliquot_resource *resource = NULL;
    static uint32_t expected[SIDE * SIDE];
    size_t bytes = 0;

    assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resource), 0);
    assert_int_equal(aliquot_resource_wait(resource), 0);
    assert_int_equal(aliquot_context_attach(a, resource), 0);
    assert_int_equal(aliquot_context_attach(b, resource), 0);
    uint32_t *memory = aliquot_resource_map(resource, &bytes);
    assert_int_equal(bytes, texture.backing_bytes);

    /* There by one context, and back by another. */
    fill(expected, SIDE * SIDE, 1);
    memcpy(memory, expected, sizeof(expected));
    run(a, resource, &whole, true);
    memset(memory, 0, bytes);
    run(b, resource, &whole, false);
    assert_memory_equal(memory, expected, sizeof(expected));

    /* A part, whose rows lie further apart than they are long, from behind the start. */
    const struct aliquot_transfer part = {
        .box = {.x = 8, .y = 16, .w = 10, .h = 5, .d = 1}, .stride = 20 * 4, .offset = SIDE * 4};
    memset(memory, 0, bytes);
    for (unsigned row = 0; row < 5; row++) {
        fill(memory + SIDE + row * 20, 10, row + 77);
        fill(expected + (size_t)(16 + row) * SIDE + 8, 10, row + 77);
    }
    run(a, resource, &part, true);
    memset(memory, 0, bytes);
    run(NULL, resource, &whole, false); /* by no context at all */
    assert_memory_equal(memory, expected, sizeof(expected));
    memset(memory, 0, bytes);
    run(b, resource, &part, false);
    for (unsigned row = 0; row < 5; row++)
        assert_memory_equal(memory + SIDE + row * 20, expected + (size_t)(16 + row) * SIDE + 8,
                            10 * 4);
    assert_int_equal(memory[SIDE + 10], 0); /* and nothing between the rows */

    assert_int_equal(aliquot_context_detach(b, resource), 0);
    aliquot_resource_destroy(resource);
    aliquot_context_destroy(b);
    aliquot_context_destroy(a);
    finish(vgpu);
}

static void test_buffer(void **state)
{
    const struct aliquot_resource_args args = {
        .target = 0,
        .format = 64, /* R8 */
        .bind = 1 << 4,
        .width = 3 * PAGE,
        .height = 1,
        .depth = 1,
        .array_size = 1,
        .backing_bytes = 3 * PAGE,
    };
    const struct aliquot_transfer all = {.box = {.w = 3 * PAGE, .h = 1, .d = 1}};
    const struct aliquot_transfer middle = {.box = {.x = 100, .w = 5000, .h = 1, .d = 1},
                                            .offset = 100};
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_resource *buffer = NULL;
    static uint32_t expected[3 * PAGE / 4];

    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &buffer), 0);
    assert_int_equal(aliquot_context_attach(context, buffer), 0);
    uint32_t *memory = aliquot_resource_map(buffer, NULL);
    fill(expected, 3 * PAGE / 4, 5);
    memcpy(memory, expected, sizeof(expected));
    run(context, buffer, &all, true);
    memset(memory, 0xee, sizeof(expected));
    run(context, buffer, &middle, false);
    assert_memory_equal((uint8_t *)memory + 100, (uint8_t *)expected + 100, 5000);
    assert_int_equal(((uint8_t *)memory)[99], 0xee);
    assert_int_equal(((uint8_t *)memory)[5100], 0xee);
    aliquot_resource_destroy(buffer);
    aliquot_context_destroy(context);
    finish(vgpu);
}

static void test_fences(void **state)
{
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_fence *fence = submit(context), *last = NULL;
    const size_t large = 256 << 10;
    void *commands = calloc(1, large);

    int fd = aliquot_fence_fd(fence);
    assert_true(fd >= 0);
    assert_true(is_readable(fd, PATIENT_GUEST_MS));
    assert_int_equal(aliquot_fence_wait(fence, 0), 0);
    close(fd);
    aliquot_fence_unref(fence);
    for (unsigned i = 0; i < 200; i++) /* more than the ring has room for */
        assert_int_equal(aliquot_submit(context, nop, sizeof(nop), ALIQUOT_RING_NONE, NULL), 0);
    assert_int_equal(aliquot_submit(context, commands, large, ALIQUOT_RING_NONE, NULL), 0);
    assert_int_equal(aliquot_submit(context, NULL, 0, ALIQUOT_RING_NONE, &last), 0);
    assert_int_equal(aliquot_fence_finish(last), 0);
    free(commands);
    aliquot_context_destroy(context);
    finish(vgpu);
}

static void test_guest_blob(void **state)
{
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_blob_args args = {.mem = ALIQUOT_BLOB_GUEST, .bytes = 2 * PAGE};
    struct aliquot_resource *blob = NULL;
    void *memory = NULL;
    size_t bytes = 0;

    if (full) {
        assert_int_equal(aliquot_resource_create_blob(vgpu, NULL, &args, &blob), 0);
        assert_int_equal(aliquot_resource_wait(blob), 0);
        assert_int_equal(aliquot_blob_map(blob, &memory, &bytes), 0);
        assert_int_equal(bytes, 2 * PAGE);
        memset(memory, 1, bytes);
        aliquot_resource_destroy(blob);
    } else {
        assert_int_equal(aliquot_resource_create_blob(vgpu, NULL, &args, &blob), -EOPNOTSUPP);
    }
    finish(vgpu);
}

/* Blob 0 of a Venus context is fresh memory of the host. */
static void test_host_blob(void **state)
{
    const struct aliquot_blob_args args = {
        .mem = ALIQUOT_BLOB_HOST3D, .flags = ALIQUOT_BLOB_MAPPABLE, .bytes = 4 * PAGE};
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_context *venus = NULL, *other = NULL;
    struct aliquot_resource *blob = NULL;
    uint32_t *memory = NULL, *again = NULL, *part = NULL;
    size_t bytes = 0;

    if (!full) {
        other = make_context(vgpu);
        assert_int_equal(aliquot_resource_create_blob(vgpu, other, &args, &blob), -EOPNOTSUPP);
        aliquot_context_destroy(other);
        finish(vgpu);
        return;
    }
    assert_int_equal(aliquot_context_create(vgpu, VENUS, "suite", &venus), 0);
    assert_int_equal(aliquot_resource_create_blob(vgpu, venus, &args, &blob), 0);
    assert_int_equal(aliquot_resource_wait(blob), 0);
    assert_int_equal(aliquot_blob_map(blob, (void **)&memory, &bytes), 0);
    assert_int_equal(bytes, 4 * PAGE);
    assert_int_equal(memory[0], 0);
    assert_int_equal(memory[4 * PAGE / 4 - 1], 0);
    fill(memory, 4 * PAGE / 4, 9);
    assert_int_equal(aliquot_blob_map(blob, (void **)&again, NULL), 0);
    assert_ptr_equal(memory, again);
    /* Another mapping shows the same pages, from where it is wanted. */
    assert_int_equal(
        aliquot_blob_mmap(blob, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE, (void **)&part),
        0);
    assert_memory_equal(part, memory + PAGE / 4, 2 * PAGE);
    part[3] = 0x12345678;
    assert_int_equal(memory[PAGE / 4 + 3], 0x12345678);
    /* It outlives the context and the resource. */
    aliquot_context_destroy(venus);
    memory[0] = 1;
    aliquot_resource_destroy(blob);
    assert_int_equal(part[3], 0x12345678);
    munmap(part, 2 * PAGE);
    finish(vgpu);
}

static void test_bad_arguments(void **state)
{
    struct aliquot_vgpu *vgpu = start(), *second = start();
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_resource *resource = NULL, *none = NULL;
    struct aliquot_resource_args args = texture;
    struct aliquot_transfer t = whole;
    struct aliquot_fence *fence = NULL;
    struct aliquot_info info;
    void *memory;

    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    args.backing_bytes = info.memory_bytes + 1;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &none), -EINVAL);
    args.backing_bytes = 1ull << 32;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &none), -EINVAL);
    args.backing_bytes = 0;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &args, &none), 0);
    assert_null(aliquot_resource_map(none, NULL));
    assert_int_equal(aliquot_transfer_to_host(NULL, none, &whole, &fence), -EINVAL);
    assert_int_equal(aliquot_blob_map(none, &memory, NULL), -EINVAL);
    aliquot_resource_destroy(none);
    assert_int_equal(aliquot_resource_create_2d(vgpu, 1, 0, 5, &none), -EINVAL);

    assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resource), 0);
    assert_int_equal(aliquot_context_attach(context, resource), 0);
    t.offset = texture.backing_bytes;
    assert_int_equal(aliquot_transfer_to_host(context, resource, &t, &fence), -EINVAL);
    struct aliquot_context *foreign = make_context(second);
    assert_int_equal(aliquot_context_attach(foreign, resource), -EINVAL);
    assert_int_equal(aliquot_transfer_to_host(foreign, resource, &whole, &fence), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 3, ALIQUOT_RING_NONE, &fence), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 4, 64, &fence), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, 4, -2, &fence), -EINVAL);
    assert_int_equal(aliquot_submit(context, NULL, 0, ALIQUOT_RING_NONE, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(context, nop, info.memory_bytes + 4, ALIQUOT_RING_NONE, &fence),
                     -EMSGSIZE);
    assert_null(fence);
    aliquot_resource_destroy(resource);
    aliquot_context_destroy(context);
    aliquot_context_destroy(foreign);
    finish(second);
    finish(vgpu);
}

/* What is not given back is taken back, descriptors too. */
static void test_closing(void **state)
{
    int before = count_fds();
    struct aliquot_vgpu *vgpu = start();
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_resource *resource = NULL;

    assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resource), 0);
    assert_int_equal(aliquot_context_attach(context, resource), 0);
    struct aliquot_fence *fence = submit(context);
    assert_int_equal(aliquot_fence_wait(fence, ALIQUOT_TIMEOUT_DEFAULT_NS), 0);
    aliquot_close(vgpu);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(count_fds(), before);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capsets),   cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_transfers), cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_fences),    cmocka_unit_test(test_guest_blob),
        cmocka_unit_test(test_host_blob), cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_closing),
    };

    if (argc != 3 || (strcmp(argv[2], "all") != 0 && strcmp(argv[2], "virgl") != 0)) {
        fprintf(stderr, "usage: transport-suite PATH all|virgl\n");
        return 2;
    }
    path = argv[1];
    full = strcmp(argv[2], "all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
