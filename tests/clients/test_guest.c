/* SPDX-License-Identifier: MIT */
/* libaliquot-guest and aliquot-renderer together, with the backend that draws nothing. */
#include "tests/clients/renderer.h"
#include "tests/clients/vgpu.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 6
#define ROUNDS 100

static const struct aliquot_resource_args texture = {
    .target = 2,
    .format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
    .bind = 1 << 1,
    .width = 64,
    .height = 64,
    .depth = 1,
    .array_size = 1,
    .backing_bytes = 64 * 64 * 4,
};
static const struct aliquot_transfer whole = {.box = {.w = 64, .h = 64, .d = 1}};

static const char *path_of(void **state)
{
    return ((struct renderer *)*state)->path;
}

static void expect_no_errors(struct aliquot_vgpu *vgpu)
{
    struct aliquot_info info;
    char text[200];

    assert_int_equal(aliquot_sync(vgpu), 0);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    if (info.errors) {
        aliquot_last_error(vgpu, text, sizeof(text));
        fail_msg("%llu errors, the last: %s", (unsigned long long)info.errors, text);
    }
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.memory_free_bytes, info.memory_bytes);
}

static void test_asking(void **state)
{
    struct renderer *r = *state;
    int before = count_fds();
    struct aliquot_vgpu *vgpu = open_vgpu(r->path, 0, 0);
    struct aliquot_info info;
    uint8_t data[4096];

    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_true(info.features & (1ull << VIRTIO_F_VERSION_1));
    assert_true(info.features & (1ull << VIRTIO_GPU_F_VIRGL));
    assert_int_equal(info.num_scanouts, 1);
    for (uint32_t i = 0; i < info.num_capsets; i++) {
        struct aliquot_capset_info capset;
        size_t bytes;
        assert_int_equal(aliquot_capset_info(vgpu, i, &capset), 0);
        assert_true(capset.max_bytes <= sizeof(data));
        assert_int_equal(
            aliquot_capset(vgpu, capset.id, capset.max_version, data, capset.max_bytes, &bytes), 0);
        assert_int_equal(bytes, capset.max_bytes);
    }
    assert_int_equal(aliquot_capset(vgpu, 77, 1, data, sizeof(data), NULL), -EINVAL);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(aliquot_sync(vgpu), 0);
    expect_no_errors(vgpu);
    aliquot_close(vgpu);
    assert_int_equal(count_fds(), before);
}

/* Everything once: 3D resource, transfers both ways, submits small and large, fences. */
static void test_one_of_each(void **state)
{
    struct aliquot_vgpu *vgpu = open_vgpu(path_of(state), 0, 0);
    struct aliquot_context *context;
    struct aliquot_resource *resource, *flat;
    struct aliquot_fence *fence;
    const size_t bytes = 1 << 20;
    void *commands = calloc(1, bytes);

    assert_int_equal(aliquot_context_create(vgpu, 0, NULL, &context), 0);
    assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resource), 0);
    assert_int_equal(aliquot_resource_wait(resource), 0);
    assert_int_equal(aliquot_context_attach(context, resource), 0);
    assert_int_equal(aliquot_transfer_to_host(context, resource, &whole, NULL), 0);
    assert_int_equal(aliquot_submit(context, nop, sizeof(nop), ALIQUOT_RING_NONE, NULL), 0);
    assert_int_equal(aliquot_submit(context, commands, bytes, ALIQUOT_RING_NONE, &fence), 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(aliquot_transfer_from_host(context, resource, &whole, &fence), 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(aliquot_context_detach(context, resource), 0);
    aliquot_resource_destroy(resource);
    aliquot_context_destroy(context);

    assert_int_equal(
        aliquot_resource_create_2d(vgpu, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64, &flat), 0);
    assert_int_equal(aliquot_resource_wait(flat), 0);
    assert_int_equal(aliquot_transfer_to_host(NULL, flat, &whole, &fence), 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    assert_int_equal(aliquot_transfer_from_host(NULL, flat, &whole, &fence), -EOPNOTSUPP);
    aliquot_resource_destroy(flat);
    expect_no_errors(vgpu);
    aliquot_close(vgpu);
    free(commands);
}

/* The device's own refusals arrive where they belong. */
static void test_refusals(void **state)
{
    struct aliquot_vgpu *vgpu = open_vgpu(path_of(state), 0, 0);
    struct aliquot_resource_args huge = texture;
    struct aliquot_transfer outside = whole;
    struct aliquot_context *context;
    struct aliquot_resource *resource;
    struct aliquot_fence *fence;
    struct aliquot_info info;

    huge.width = 1u << 30;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &huge, &resource), 0);
    assert_true(aliquot_resource_wait(resource) < 0);
    aliquot_resource_destroy(resource);
    assert_int_equal(aliquot_sync(vgpu), 0);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_int_equal(info.errors, 3); /* create, attach, unref */
    assert_int_equal(info.memory_free_bytes, info.memory_bytes);

    outside.box.x = 60;
    assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resource), 0);
    assert_int_equal(aliquot_context_create(vgpu, 0, NULL, &context), 0);
    assert_int_equal(aliquot_context_attach(context, resource), 0);
    assert_int_equal(aliquot_transfer_to_host(context, resource, &outside, &fence), 0);
    assert_int_equal(aliquot_fence_finish(fence), -EINVAL);
    assert_int_equal(aliquot_sync(vgpu), 0); /* and life goes on */
    aliquot_close(vgpu);
}

