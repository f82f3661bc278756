/* SPDX-License-Identifier: MIT */
/* The Prometheus text format: exact numbers, escaped labels, cumulative buckets. */
#include "mediator/base/util.h"
#include "mediator/daemon/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What write() has written; the caller frees it. */
static char *written(void (*write)(FILE *out))
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    write(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void write_samples(FILE *out)
{
    static const struct exposition_label none[] = {{0}};
    static const struct exposition_label labels[] = {{"vgpu", "a\"b\\c\nd"}, {"gpu", "egl:0"}, {0}};
    exposition_family(out, "aliquot_x_total", EXPOSITION_COUNTER, "What it is.");
    exposition_integer(out, "aliquot_x_total", none, UINT64_MAX);
    exposition_ns(out, "aliquot_x_seconds", labels, 1000000001);
    exposition_ppm(out, "aliquot_x_ratio", labels, 125000);
}

static void test_samples(void **state)
{
    char *text = written(write_samples);
    assert_string_equal(text, "# HELP aliquot_x_total What it is.\n"
                              "# TYPE aliquot_x_total counter\n"
                              "aliquot_x_total 18446744073709551615\n"
                              "aliquot_x_seconds{vgpu=\"a\\\"b\\\\c\\nd\",gpu=\"egl:0\"} "
                              "1.000000001\n"
                              "aliquot_x_ratio{vgpu=\"a\\\"b\\\\c\\nd\",gpu=\"egl:0\"} 0.125000\n");
    free(text);
}

static void write_histogram(FILE *out)
{
    static const struct exposition_label labels[] = {{"vgpu", "a"}, {0}};
    struct arbiter_histogram h = {.count = 6, .sum_ns = 2500000000};
    h.buckets[0] = 1;                   /* below 1 µs */
    h.buckets[4] = 2;                   /* below 16 µs */
    h.buckets[5] = 1;                   /* below 32 µs */
    h.buckets[22] = 1;                  /* below 4.2 s */
    h.buckets[ARBITER_BUCKETS - 1] = 1; /* above all */
    exposition_histogram(out, "aliquot_wait_seconds", labels, &h);
}

static void test_histogram(void **state)
{
    static const char *const lines[] = {
        "aliquot_wait_seconds_bucket{vgpu=\"a\",le=\"0.000016\"} 3\n",
        "aliquot_wait_seconds_bucket{vgpu=\"a\",le=\"0.000064\"} 4\n",
        "aliquot_wait_seconds_bucket{vgpu=\"a\",le=\"1.048576\"} 4\n",
        "aliquot_wait_seconds_bucket{vgpu=\"a\",le=\"4.194304\"} 5\n",
        "aliquot_wait_seconds_bucket{vgpu=\"a\",le=\"+Inf\"} 6\n",
        "aliquot_wait_seconds_sum{vgpu=\"a\"} 2.500000000\n",
        "aliquot_wait_seconds_count{vgpu=\"a\"} 6\n",
    };
    char *text = written(write_histogram), *at = text;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) { /* in this order */
        at = strstr(at, lines[i]);
        assert_non_null(at);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples),
                                       cmocka_unit_test(test_histogram)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
