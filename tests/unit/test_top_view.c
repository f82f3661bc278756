/* SPDX-License-Identifier: MIT */
/* The numbers and the looks of "aliquot top": rates between samples, lines at all widths. */
#include "mediator/base/util.h"
#include "mediator/cli/format.h"
#include "mediator/cli/top_view.h"
#include "mediator/cli/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sample_vgpu before_vgpus[] = {
    {.name = "a", .state = "running", .gpu = "software", .number = 1, .weight = 100},
};
static struct sample_vgpu now_vgpus[] = {
    {.name = "a",
     .state = "running",
     .gpu = "software",
     .number = 1,
     .weight = 100,
     .gpu_usec = 600000,
     .waiting_usec = 100000,
     .submits = 40,
     .memory_bytes = 2 << 20,
     .contexts = 5,
     .vulkan_contexts = 2,
     .vulkan_usec = 200000,
     .waits = {.n_buckets = 3, .bounds_usec = {1000, 2000, INT64_MAX}, .counts = {99, 1, 0}},
     .latencies = {.n_buckets = 2, .bounds_usec = {16000, INT64_MAX}, .counts = {1, 0}}},
    {.name = "a-name-that-is-longer-than-any-column-of-the-table",
     .state = "running",
     .gpu = "/dev/dri/renderD128",
     .number = 1,
     .weight = 10000,
     .gpu_usec = 1400000,
     .memory_bytes = INT64_MAX,
     .submits = INT64_MAX,
     .waits = {.n_buckets = 3, .bounds_usec = {1000, 2000, INT64_MAX}, .counts = {0, 98, 2}}},
    {.name = "idle", .state = "idle", .gpu = "software", .number = 2, .weight = 1},
};
static struct sample_gpu gpus[] = {
    {.gpu = "software", .policy = "fair", .reserved = "20%", .vgpus = 2, .busy_usec = 1000000}};

static const struct sample before = {
    .monotonic_usec = 5000000, .vgpus = before_vgpus, .n_vgpus = 1};
static const struct sample now = {
    .monotonic_usec = 7000000, .vgpus = now_vgpus, .n_vgpus = 3, .gpus = gpus, .n_gpus = 1};

static void test_rates(void **state)
{
    struct sample_rates r;
    sample_vgpu_rates(&before, &now, 0, &r);
    assert_int_equal((int)(10 * r.share), 300);
    assert_int_equal((int)(10 * r.waiting), 50);
    assert_int_equal((int)r.submits, 20);
    assert_int_equal(r.p99_usec, 1000); /* 99 of 100 */
    assert_int_equal(r.latency_p99_usec, 16000);
    assert_int_equal((int)(10 * r.vulkan), 100);
    sample_vgpu_rates(&before, &now, 1, &r); /* the number 1 of another GPU: new */
    assert_int_equal((int)(10 * r.share), 700);
    assert_int_equal(r.p99_usec, -1); /* beyond the last bound */
    sample_vgpu_rates(&before, &now, 2, &r);
    assert_int_equal(r.p99_usec, -1); /* no waits */
    assert_int_equal(r.latency_p99_usec, -1);
    sample_vgpu_rates(NULL, &now, 0, &r);
    assert_true(r.share == 0 && r.submits == 0);
    sample_vgpu_rates(&now, &now, 0, &r); /* no time has gone by */
    assert_true(r.share == 0 && r.submits == 0);
    assert_int_equal((int)sample_gpu_busy(&before, &now, 0), 50);
}

static void test_order(void **state)
{
    static const size_t expected[TOP_N_SORTS][3] = {
        [TOP_SORT_SHARE] = {1, 0, 2},   [TOP_SORT_WAITING] = {0, 1, 2},
        [TOP_SORT_P99] = {0, 1, 2},     [TOP_SORT_LATENCY] = {0, 1, 2},
        [TOP_SORT_SUBMITS] = {1, 0, 2}, [TOP_SORT_MEMORY] = {1, 0, 2},
        [TOP_SORT_NAME] = {0, 1, 2},
    };
    for (unsigned sort = 0; sort < TOP_N_SORTS; sort++) {
        size_t *order = top_view_order((enum top_sort)sort, &before, &now);
        assert_non_null(order);
        assert_memory_equal(order, expected[sort], sizeof(expected[sort]));
        free(order);
    }
}

static void test_all_sizes(void **state)
{
    for (unsigned width = 1; width <= TOP_LINE_MAX + 10; width++) {
        for (unsigned height = 0; height <= 10; height++) {
            const struct top_view view = {.width = width, .height = height};
            struct top_text t;
            assert_int_equal(top_view_format(&view, &before, &now, &t), 0);
            assert_true(t.title < t.n_lines);
            assert_true(t.n_lines <= (height ? height : 5));
            for (size_t i = 0; i < t.n_lines; i++)
                assert_true(strlen(t.lines[i]) <= width);
            top_text_finish(&t);
        }
    }
}