/* Memory of destroyed resources comes back, whatever the order. */
static void test_many_resources(void **state)
{
    struct aliquot_vgpu *vgpu = open_vgpu(path_of(state), 0, 0);
    struct aliquot_resource *resources[500];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 500; i++)
            assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resources[i]), 0);
        for (unsigned i = 0; i < 500; i++)
            aliquot_resource_destroy(resources[i * 7 % 500]);
    }
    expect_no_errors(vgpu);
    aliquot_close(vgpu);
}

/* ---- threads -------------------------------------------------------------------------------- */

struct hammer {
    pthread_t thread;
    struct aliquot_vgpu *vgpu;
    unsigned seed;
    int line; /* of the first thing that went wrong; 0 = none */
};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            h->line = __LINE__;                                                                    \
            return NULL;                                                                           \
        }                                                                                          \
    } while (0)

static void *hammer_main(void *arg)
{
    struct hammer *h = arg;
    uint32_t *commands = calloc(1, 64 << 10);
    struct aliquot_context *context;

    CHECK(commands && aliquot_context_create(h->vgpu, 0, NULL, &context) == 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct aliquot_resource *resource;
        struct aliquot_fence *a, *b;
        size_t bytes = 4 * (1 + (size_t)rand_r(&h->seed) % (16 << 10));

        CHECK(aliquot_resource_create_3d(h->vgpu, &texture, &resource) == 0);
        CHECK(aliquot_context_attach(context, resource) == 0);
        memset(aliquot_resource_map(resource, NULL), (int)i, texture.backing_bytes);
        CHECK(aliquot_transfer_to_host(context, resource, &whole, &a) == 0);
        CHECK(aliquot_submit(context, commands, bytes, ALIQUOT_RING_NONE, &b) == 0);
        if (rand_r(&h->seed) % 4 == 0) {
            struct pollfd pfd = {.fd = aliquot_fence_fd(b), .events = POLLIN};
            CHECK(pfd.fd >= 0 && poll(&pfd, 1, 10000) == 1);
            close(pfd.fd);
        }
        CHECK(aliquot_fence_finish(b) == 0);
        if (rand_r(&h->seed) % 2)
            CHECK(aliquot_sync(h->vgpu) == 0);
        CHECK(aliquot_fence_finish(a) == 0);
        aliquot_resource_destroy(resource);
    }
    aliquot_context_destroy(context);
    free(commands);
    return NULL;
}

static void hammer(struct aliquot_vgpu **vgpus, unsigned count)
{
    struct hammer hammers[THREADS] = {0};

    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i].vgpu = vgpus[i % count];
        hammers[i].seed = i;
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer_main, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(hammers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        if (hammers[i].line)
            fail_msg("thread %u failed in line %d", i, hammers[i].line);
    }
}

static void test_threads_on_one_vgpu(void **state)
{
    int before = count_fds();
    struct aliquot_vgpu *vgpu = open_vgpu(path_of(state), 0, 0);

    hammer(&vgpu, 1);
    expect_no_errors(vgpu);
    aliquot_close(vgpu);
    assert_int_equal(count_fds(), before);
}

static void test_two_vgpus(void **state)
{
    struct renderer second;
    struct aliquot_vgpu *vgpus[2];

    renderer_start(&second, "null");
    vgpus[0] = open_vgpu(path_of(state), 0, 0);
    vgpus[1] = open_vgpu(second.path, 0, 0);
    hammer(vgpus, 2);
    for (unsigned i = 0; i < 2; i++) {
        expect_no_errors(vgpus[i]);
        aliquot_close(vgpus[i]);
    }
    renderer_stop(&second);
}

/* ---- a server that stops -------------------------------------------------------------------- */

