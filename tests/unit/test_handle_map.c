/* SPDX-License-Identifier: MIT */
/*
 * What the Vulkan layer knows of handles.
 */
#include "mediator/layer/handle_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEYS 3000u

static void test_map(void **state)
{
    struct handle_map map = HANDLE_MAP_INIT;
    static bool there[KEYS + 1];
    static uint64_t values[KEYS + 1];
    uint64_t value = 99, seed = 1;

    assert_false(handle_map_get(&map, 1, &value));
    assert_int_equal(value, 99);
    for (unsigned i = 0; i < 100000; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t key = (seed >> 33) % KEYS + 1;

        assert_int_equal(handle_map_get(&map, key << 6, &value), there[key]);
        assert_true(!there[key] || value == values[key]);
        switch (seed >> 62) {
        case 0:
            assert_int_equal(handle_map_take(&map, key << 6, &value), there[key]);
            there[key] = false;
            break;
        case 1:
            handle_map_take_exactly(&map, key << 6, values[key] + (seed >> 61 & 1));
            there[key] = there[key] && (seed >> 61 & 1);
            break;
        default:
            values[key] = seed >> 40;
            there[key] = true;
            assert_int_equal(handle_map_put(&map, key << 6, values[key]), 0);
        }
    }
    assert_int_equal(handle_map_put(&map, 64, 5), 0);
    handle_map_raise(&map, 64, 3);
    assert_true(handle_map_get(&map, 64, &value));
    assert_int_equal(value, 5);
    handle_map_raise(&map, 64, 7);
    assert_true(handle_map_get(&map, 64, &value));
    assert_int_equal(value, 7);
    handle_map_finish(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
