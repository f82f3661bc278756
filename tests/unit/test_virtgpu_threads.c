/* SPDX-License-Identifier: MIT */
/* Several threads over a render node, one of which sleeps in the kernel. */
#include "protocol/virtio_gpu.h"
#include "tests/unit/virtgpu_fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 200

/* What the calls below are about. */
struct objects {
    struct virtgpu_scene *scene;
    struct aliquot_resource *attached, *loose; /* to scene->context */
};

static const struct aliquot_transfer pixel = {.box = {.w = 1, .h = 1, .d = 1}};

/* ---- calls that may sleep ------------------------------------------------------------------- */

static int call_capset(struct objects *o)
{
    uint8_t data[8];

    return aliquot_capset(o->scene->vgpu, 2, 2, data, sizeof(data), NULL);
}

static int call_capset_info(struct objects *o)
{
    struct aliquot_capset_info info;

    return aliquot_capset_info(o->scene->vgpu, 0, &info);
}

static int call_context(struct objects *o)
{
    struct aliquot_context *context;

    int result = aliquot_context_create(o->scene->vgpu, 2, NULL, &context);
    if (result == 0)
        aliquot_context_destroy(context);
    return result;
}

static int call_texture(struct objects *o)
{
    struct aliquot_resource *resource;

    int result = aliquot_resource_create_3d(o->scene->vgpu, &texture, &resource);
    if (result == 0)
        aliquot_resource_destroy(resource);
    return result;
}

static int call_blob(struct objects *o)
{
    const struct aliquot_blob_args args = {
        .mem = ALIQUOT_BLOB_HOST3D, .flags = ALIQUOT_BLOB_MAPPABLE, .blob_id = 7, .bytes = 4096};
    struct aliquot_resource *blob;
    void *memory;

    int result = aliquot_resource_create_blob(o->scene->vgpu, o->scene->context, &args, &blob);
    if (result == 0) {
        result = aliquot_blob_map(blob, &memory, NULL);
        aliquot_resource_destroy(blob);
    }
    return result;
}

static int call_attach(struct objects *o)
{
    int result = aliquot_context_attach(o->scene->context, o->loose);

    return result < 0 ? result : aliquot_context_detach(o->scene->context, o->loose);
}

static int call_transfer(struct objects *o)
{
    int result = aliquot_transfer_to_host(o->scene->context, o->attached, &pixel, NULL);

    return result < 0 ? result : aliquot_transfer_from_host(NULL, o->loose, &pixel, NULL);
}

static int call_submit(struct objects *o)
{
    const uint32_t word = 1;

    return aliquot_submit(o->scene->context, &word, sizeof(word), ALIQUOT_RING_NONE, NULL);
}

static int call_sync(struct objects *o)
{
    return aliquot_sync(o->scene->vgpu);
}

static int call_wait(struct objects *o)
{
    return aliquot_resource_wait(o->loose);
}

struct call {
    unsigned long request; /* in which it sleeps */
    int (*function)(struct objects *o);
    /* Of a thread of its own: */
    struct objects *objects;
    int result;
};

static void *run_call(void *arg)
{
    struct call *call = arg;

    call->result = call->function(call->objects);
    return NULL;
}

/* ---- what goes on meanwhile ------------------------------------------------------------------ */

/* Nothing here sends anything. */
static void expect_answers(struct virtgpu_scene *s, struct aliquot_fence *held,
                           struct aliquot_fence *done)
{
    struct aliquot_info info;

    /* A failure, rather than a test that does not end. */
    assert_int_equal(pthread_mutex_trylock(&s->vgpu->lock), 0);
    pthread_mutex_unlock(&s->vgpu->lock);
    assert_int_equal(aliquot_fence_wait(done, ALIQUOT_TIMEOUT_DEFAULT_NS), 0);
    assert_int_equal(aliquot_fence_wait(held, 0), -ETIMEDOUT);
    int fd = aliquot_fence_fd(held);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(aliquot_get_info(s->vgpu, &info), 0);
    expect_no_error(s->vgpu);
}