static void test_80_columns(void **state)
{
    static const char *const lines[] = {
        "GPU software: busy 50.0%, fair, reserved 20%, vGPUs: 2",
        "NAME                   STATE      SHARE   WAIT    P99  LAT99 SUB/S MEMORY WEIGHT",
        "a-name-that-is-longer~ running    70.0%   0.0%      -      -  4.6E   8.0E  10000",
        "a                      running    30.0%   5.0%  1.0ms 16.0ms    20   2.0M    100",
        "idle                   idle        0.0%   0.0%      -      -     0      0      1",
    };
    const struct top_view view = {.width = 80};
    struct top_text t;
    assert_int_equal(top_view_format(&view, &before, &now, &t), 0);
    assert_int_equal(t.n_lines, ARRAY_SIZE(lines));
    for (size_t i = 0; i < t.n_lines; i++)
        assert_string_equal(t.lines[i], lines[i]);
    top_text_finish(&t);
}

/* All that there is, contexts of OpenGL and of Vulkan and the time of the latter too. */
static void test_104_columns(void **state)
{
    static const char *const lines[] = {
        "NAME                 STATE      SHARE   WAIT    P99  LAT99 SUB/S MEMORY  GL VK  VSHARE "
        "WEIGHT GPU",
        "a-name-that-is-long~ running    70.0%   0.0%      -      -  4.6E   8.0E   0  0    0.0% "
        " 10000 renderD128",
        "a                    running    30.0%   5.0%  1.0ms 16.0ms    20   2.0M   3  2   10.0% "
        "   100 software",
    };
    const struct top_view view = {.width = 104};
    struct top_text t;
    assert_int_equal(top_view_format(&view, &before, &now, &t), 0);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_string_equal(t.lines[1 + i], lines[i]);
    top_text_finish(&t);
}

/* Names that fit leave room for the rest. */
static void test_80_columns_of_short_names(void **state)
{
    static const char *const lines[] = {
        "NAME     STATE      SHARE   WAIT    P99  LAT99 SUB/S MEMORY VK WEIGHT GPU",
        "a        running        -      -      -      -     -      0  0    100 software",
    };
    const struct sample one = {.vgpus = before_vgpus, .n_vgpus = 1};
    const struct top_view view = {.width = 80};
    struct top_text t;
    assert_int_equal(top_view_format(&view, NULL, &one, &t), 0);
    assert_int_equal(t.n_lines, ARRAY_SIZE(lines));
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_string_equal(t.lines[i], lines[i]);
    top_text_finish(&t);
}

static void test_40_columns(void **state)
{
    const struct top_view view = {.width = 40, .height = 4, .sort = TOP_SORT_NAME};
    struct top_text t;
    assert_int_equal(top_view_format(&view, NULL, &now, &t), 0);
    assert_int_equal(t.n_lines, 4);
    assert_string_equal(t.lines[0], "GPU software: busy -, fair, reserved 20%");
    assert_string_equal(t.lines[1], "NAME           SHARE   WAIT    P99 SUB/S");
    assert_string_equal(t.lines[2], "... 3 more");
    assert_int_equal(strncmp(t.lines[3], "q quit", 6), 0);
    top_text_finish(&t);
}

static void test_numbers(void **state)
{
    static const struct {
        int64_t usec;
        const char *text;
    } cases[] = {{-5, "0"},
                 {0, "0"},
                 {999, "999us"},
                 {4096, "4.1ms"},
                 {99949, "99.9ms"},
                 {99950, "100ms"},
                 {999499, "999ms"},
                 {999500, "1.0s"},
                 {59949999, "59.9s"},
                 {59950000, "0m59s"},
                 {252000000, "4m12s"},
                 {3599999999, "59m59s"},
                 {11100000000, "3h05m"},
                 {86400000000, "1d00h"}};
    char text[FORMAT_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        format_usec(cases[i].usec, text);
        assert_string_equal(text, cases[i].text);
    }
    format_count(99999, text);
    assert_string_equal(text, "99999");
    format_count(100000, text);
    assert_string_equal(text, "100k");
    format_bytes(1023, text);
    assert_string_equal(text, "1023");
    format_bytes(99 << 10, text);
    assert_string_equal(text, "99.0K");
}

static void test_seconds(void **state)
{
    static const char *const bad[] = {"",    "0",    "0.04",  "-1",  "nan", "inf",
                                      "1e3", "3601", "1.2.3", "0x5", " 1",  "."};
    double value = 7;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(value_seconds(bad[i], 3600, &value));
    assert_true(value == 7);
    assert_true(value_seconds("0.5", 3600, &value) && value == 0.5);
    assert_true(value_seconds("3600", 3600, &value) && value == 3600);
}

static void test_keys(void **state)
{
    enum top_sort sort = TOP_SORT_SHARE;
    assert_true(top_sort_from_key('m', &sort) && sort == TOP_SORT_MEMORY);
    assert_true(top_sort_from_name("p99", &sort) && sort == TOP_SORT_P99);
    assert_true(top_sort_from_key('l', &sort) && sort == TOP_SORT_LATENCY);
    assert_false(top_sort_from_key('x', &sort) || top_sort_from_name("x", &sort));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rates),
                                       cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_all_sizes),
                                       cmocka_unit_test(test_80_columns),
                                       cmocka_unit_test(test_80_columns_of_short_names),
                                       cmocka_unit_test(test_104_columns),
                                       cmocka_unit_test(test_40_columns),
                                       cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(test_seconds),
                                       cmocka_unit_test(test_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
