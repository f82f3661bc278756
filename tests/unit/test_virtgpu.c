/* SPDX-License-Identifier: MIT */
/* The transport over a render node, against a driver of our own: what is asked of the kernel, and
 * what becomes of its answers. */
#include "protocol/virtio_gpu.h"
#include "tests/unit/virtgpu_fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- asking --------------------------------------------------------------------------------- */

static void test_info(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_info info;

    assert_int_equal(aliquot_get_info(s->vgpu, &info), 0);
    assert_int_equal(info.features, 1ull << 32 | 1 << VIRTIO_GPU_F_VIRGL |
                                        1 << VIRTIO_GPU_F_RESOURCE_BLOB |
                                        1 << VIRTIO_GPU_F_CONTEXT_INIT);
    assert_int_equal(info.num_capsets, 2);
    assert_int_equal(info.memory_bytes, ALIQUOT_MEMORY_MIN_BYTES);
    assert_int_equal(info.memory_free_bytes, ALIQUOT_MEMORY_MIN_BYTES);
    assert_true(info.host_visible_bytes == ALIQUOT_BYTES_UNKNOWN);
}

static void test_capsets(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_capset_info info;
    uint8_t data[2 * FAKE_CAPSET_BYTES];
    size_t bytes = 0;

    assert_int_equal(aliquot_capset_info(s->vgpu, 0, &info), 0);
    assert_int_equal(info.id, 2);
    assert_int_equal(info.max_version, 2);
    assert_int_equal(info.max_bytes, FAKE_CAPSET_BYTES);
    assert_int_equal(aliquot_capset_info(s->vgpu, 1, &info), 0);
    assert_int_equal(info.id, 4);
    assert_int_equal(info.max_version, 0);
    assert_int_equal(info.max_bytes, FAKE_CAPSET_BYTES / 2);
    assert_int_equal(aliquot_capset_info(s->vgpu, 2, &info), -EINVAL);
    expect_no_error(s->vgpu); /* of the versions that were tried */

    memset(data, 0x77, sizeof(data));
    assert_int_equal(aliquot_capset(s->vgpu, 2, 2, data, sizeof(data), &bytes), 0);
    assert_int_equal(bytes, FAKE_CAPSET_BYTES);
    assert_int_equal(data[0], 1);
    assert_int_equal(data[FAKE_CAPSET_BYTES - 1], 0);
    assert_int_equal(data[FAKE_CAPSET_BYTES], 0x77);
    assert_int_equal(aliquot_capset(s->vgpu, 2, 2, data, 10, &bytes), 0);
    assert_int_equal(bytes, 10);
    expect_no_error(s->vgpu);
    assert_int_equal(aliquot_capset(s->vgpu, 2, 3, data, 10, NULL), -EINVAL);
    expect_error(s->vgpu, "GET_CAPS");
    assert_int_equal(aliquot_capset(s->vgpu, 7, 0, data, 10, NULL), -EINVAL);
    assert_int_equal(aliquot_capset(s->vgpu, 2, 2, data, 0, NULL), -EINVAL);
    fake.fail_request = DRM_IOCTL_VIRTGPU_GET_CAPS;
    fake.fail_errno = EBUSY;
    assert_int_equal(aliquot_capset(s->vgpu, 2, 2, data, 10, NULL), -ETIMEDOUT);
    assert_int_equal(aliquot_capset_info(s->vgpu, 0, &info), -ETIMEDOUT);
    expect_error(s->vgpu, "GET_CAPS: Device or resource busy");
    fake.fail_errno = EINVAL; /* the device lists it and has no version of it */
    assert_int_equal(aliquot_capset_info(s->vgpu, 0, &info), -EINVAL);
    expect_error(s->vgpu, "GET_CAPS: Invalid argument");
}

/* ---- contexts ------------------------------------------------------------------------------- */

static void test_contexts(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_context *venus = NULL, *other = NULL;

    assert_int_equal(fake.capset_id, 2);
    assert_int_equal(fake.num_rings, 64);
    assert_string_equal(fake.debug_name, "name");
    assert_int_equal(aliquot_context_create(s->vgpu, 4, NULL, &venus), 0);
    assert_int_equal(fake.capset_id, 4);
    assert_int_equal(aliquot_context_create(s->vgpu, 3, NULL, &other), -EINVAL);
    assert_int_equal(aliquot_context_create(s->vgpu, 256, NULL, &other), -EINVAL);
    assert_null(other);
    aliquot_context_destroy(venus);
}

