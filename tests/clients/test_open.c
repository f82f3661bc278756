/* SPDX-License-Identifier: MIT */
/* Opening a vGPU: servers that answer the start-up conversation wrongly, late or not at all. */
#include "protocol/vhost_user.h"
#include "tests/clients/fake_server.h"
#include "tests/clients/vgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void test_start_faults(void **state)
{
    static const struct {
        uint32_t message;
        enum fake_message_fault fault;
        int error;
        uint64_t value;
    } cases[] = {
        {VHOST_USER_GET_FEATURES, MESSAGE_CLOSE, -ECONNRESET, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_CUT, -ECONNRESET, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_GARBAGE, -EPROTO, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_WRONG_REQUEST, -EPROTO, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_NO_REPLY_FLAG, -EPROTO, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_HUGE, -EPROTO, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_DESCRIPTOR, -EPROTO, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_SILENT, -ETIMEDOUT, 0},
        {VHOST_USER_GET_FEATURES, MESSAGE_VALUE, -EPROTONOSUPPORT, 1},
        {VHOST_USER_GET_PROTOCOL_FEATURES, MESSAGE_VALUE, -EPROTONOSUPPORT, 0},
        {VHOST_USER_GET_PROTOCOL_FEATURES, MESSAGE_GARBAGE, -EPROTO, 0},
        {VHOST_USER_GET_QUEUE_NUM, MESSAGE_VALUE, -EPROTONOSUPPORT, 1},
        {VHOST_USER_GET_CONFIG, MESSAGE_GARBAGE, -EPROTO, 0},
        {VHOST_USER_GET_CONFIG, MESSAGE_HUGE, -EPROTO, 0},
        {VHOST_USER_GET_CONFIG, MESSAGE_VALUE, -EPROTO, ~0ull}, /* data size */
        {VHOST_USER_SET_MEM_TABLE, MESSAGE_VALUE, -EPROTO, 1},
        {VHOST_USER_SET_MEM_TABLE, MESSAGE_CLOSE, -ECONNRESET, 0},
        {VHOST_USER_SET_VRING_ENABLE, MESSAGE_VALUE, -EPROTO, 1},
        {VHOST_USER_SET_VRING_ENABLE, MESSAGE_SILENT, -ETIMEDOUT, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int before = count_fds(), fd;
        struct fake_server *server =
            fake_server_start(&(struct fake_options){.message = cases[i].message,
                                                     .message_fault = cases[i].fault,
                                                     .value = cases[i].value},
                              &fd);
        struct aliquot_vgpu *vgpu = NULL;
        char error[200] = "";
        struct aliquot_open_args args = {
            .fd = fd,
            .timeout_ms = cases[i].error == -ETIMEDOUT ? HASTY_MS : PATIENT_MS,
            .error = error,
            .error_size = sizeof(error),
        };

        int result = aliquot_open(&args, &vgpu);
        if (result != cases[i].error)
            fail_msg("case %zu: %d (%s) instead of %d", i, result, error, cases[i].error);
        assert_null(vgpu);
        assert_true(strlen(error) > 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC); /* stays ours */
        close(fd);
        fake_server_stop(server);
        assert_int_equal(count_fds(), before);
    }
}

static void test_open_arguments(void **state)
{
    struct aliquot_vgpu *vgpu = NULL;
    char error[200];
    char long_path[300];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';

    assert_int_equal(aliquot_open(&(struct aliquot_open_args){.fd = -1}, &vgpu), -EINVAL);
    assert_int_equal(
        aliquot_open(&(struct aliquot_open_args){.path = "/x", .memory_bytes = 4096}, &vgpu),
        -EINVAL);
    assert_int_equal(
        aliquot_open(&(struct aliquot_open_args){.path = "/x", .memory_bytes = ~0ull}, &vgpu),
        -EINVAL);
    assert_int_equal(
        aliquot_open(&(struct aliquot_open_args){.path = "/x", .reserved = {0, 0, 0, 1}}, &vgpu),
        -EINVAL);
    assert_int_equal(aliquot_open(&(struct aliquot_open_args){.path = long_path}, &vgpu),
                     -ENAMETOOLONG);
    assert_int_equal(aliquot_open(&(struct aliquot_open_args){.path = "/nonexistent/socket",
                                                              .error = error,
                                                              .error_size = sizeof(error)},
                                  &vgpu),
                     -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/socket"));
    assert_null(vgpu);
}

/* Connects to a listener that never accepts. */
static void test_full_backlog(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct aliquot_vgpu *vgpu = NULL;
    int before = count_fds();
    int filler[64], n = 0;
    char dir[] = "/tmp/aliquot-test-XXXXXX";

    assert_non_null(mkdtemp(dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (; n < 64; n++) {
        filler[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(filler[n], (struct sockaddr *)&addr, sizeof(addr)) < 0)
            break;
    }
    assert_true(n < 64);
    assert_int_equal(
        aliquot_open(&(struct aliquot_open_args){.path = addr.sun_path, .timeout_ms = HASTY_MS},
                     &vgpu),
        -ETIMEDOUT);
    for (int i = 0; i <= n; i++)
        close(filler[i]);
    close(listener);
    unlink(addr.sun_path);
    rmdir(dir);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_faults),
        cmocka_unit_test(test_open_arguments),
        cmocka_unit_test(test_full_backlog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
