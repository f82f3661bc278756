/* SPDX-License-Identifier: MIT */
#include "mediator/base/util.h"
#include "mediator/renderer/edid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* What a driver reads out of the first detailed timing. */
struct timing {
    uint32_t width, height, h_blank, v_blank, clock_10khz;
};

static struct timing first_timing(const uint8_t *edid)
{
    const uint8_t *t = edid + 54;

    return (struct timing){
        .width = t[2] | (uint32_t)(t[4] >> 4) << 8,
        .height = t[5] | (uint32_t)(t[7] >> 4) << 8,
        .h_blank = t[3] | (uint32_t)(t[4] & 15) << 8,
        .v_blank = t[6] | (uint32_t)(t[7] & 15) << 8,
        .clock_10khz = t[0] | (uint32_t)t[1] << 8,
    };
}

static void check(uint32_t width, uint32_t height, uint32_t want_width, uint32_t want_height)
{
    static const uint8_t magic[8] = {0, 255, 255, 255, 255, 255, 255, 0};
    uint8_t edid[EDID_BLOCK_BYTES + 1], sum = 0;
    struct timing t;
    double hz;

    edid[EDID_BLOCK_BYTES] = 0xaa;
    edid_generate(edid, width, height, 1);
    assert_int_equal(edid[EDID_BLOCK_BYTES], 0xaa);
    assert_memory_equal(edid, magic, sizeof(magic));
    for (size_t i = 0; i < EDID_BLOCK_BYTES; i++)
        sum = (uint8_t)(sum + edid[i]);
    assert_int_equal(sum, 0);
    t = first_timing(edid);
    assert_int_equal(t.width, want_width);
    assert_int_equal(t.height, want_height);
    hz = t.clock_10khz * 10000.0 / ((t.width + t.h_blank) * (double)(t.height + t.v_blank));
    assert_true(hz < 60.5);
    /* The clock's unit is coarse for tiny modes, and its field too small for huge ones. */
    if (width >= 640 && t.clock_10khz < 65535)
        assert_true(hz > 59.0);
    /* The sync pulse lies inside the blanking. */
    assert_true(edid[54 + 8] + edid[54 + 9] < t.h_blank);
    assert_true((edid[54 + 10] >> 4) + (edid[54 + 10] & 15) < (int)t.v_blank);
}

static void test_modes(void **state)
{
    check(1280, 800, 1280, 800);
    check(1920, 1080, 1920, 1080);
    check(3840, 2160, 3840, 2160);
    check(640, 480, 640, 480);
    check(1, 1, 1, 1);
    check(0, 0, 1, 1);
    check(4095, 4095, 4095, 4095);
    check(16384, 16384, EDID_SIDE_MAX, EDID_SIDE_MAX);
    check(UINT32_MAX, UINT32_MAX, EDID_SIDE_MAX, EDID_SIDE_MAX);
}

static void test_serial_and_name(void **state)
{
    uint8_t a[EDID_BLOCK_BYTES], b[EDID_BLOCK_BYTES];

    edid_generate(a, 1280, 800, 1);
    edid_generate(b, 1280, 800, 2);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(a[72 + 3], 0xfc);
    assert_memory_equal(a + 72 + 5, "Aliquot\n     ", 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_serial_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