static void test_stalled_renderer(void **state)
{
    struct renderer *r = *state;
    struct aliquot_vgpu *vgpu = open_vgpu(r->path, 0, HASTY_MS);

    kill(r->pid, SIGSTOP);
    assert_int_equal(aliquot_sync(vgpu), -ETIMEDOUT);
    assert_int_equal(aliquot_sync(vgpu), -ETIMEDOUT);
    kill(r->pid, SIGCONT);
    aliquot_close(vgpu);

    /* The stall was the connection's; the renderer takes the next one. */
    vgpu = open_vgpu(r->path, 0, 0);
    assert_int_equal(aliquot_sync(vgpu), 0);
    aliquot_close(vgpu);
}

static void *sync_main(void *arg)
{
    return (void *)(intptr_t)aliquot_sync(arg);
}

static void test_killed_renderer(void **state)
{
    struct renderer victim;
    pthread_t threads[3];
    int before = count_fds();

    renderer_start(&victim, "null");
    struct aliquot_vgpu *vgpu = open_vgpu(victim.path, 0, 60000);
    kill(victim.pid, SIGSTOP); /* so that they really wait */
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, sync_main, vgpu);
    renderer_kill(&victim);
    for (unsigned i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_int_equal((intptr_t)result, -ECONNRESET);
    }
    assert_int_equal(aliquot_sync(vgpu), -ECONNRESET);
    aliquot_close(vgpu);
    assert_int_equal(count_fds(), before);
}

static int start(void **state)
{
    static struct renderer r;

    renderer_start(&r, "null");
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    renderer_stop(*state);
    return 0;
}

/* The region in which blobs are mapped is given out and taken back, whatever the order. */
static void test_blobs(void **state)
{
    int before = count_fds();
    struct aliquot_vgpu *vgpu = open_vgpu(path_of(state), -1, PATIENT_MS);
    struct aliquot_context *context = make_context(vgpu);
    struct aliquot_blob_args args = {.mem = ALIQUOT_BLOB_HOST3D,
                                     .flags = ALIQUOT_BLOB_MAPPABLE,
                                     .blob_id = 1,
                                     .bytes = 64 << 10};
    struct aliquot_resource *first = NULL, *same = NULL, *blobs[ROUNDS];
    struct aliquot_info info;
    void *memory = NULL, *own = NULL;

    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_true(info.features & 1ull << VIRTIO_GPU_F_RESOURCE_BLOB);
    assert_true(info.host_visible_bytes > 0);
    assert_int_equal(aliquot_resource_create_blob(vgpu, context, &args, &first), 0);
    assert_int_equal(aliquot_blob_map(first, &memory, NULL), 0);
    memset(memory, 7, args.bytes);
    assert_int_equal(aliquot_blob_mmap(first, args.bytes, PROT_READ, MAP_SHARED, 0, &own), 0);
    assert_memory_equal(memory, own, args.bytes);
    munmap(own, args.bytes);

    /* What the device refuses. */
    assert_int_equal(aliquot_resource_create_blob(vgpu, context, &args, &same), 0);
    assert_int_equal(aliquot_resource_wait(same), -EINVAL);
    assert_int_equal(aliquot_blob_map(same, &own, NULL), -ENOENT);
    aliquot_resource_destroy(same);
    aliquot_resource_destroy(first);

    for (unsigned i = 0; i < ROUNDS; i++) {
        args.blob_id = i + 2;
        assert_int_equal(aliquot_resource_create_blob(vgpu, context, &args, &blobs[i]), 0);
        assert_int_equal(aliquot_blob_map(blobs[i], &memory, NULL), 0);
        memset(memory, (int)i, args.bytes);
    }
    for (unsigned i = 0; i < ROUNDS; i += 2)
        aliquot_resource_destroy(blobs[i]);
    for (unsigned i = 1; i < ROUNDS; i += 2)
        aliquot_resource_destroy(blobs[i]);
    assert_int_equal(aliquot_sync(vgpu), 0);
    assert_int_equal(aliquot_get_info(vgpu, &info), 0);
    assert_int_equal(info.host_visible_free_bytes, info.host_visible_bytes);
    aliquot_close(vgpu);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_asking, start, stop),
        cmocka_unit_test_setup_teardown(test_one_of_each, start, stop),
        cmocka_unit_test_setup_teardown(test_refusals, start, stop),
        cmocka_unit_test_setup_teardown(test_many_resources, start, stop),
        cmocka_unit_test_setup_teardown(test_blobs, start, stop),
        cmocka_unit_test_setup_teardown(test_threads_on_one_vgpu, start, stop),
        cmocka_unit_test_setup_teardown(test_two_vgpus, start, stop),
        cmocka_unit_test_setup_teardown(test_stalled_renderer, start, stop),
        cmocka_unit_test_setup_teardown(test_killed_renderer, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
