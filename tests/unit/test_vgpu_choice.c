/* SPDX-License-Identifier: MIT */
/* How a program gets its vGPU: which way is taken to what, and what is said if there is none. */
#include "guest-driver/vgpu.h"
#include "guest-driver/virtgpu/virtgpu.h"
#include "tests/unit/fake_virtgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct folder {
    char path[64];
};

static int setup(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));

    strcpy(folder->path, "/tmp/aliquot-test-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    fake_reset();
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    struct folder *folder = *state;

    for (int number = 120; number <= 200; number++) {
        char path[96];
        snprintf(path, sizeof(path), "%s/renderD%d", folder->path, number);
        unlink(path);
    }
    rmdir(folder->path);
    free(folder);
    unsetenv("ALIQUOT_SOCKET");
    return 0;
}

/* A node of that driver. */
static void make_node(const struct folder *folder, int number, const char *driver)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/renderD%d", folder->path, number);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(driver, file);
    fclose(file);
}

/* Opens the path, which fails, and returns the error; the text has to name what is given. */
static int refused(const char *path, const char *words)
{
    struct aliquot_vgpu *vgpu = NULL;
    char error[ERROR_TEXT_BYTES];
    struct aliquot_open_args args = {.path = path, .error = error, .error_size = sizeof(error)};

    int result = aliquot_open(&args, &vgpu);
    assert_true(result < 0);
    assert_null(vgpu);
    if (!strstr(error, words))
        fail_msg("'%s' says nothing of '%s'", error, words);
    return result;
}

static void test_first_node(void **state)
{
    const struct folder *folder = *state;
    struct libdrm drm = {0};
    char reason[ERROR_TEXT_BYTES], *path = NULL;

    assert_int_equal(libdrm_load(&drm), 0);
    assert_int_equal(node_find(&drm, folder->path, &path, reason), -ENOENT);
    assert_non_null(strstr(reason, folder->path));
    make_node(folder, 127, "virtio_gpu"); /* no render node's number */
    make_node(folder, 128, "amdgpu");
    make_node(folder, 192, "virtio_gpu");
    assert_int_equal(node_find(&drm, folder->path, &path, reason), -ENOENT);
    assert_null(path);
    make_node(folder, 191, "virtio_gpu");
    assert_int_equal(node_find(&drm, folder->path, &path, reason), 0);
    assert_string_equal(strrchr(path, '/'), "/renderD191");
    free(path);
    make_node(folder, 130, "virtio_gpu");
    make_node(folder, 129, ""); /* does not answer */
    assert_int_equal(node_find(&drm, folder->path, &path, reason), 0);
    assert_string_equal(strrchr(path, '/'), "/renderD130");
    free(path);
}

/* A node that is there and can't be opened is the reason. */
static void test_unusable_node(void **state)
{
    const struct folder *folder = *state;
    struct libdrm drm = {0};
    char reason[ERROR_TEXT_BYTES], node[96], *path = NULL;

    assert_int_equal(libdrm_load(&drm), 0);
    snprintf(node, sizeof(node), "%s/renderD128", folder->path);
    assert_int_equal(symlink(node, node), 0);
    assert_int_equal(node_find(&drm, folder->path, &path, reason), -ENOENT);
    assert_non_null(strstr(reason, "/renderD128: "));
}

static void test_device_paths(void **state)
{
    struct aliquot_vgpu *vgpu = NULL;

    assert_int_equal(aliquot_open(&(struct aliquot_open_args){.path = FAKE_NODE}, &vgpu), 0);
    assert_ptr_equal(vgpu->transport, &transport_virtgpu);
    aliquot_close(vgpu);

    fake.driver = NULL;
    assert_int_equal(refused(FAKE_NODE, FAKE_NODE " is no GPU"), -ENODEV);
    fake.driver = "i915";
    assert_int_equal(refused(FAKE_NODE, "driven by i915"), -ENODEV);
    fake_reset();
    fake.node_type = DRM_NODE_PRIMARY;
    assert_int_equal(refused(FAKE_NODE, "not a render node"), -ENODEV);
    fake_reset();
    fake.has_3d = false;
    assert_int_equal(refused(FAKE_NODE, "no 3D"), -EPROTONOSUPPORT);
    fake_reset();
    fake.no_libdrm = true;
    assert_int_equal(refused(FAKE_NODE, "install libdrm"), -ENOPKG);
}

static void test_socket_paths(void **state)
{
    const struct folder *folder = *state;
    char path[96];

    snprintf(path, sizeof(path), "%s/none.sock", folder->path);
    assert_int_equal(refused(path, path), -ENOENT);
    make_node(folder, 128, "virtio_gpu"); /* a file is no device */
    snprintf(path, sizeof(path), "%s/renderD128", folder->path);
    assert_int_equal(refused(path, path), -ECONNREFUSED);
}

static void test_variable(void **state)
{
    const struct folder *folder = *state;
    struct aliquot_vgpu *vgpu = NULL;
    char path[96];

    /* The variable decides, and its value may be either. */
    snprintf(path, sizeof(path), "%s/none.sock", folder->path);
    setenv("ALIQUOT_SOCKET", path, 1);
    assert_int_equal(refused(ALIQUOT_PATH_DEFAULT, path), -ENOENT);
    setenv("ALIQUOT_SOCKET", FAKE_NODE, 1);
    assert_int_equal(aliquot_open(&(struct aliquot_open_args){.path = ALIQUOT_PATH_DEFAULT}, &vgpu),
                     0);
    assert_ptr_equal(vgpu->transport, &transport_virtgpu);
    aliquot_close(vgpu);
    /* What is named goes before it. */
    snprintf(path, sizeof(path), "%s/other.sock", folder->path);
    assert_int_equal(refused(path, path), -ENOENT);
}

/* Without a variable, this machine has no virtio_gpu node but by the fake driver, which calls each
 * node that there may be another's. */
static void test_nothing(void **state)
{
    const struct folder *folder = *state;
    char before[256];

    snprintf(before, sizeof(before), "%s", getenv("XDG_RUNTIME_DIR") ?: "");
    fake.driver = "i915";
    setenv("XDG_RUNTIME_DIR", folder->path, 1);
    unsetenv("ALIQUOT_SOCKET");
    if (access("/run/aliquot/aliquot.sock", F_OK) < 0 || geteuid() != 0) {
        assert_int_equal(refused(ALIQUOT_PATH_DEFAULT, "ALIQUOT_SOCKET is not set"), -ENOENT);
        refused(ALIQUOT_PATH_DEFAULT, "/dev/dri/renderD");
        refused(ALIQUOT_PATH_DEFAULT, "aliquot.sock");
        fake.no_libdrm = true;
        refused(ALIQUOT_PATH_DEFAULT, "libdrm.so.2");
        setenv("ALIQUOT_SOCKET", "", 1); /* as if it was not */
        assert_int_equal(refused(ALIQUOT_PATH_DEFAULT, "ALIQUOT_SOCKET is not set"), -ENOENT);
    }
    setenv("XDG_RUNTIME_DIR", before, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unusable_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