static void test_blocked(void **state)
{
    struct objects o = {.scene = *state};
    struct virtgpu_scene *s = o.scene;
    struct call calls[] = {
        {DRM_IOCTL_VIRTGPU_GET_CAPS, call_capset},
        {DRM_IOCTL_VIRTGPU_GET_CAPS, call_capset_info},
        {DRM_IOCTL_VIRTGPU_CONTEXT_INIT, call_context},
        {DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, call_texture},
        {DRM_IOCTL_VIRTGPU_MAP, call_texture},
        {DRM_IOCTL_GEM_CLOSE, call_texture},
        {DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, call_blob},
        {DRM_IOCTL_VIRTGPU_MAP, call_blob},
        {DRM_IOCTL_PRIME_HANDLE_TO_FD, call_attach},
        {DRM_IOCTL_PRIME_FD_TO_HANDLE, call_attach},
        {DRM_IOCTL_GEM_CLOSE, call_attach},
        {DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, call_transfer},
        {DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, call_transfer},
        {DRM_IOCTL_VIRTGPU_EXECBUFFER, call_submit},
        {DRM_IOCTL_VIRTGPU_EXECBUFFER, call_sync},
        {DRM_IOCTL_VIRTGPU_EXECBUFFER, call_wait},
    };

    o.attached = make_texture(s->vgpu);
    o.loose = make_texture(s->vgpu);
    assert_int_equal(aliquot_context_attach(s->context, o.attached), 0);
    struct aliquot_fence *done = submit(s->context);
    fake.hold = true;
    struct aliquot_fence *held = submit(s->context);
    fake.hold = false;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        pthread_t thread;

        calls[i].objects = &o;
        fake_block(calls[i].request);
        assert_int_equal(pthread_create(&thread, NULL, run_call, &calls[i]), 0);
        fake_await_blocked();
        expect_answers(s, held, done);
        fake_unblock();
        pthread_join(thread, NULL);
        if (calls[i].result != 0)
            fail_msg("call %zu: %d", i, calls[i].result);
    }
    aliquot_fence_unref(done);
    aliquot_fence_unref(held);
    assert_int_equal(fake.handles, 3);
}

/* ---- handles and nodes that others use ------------------------------------------------------- */

static void *destroy(void *arg)
{
    aliquot_resource_destroy(arg);
    return NULL;
}

/* A context goes while the kernel takes the last of a resource that was attached to it. */
static void test_node_outlives(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource *resource = make_texture(s->vgpu), *other = make_texture(s->vgpu);
    struct aliquot_context *context;
    pthread_t thread;

    assert_int_equal(aliquot_context_create(s->vgpu, 2, NULL, &context), 0);
    assert_int_equal(aliquot_context_attach(context, resource), 0);
    fake_block(DRM_IOCTL_GEM_CLOSE);
    assert_int_equal(pthread_create(&thread, NULL, destroy, resource), 0);
    fake_await_blocked();
    aliquot_context_destroy(context);
    assert_int_equal(aliquot_context_attach(s->context, other), 0);
    fake_unblock();
    pthread_join(thread, NULL);
    assert_int_equal(fake.handles, 2); /* those of other */
}

static void *attach_and_detach(void *arg)
{
    struct objects *o = arg;

    for (int i = 0; i < ROUNDS; i++) {
        aliquot_context_attach(o->scene->context, o->loose);
        aliquot_context_detach(o->scene->context, o->loose);
    }
    return NULL;
}

/* Two that attach and detach the same never do it at once: a handle that one makes is the one that
 * the other closes. */
static void test_attaching_at_once(void **state)
{
    struct virtgpu_scene *s = *state;
    struct objects o = {.scene = s, .loose = make_texture(s->vgpu)};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, attach_and_detach, &o), 0);
    attach_and_detach(&o);
    pthread_join(thread, NULL);
    assert_int_equal(fake.crossings, 0);
    assert_int_equal(fake.handles, 1);
}

/* The vGPU is lost while a call sleeps: it says so, and the reason stays. */
static void test_lost_meanwhile(void **state)
{
    struct virtgpu_scene *s = *state;
    struct objects o = {.scene = s, .loose = make_texture(s->vgpu)};
    struct call call = {DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, call_texture, .objects = &o};
    pthread_t thread;

    fake_block(call.request);
    assert_int_equal(pthread_create(&thread, NULL, run_call, &call), 0);
    fake_await_blocked();
    fake.fail_request = DRM_IOCTL_VIRTGPU_EXECBUFFER;
    fake.fail_errno = ENODEV;
    assert_int_equal(call_submit(&o), -ECONNRESET);
    fake.fail_request = call.request;
    fake.fail_errno = ENOMEM;
    fake_unblock();
    pthread_join(thread, NULL);
    assert_int_equal(call.result, -ECONNRESET);
    expect_error(s->vgpu, "the virtio-gpu device is gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blocked, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_node_outlives, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_attaching_at_once, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_lost_meanwhile, virtgpu_set_up, virtgpu_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
