/* SPDX-License-Identifier: MIT */
/* The table of virtio-gpu commands against the sizes of virtio 1.3, section 5.7.6, in figures. */
#include "protocol/virtio_gpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct virtio_gpu_cmd_info expected[] = {
    {0x0100, "GET_DISPLAY_INFO", VIRTIO_GPU_QUEUE_CONTROL, 24, 408, false},
    {0x0101, "RESOURCE_CREATE_2D", VIRTIO_GPU_QUEUE_CONTROL, 40, 24, false},
    {0x0102, "RESOURCE_UNREF", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, false},
    {0x0103, "SET_SCANOUT", VIRTIO_GPU_QUEUE_CONTROL, 48, 24, false},
    {0x0104, "RESOURCE_FLUSH", VIRTIO_GPU_QUEUE_CONTROL, 48, 24, false},
    {0x0105, "TRANSFER_TO_HOST_2D", VIRTIO_GPU_QUEUE_CONTROL, 56, 24, false},
    {0x0106, "RESOURCE_ATTACH_BACKING", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, false},
    {0x0107, "RESOURCE_DETACH_BACKING", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, false},
    {0x0108, "GET_CAPSET_INFO", VIRTIO_GPU_QUEUE_CONTROL, 32, 40, true},
    {0x0109, "GET_CAPSET", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, true},
    {0x010a, "GET_EDID", VIRTIO_GPU_QUEUE_CONTROL, 32, 1056, false},
    {0x010b, "RESOURCE_ASSIGN_UUID", VIRTIO_GPU_QUEUE_CONTROL, 32, 40, false},
    {0x010c, "RESOURCE_CREATE_BLOB", VIRTIO_GPU_QUEUE_CONTROL, 56, 24, false},
    {0x010d, "SET_SCANOUT_BLOB", VIRTIO_GPU_QUEUE_CONTROL, 96, 24, false},
    {0x0200, "CTX_CREATE", VIRTIO_GPU_QUEUE_CONTROL, 96, 24, true},
    {0x0201, "CTX_DESTROY", VIRTIO_GPU_QUEUE_CONTROL, 24, 24, true},
    {0x0202, "CTX_ATTACH_RESOURCE", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, true},
    {0x0203, "CTX_DETACH_RESOURCE", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, true},
    {0x0204, "RESOURCE_CREATE_3D", VIRTIO_GPU_QUEUE_CONTROL, 72, 24, true},
    {0x0205, "TRANSFER_TO_HOST_3D", VIRTIO_GPU_QUEUE_CONTROL, 72, 24, true},
    {0x0206, "TRANSFER_FROM_HOST_3D", VIRTIO_GPU_QUEUE_CONTROL, 72, 24, true},
    {0x0207, "SUBMIT_3D", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, true},
    {0x0208, "RESOURCE_MAP_BLOB", VIRTIO_GPU_QUEUE_CONTROL, 40, 32, true},
    {0x0209, "RESOURCE_UNMAP_BLOB", VIRTIO_GPU_QUEUE_CONTROL, 32, 24, true},
    {0x0300, "UPDATE_CURSOR", VIRTIO_GPU_QUEUE_CURSOR, 56, 0, false},
    {0x0301, "MOVE_CURSOR", VIRTIO_GPU_QUEUE_CURSOR, 56, 0, false},
};
#define N_EXPECTED (sizeof(expected) / sizeof(expected[0]))

static void test_rows(void **state)
{
    for (size_t i = 0; i < N_EXPECTED; i++) {
        const struct virtio_gpu_cmd_info *info = virtio_gpu_cmd_info(expected[i].type);

        assert_non_null(info);
        assert_int_equal(info->type, expected[i].type);
        assert_string_equal(info->name, expected[i].name);
        assert_int_equal(info->queue, expected[i].queue);
        assert_int_equal(info->request_bytes, expected[i].request_bytes);
        assert_int_equal(info->response_bytes, expected[i].response_bytes);
        assert_int_equal(info->needs_3d, expected[i].needs_3d);
        assert_true(info->request_bytes >= sizeof(struct virtio_gpu_ctrl_hdr));
    }
}

/* Nothing else is a command: responses least of all. */
static void test_unknown(void **state)
{
    unsigned rows = 0;

    for (uint32_t type = 0; type < 0x20000; type++)
        rows += virtio_gpu_cmd_info(type) != NULL;
    assert_int_equal(rows, N_EXPECTED);
    assert_null(virtio_gpu_cmd_info(0));
    assert_null(virtio_gpu_cmd_info(0x1100));
    assert_null(virtio_gpu_cmd_info(0x01000100));
    assert_null(virtio_gpu_cmd_info(UINT32_MAX));
}

static void test_response_names(void **state)
{
    assert_string_equal(virtio_gpu_response_name(0x1100), "OK_NODATA");
    assert_string_equal(virtio_gpu_response_name(0x1106), "OK_MAP_INFO");
    assert_string_equal(virtio_gpu_response_name(0x1200), "ERR_UNSPEC");
    assert_string_equal(virtio_gpu_response_name(0x1203), "ERR_INVALID_RESOURCE_ID");
    assert_string_equal(virtio_gpu_response_name(0x1205), "ERR_INVALID_PARAMETER");
    for (uint32_t type = 0; type < 0x2000; type++) {
        bool known = (type >= 0x1100 && type <= 0x1106) || (type >= 0x1200 && type <= 0x1205);
        const char *name = virtio_gpu_response_name(type);

        assert_non_null(name);
        assert_int_equal(strcmp(name, "unknown response") != 0, known);
    }
    assert_non_null(virtio_gpu_response_name(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_response_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
