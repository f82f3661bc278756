/* SPDX-License-Identifier: MIT */
#include "protocol/vtest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_numbers_outside_the_table(void **state)
{
    assert_null(vtest_command_info(0));
    assert_null(vtest_command_info(VTEST_COMMANDS));
    assert_null(vtest_command_info(UINT32_MAX));
}

static void test_every_number_has_a_row(void **state)
{
    for (uint32_t command = 1; command < VTEST_COMMANDS; command++) {
        const struct vtest_command_info *info = vtest_command_info(command);
        assert_non_null(info);
        assert_non_null(info->name);
        assert_true(info->min_length <= info->max_length);
        if (info->counted == VTEST_LENGTH_INLINE)
            assert_int_equal(info->min_length * 4, sizeof(struct vtest_transfer));
    }
}

/* As virgl_test_server has them. */
static void test_lengths(void **state)
{
    static const struct {
        uint32_t command, words;
    } fixed[] = {
        {VTEST_GET_CAPS, 0},           {VTEST_RESOURCE_CREATE, 10},
        {VTEST_RESOURCE_UNREF, 1},     {VTEST_TRANSFER_GET, 11},
        {VTEST_RESOURCE_BUSY_WAIT, 2}, {VTEST_GET_CAPS2, 0},
        {VTEST_PROTOCOL_VERSION, 1},   {VTEST_RESOURCE_CREATE2, 11},
        {VTEST_TRANSFER_GET2, 10},     {VTEST_GET_PARAM, 1},
        {VTEST_GET_CAPSET, 2},         {VTEST_CONTEXT_INIT, 1},
        {VTEST_SYNC_WRITE, 3},         {VTEST_RESOURCE_CREATE_BLOB, 6},
        {VTEST_SYNC_CREATE, 2},        {VTEST_PING_PROTOCOL_VERSION, 0},
    };

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        const struct vtest_command_info *info = vtest_command_info(fixed[i].command);
        assert_int_equal(info->min_length, fixed[i].words);
        assert_int_equal(info->max_length, fixed[i].words);
        assert_int_equal(info->counted, VTEST_LENGTH_WORDS);
    }
    assert_int_equal(vtest_command_info(VTEST_CREATE_RENDERER)->counted, VTEST_LENGTH_BYTES);
    assert_int_equal(vtest_command_info(VTEST_TRANSFER_PUT2)->counted, VTEST_LENGTH_FIXED);
    assert_int_equal(vtest_command_info(VTEST_TRANSFER_PUT2)->min_length, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_outside_the_table),
        cmocka_unit_test(test_every_number_has_a_row),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
