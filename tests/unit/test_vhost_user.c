/* SPDX-License-Identifier: MIT */
/* The table of vhost-user messages: complete, unambiguous, and within the bounds that readers of
 * messages size their buffers by. */
#include "protocol/vhost_user.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(uint32_t request, const char *name, size_t min, size_t max, int min_fds,
                   int max_fds, bool replies)
{
    const struct vhost_user_msg_info *info = vhost_user_msg_info(request);

    assert_non_null(info);
    assert_int_equal(info->request, request);
    assert_string_equal(info->name, name);
    assert_int_equal(info->min_size, min);
    assert_int_equal(info->max_size, max);
    assert_int_equal(info->min_fds, min_fds);
    assert_int_equal(info->max_fds, max_fds);
    assert_int_equal(info->replies, replies);
}

/* Sizes as the wire has them, in figures. */
static void test_rows(void **state)
{
    expect(1, "GET_FEATURES", 0, 0, 0, 0, true);
    expect(2, "SET_FEATURES", 8, 8, 0, 0, false);
    expect(3, "SET_OWNER", 0, 0, 0, 0, false);
    expect(4, "RESET_OWNER", 0, 0, 0, 0, false);
    expect(5, "SET_MEM_TABLE", 8, 264, 1, 8, false);
    expect(8, "SET_VRING_NUM", 8, 8, 0, 0, false);
    expect(9, "SET_VRING_ADDR", 40, 40, 0, 0, false);
    expect(10, "SET_VRING_BASE", 8, 8, 0, 0, false);
    expect(11, "GET_VRING_BASE", 8, 8, 0, 0, true);
    expect(12, "SET_VRING_KICK", 8, 8, 0, 1, false);
    expect(13, "SET_VRING_CALL", 8, 8, 0, 1, false);
    expect(14, "SET_VRING_ERR", 8, 8, 0, 1, false);
    expect(15, "GET_PROTOCOL_FEATURES", 0, 0, 0, 0, true);
    expect(16, "SET_PROTOCOL_FEATURES", 8, 8, 0, 0, false);
    expect(17, "GET_QUEUE_NUM", 0, 0, 0, 0, true);
    expect(18, "SET_VRING_ENABLE", 8, 8, 0, 0, false);
    expect(21, "SET_BACKEND_REQ_FD", 0, 0, 1, 1, false);
    expect(24, "GET_CONFIG", 12, 268, 0, 0, true);
    expect(25, "SET_CONFIG", 12, 268, 0, 0, false);
    expect(33, "GPU_SET_SOCKET", 0, 0, 1, 1, false);
    expect(34, "RESET_DEVICE", 0, 0, 0, 0, false);
    expect(36, "GET_MAX_MEM_SLOTS", 0, 0, 0, 0, true);
    expect(37, "ADD_MEM_REG", 40, 40, 1, 1, false);
    expect(38, "REM_MEM_REG", 40, 40, 0, 1, false);
    expect(44, "GET_SHMEM_CONFIG", 0, 0, 0, 0, true);
}

static void test_unknown(void **state)
{
    static const uint32_t unknown[] = {0,  6,   7,   19,         20,         22,
                                       23, 26,  32,  35,         39,         43,
                                       45, 255, 256, 0x01000001, 0x80000005, UINT32_MAX};

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_null(vhost_user_msg_info(unknown[i]));
}

static void test_bounds(void **state)
{
    unsigned rows = 0;

    for (uint32_t request = 0; request < 1000; request++) {
        const struct vhost_user_msg_info *info = vhost_user_msg_info(request);

        if (!info)
            continue;
        rows++;
        assert_true(info->min_size <= info->max_size);
        assert_true(info->max_size <= VHOST_USER_PAYLOAD_MAX);
        assert_true(info->min_fds <= info->max_fds);
        assert_true(info->max_fds <= VHOST_USER_FDS_MAX);
    }
    assert_int_equal(rows, 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
