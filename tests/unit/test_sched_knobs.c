/* SPDX-License-Identifier: MIT */
/* Knobs: their bounds and their spelling. */
#include "mediator/sched/sched.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static struct sched_knobs knobs(uint32_t weight, uint32_t reservation_percent, uint32_t cap_percent)
{
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;
    k.weight = weight;
    k.reservation_ppm = reservation_percent * SCHED_PERCENT;
    k.cap_ppm = cap_percent * SCHED_PERCENT;
    return k;
}

static void test_knob_bounds(void **state)
{
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;
    assert_int_equal(sched_knobs_check(&k), 0);
    k.weight = 0;
    assert_int_equal(sched_knobs_check(&k), -ERANGE);
    k.weight = 10001;
    assert_int_equal(sched_knobs_check(&k), -ERANGE);
    k = knobs(10000, 95, 100);
    assert_int_equal(sched_knobs_check(&k), 0);
    k.reservation_ppm++;
    assert_int_equal(sched_knobs_check(&k), -ERANGE);
    k = knobs(1, 0, 0);
    assert_int_equal(sched_knobs_check(&k), -ERANGE);
    k = knobs(1, 50, 49);
    assert_int_equal(sched_knobs_check(&k), -EINVAL);
    k = SCHED_KNOBS_DEFAULT;
    k.slice_ns = 499999;
    assert_int_equal(sched_knobs_check(&k), -ERANGE);
    k.slice_ns = 30000001;
    assert_int_equal(sched_knobs_check(&k), -ERANGE);
}

static void test_knob_text(void **state)
{
    static const struct {
        const char *key, *value;
        int result;
    } cases[] = {
        {"weight", "10000", 0},
        {"weight", "0", -ERANGE},
        {"weight", "10001", -ERANGE},
        {"weight", "1.5", -EINVAL},
        {"weight", "", -EINVAL},
        {"weight", "-1", -EINVAL},
        {"reservation", "95%", 0},
        {"reservation", "0", 0},
        {"reservation", "95.1", -ERANGE},
        {"reservation", "1 %x", -EINVAL},
        {"reservation", "99999999999999999999", -ERANGE},
        {"cap", "0.5", -ERANGE},
        {"cap", "101%", -ERANGE},
        {"slice", "0.5ms", 0},
        {"slice", "500 us", 0},
        {"slice", "4", -EINVAL},
        {"slice", "31ms", -ERANGE},
        {"slice", "ms", -EINVAL},
        {"slice", "4 min", -EINVAL},
        {"slice", "1.2.3ms", -EINVAL},
        {"colour", "red", -ENOENT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sched_knobs k = SCHED_KNOBS_DEFAULT;
        assert_int_equal(sched_knobs_set(&k, cases[i].key, cases[i].value), cases[i].result);
        if (cases[i].result < 0)
            assert_memory_equal(&k, &SCHED_KNOBS_DEFAULT, sizeof(k));
        assert_int_equal(sched_knobs_allowed(cases[i].key) == NULL, cases[i].result == -ENOENT);
    }
    uint32_t ppm;
    uint64_t ns;
    assert_int_equal(sched_text_ppm("12.5 %", &ppm), 0);
    assert_int_equal(ppm, 125000);
    assert_int_equal(sched_text_ppm("33.3333", &ppm), 0);
    assert_int_equal(ppm, 333333);
    assert_int_equal(sched_text_ppm("33.33333", &ppm), -EINVAL); /* finer than it can be */
    assert_int_equal(sched_text_ppm("33.33330", &ppm), 0);
    assert_int_equal(sched_text_duration("16.7ms", &ns), 0);
    assert_int_equal(ns, 16700000);
    assert_int_equal(sched_text_duration("2s", &ns), 0);
    assert_int_equal(ns, 2000 * MS);
    assert_int_equal(sched_text_duration("0.1ns", &ns), -EINVAL);
}

static void test_policy_names(void **state)
{
    for (unsigned i = 0; i < SCHED_N_POLICIES; i++) {
        enum sched_policy policy = SCHED_N_POLICIES;
        assert_int_equal(sched_policy_from_name(sched_policy_name(i), &policy), 0);
        assert_int_equal(policy, i);
    }
    enum sched_policy policy = SCHED_POLICY_FIXED;
    assert_int_equal(sched_policy_from_name("Fair", &policy), -EINVAL);
    assert_int_equal(policy, SCHED_POLICY_FIXED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knob_bounds),
        cmocka_unit_test(test_knob_text),
        cmocka_unit_test(test_policy_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