/* A driver, or a device, that has but one kind of contexts makes them by itself. */
static void test_no_context_init(void **state)
{
    for (int old = 0; old < 2; old++) {
        fake_reset();
        fake.old = old;
        fake.has_context_init = false;
        fake.has_debug_name = false;
        struct aliquot_vgpu *vgpu = open_vgpu(0);
        struct aliquot_context *context = NULL;
        struct aliquot_fence *fence;
        struct aliquot_info info;

        assert_int_equal(aliquot_get_info(vgpu, &info), 0);
        assert_false(info.features & 1 << VIRTIO_GPU_F_CONTEXT_INIT);
        assert_true(info.num_capsets > 0);
        expect_no_error(vgpu); /* of the capsets that were looked for */
        assert_int_equal(aliquot_context_create(vgpu, 4, NULL, &context), -EINVAL);
        expect_error(vgpu, old ? "Linux 5.16" : "does not offer");
        assert_int_equal(aliquot_context_create(vgpu, 2, NULL, &context), 0);
        assert_int_equal(fake.contexts, 0);
        assert_int_equal(aliquot_submit(context, NULL, 0, 0, &fence), -EINVAL);
        aliquot_fence_unref(submit(context));
        assert_int_equal(fake.execbuffer.flags, VIRTGPU_EXECBUF_FENCE_FD_OUT);
        aliquot_close(vgpu);
    }
}

/* A resource made in no context is attached to one by a handle of its own there. */
static void test_attaching(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource *resource = make_texture(s->vgpu);
    struct aliquot_transfer t = {.box = {.w = 1, .h = 1, .d = 1}};
    struct aliquot_context *other;

    assert_int_equal(aliquot_context_create(s->vgpu, 2, NULL, &other), 0);
    assert_int_equal(aliquot_transfer_to_host(s->context, resource, &t, NULL), -EINVAL);
    expect_error(s->vgpu, "not attached");
    assert_int_equal(aliquot_context_attach(s->context, resource), 0);
    assert_int_equal(aliquot_context_attach(s->context, resource), 0);
    assert_int_equal(aliquot_context_attach(other, resource), 0);
    assert_int_equal(fake.imports, 2);
    assert_int_equal(aliquot_transfer_to_host(s->context, resource, &t, NULL), 0);
    assert_int_equal(aliquot_transfer_to_host(NULL, resource, &t, NULL), 0);
    assert_int_equal(fake.n_transfers, 2);
    assert_true(fake.transfers[0].fd != fake.transfers[1].fd);
    assert_true(fake.transfers[0].args.bo_handle != fake.transfers[1].args.bo_handle);
    assert_int_equal(aliquot_context_detach(s->context, resource), 0);
    assert_int_equal(aliquot_context_detach(s->context, resource), -ENOENT);
    assert_int_equal(aliquot_transfer_to_host(s->context, resource, &t, NULL), -EINVAL);
    assert_int_equal(fake.handles, 2);
    aliquot_context_destroy(other); /* with what is attached to it */
    assert_int_equal(fake.handles, 1);
    assert_int_equal(aliquot_context_attach(s->context, resource), 0);
    aliquot_resource_destroy(resource);
    assert_int_equal(fake.handles, 0);
}

/* ---- submission and fences ------------------------------------------------------------------ */

static void test_submit(void **state)
{
    struct virtgpu_scene *s = *state;
    static const uint32_t words[] = {0x11, 0x22};
    struct aliquot_fence *fence = NULL;

    assert_int_equal(aliquot_submit(s->context, words, sizeof(words), ALIQUOT_RING_NONE, NULL), 0);
    assert_int_equal(fake.execbuffer.flags, 0);
    assert_int_equal(fake.execbuffer.size, sizeof(words));
    assert_memory_equal(fake.words, words, sizeof(words));
    assert_int_equal(aliquot_submit(s->context, NULL, 0, 63, &fence), 0);
    assert_int_equal(fake.execbuffer.flags,
                     VIRTGPU_EXECBUF_FENCE_FD_OUT | VIRTGPU_EXECBUF_RING_IDX);
    assert_int_equal(fake.execbuffer.ring_idx, 63);
    assert_int_equal(aliquot_fence_finish(fence), 0);

    fence = NULL;
    assert_int_equal(aliquot_submit(s->context, NULL, 0, ALIQUOT_RING_NONE, NULL), -EINVAL);
    assert_int_equal(aliquot_submit(s->context, words, 6, ALIQUOT_RING_NONE, &fence), -EINVAL);
    assert_int_equal(aliquot_submit(s->context, words, 8, 64, &fence), -EINVAL);
    assert_int_equal(
        aliquot_submit(s->context, words, ALIQUOT_MEMORY_MIN_BYTES + 4, ALIQUOT_RING_NONE, &fence),
        -EMSGSIZE);
    fake.fail_request = DRM_IOCTL_VIRTGPU_EXECBUFFER;
    fake.fail_errno = ENOMEM;
    assert_int_equal(aliquot_submit(s->context, words, 8, ALIQUOT_RING_NONE, &fence), -ENOMEM);
    expect_error(s->vgpu, "EXECBUFFER");
    assert_null(fence);
}

static bool is_readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, 0) == 1;
}

static void test_fences(void **state)
{
    struct virtgpu_scene *s = *state;

    fake.hold = true;
    struct aliquot_fence *fence = submit(s->context);
    int fd = aliquot_fence_fd(fence);
    assert_true(fd >= 0);
    assert_false(is_readable(fd));
    assert_int_equal(aliquot_fence_wait(fence, 0), -ETIMEDOUT);
    assert_int_equal(aliquot_fence_wait(fence, ALIQUOT_TIMEOUT_DEFAULT_NS), -ETIMEDOUT);
    assert_int_equal(aliquot_sync(s->vgpu), -ETIMEDOUT);
    fake_signal();
    assert_true(is_readable(fd));
    assert_int_equal(aliquot_fence_wait(fence, 0), 0);
    assert_int_equal(aliquot_fence_wait(fence, INT64_MAX), 0);
    assert_int_equal(aliquot_fence_finish(fence), 0);
    close(fd);
    fake.hold = false;
    assert_int_equal(aliquot_sync(s->vgpu), 0);
}

static void *wait_for_ever(void *arg)
{
    return (void *)(intptr_t)aliquot_fence_wait(arg, INT64_MAX);
}

/* Closing wakes those who wait; what was done stays done, and what was not is lost. */
static void test_closing(void **state)
{
    struct aliquot_vgpu *vgpu = open_vgpu(0);
    struct aliquot_context *context;
    pthread_t thread;
    void *result;

    assert_int_equal(aliquot_context_create(vgpu, 2, NULL, &context), 0);
    struct aliquot_fence *done = submit(context);
    fake.hold = true;
    struct aliquot_fence *late = submit(context);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, late), 0);
    for (;;) { /* until it waits */
        pthread_mutex_lock(&vgpu->lock);
        unsigned waiting = vgpu->waiting;
        pthread_mutex_unlock(&vgpu->lock);
        if (waiting)
            break;
        sched_yield();
    }
    aliquot_close(vgpu);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, -ECONNRESET);
    int fd = aliquot_fence_fd(late);
    assert_true(is_readable(fd));
    close(fd);
    assert_int_equal(aliquot_fence_finish(late), -ECONNRESET);
    assert_int_equal(aliquot_fence_finish(done), 0);
    fake_signal();
}

static void test_lost(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource *resource = NULL;
    struct aliquot_info info;

    fake.fail_request = DRM_IOCTL_VIRTGPU_RESOURCE_CREATE;
    fake.fail_errno = ENODEV;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &texture, &resource), -ECONNRESET);
    expect_error(s->vgpu, "the virtio-gpu device is gone");
    fake.fail_request = 0;
    assert_int_equal(aliquot_resource_create_3d(s->vgpu, &texture, &resource), -ECONNRESET);
    assert_int_equal(aliquot_get_info(s->vgpu, &info), -ECONNRESET);
    assert_null(resource);
}

static void test_fork(void **state)
{
    struct virtgpu_scene *s = *state;
    struct aliquot_resource *resource = make_texture(s->vgpu);
    int status;

    pid_t child = fork();
    if (child == 0) {
        bool fine = aliquot_sync(s->vgpu) == -EOWNERDEAD;
        aliquot_resource_destroy(resource);
        aliquot_context_destroy(s->context);
        aliquot_close(s->vgpu);
        _exit(fine && fake.handles == 1 ? 0 : 1); /* the parent's handle is left alone */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    aliquot_resource_destroy(resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_info, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_capsets, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_contexts, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test(test_no_context_init),
        cmocka_unit_test_setup_teardown(test_attaching, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_submit, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_fences, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_closing, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_lost, virtgpu_set_up, virtgpu_tear_down),
        cmocka_unit_test_setup_teardown(test_fork, virtgpu_set_up, virtgpu_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
