/* SPDX-License-Identifier: MIT */
/* Knobs as text: exact, and read back as what they were. */
#include "mediator/base/util.h"
#include "mediator/daemon/knob_text.h"
#include "mediator/sched/knobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_ppm(void **state)
{
    static const struct {
        uint32_t ppm;
        const char *text;
    } cases[] = {
        {0, "0%"},        {125000, "12.5%"},    {1000000, "100%"}, {1, "0.0001%"},
        {10100, "1.01%"}, {999999, "99.9999%"}, {950000, "95%"},   {UINT32_MAX, "429496.7295%"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[KNOB_TEXT_MAX];
        uint32_t back;
        knob_text_ppm(cases[i].ppm, text);
        assert_string_equal(text, cases[i].text);
        if (cases[i].ppm > SCHED_PPM)
            continue;
        assert_int_equal(sched_text_ppm(text, &back), 0);
        assert_int_equal(back, cases[i].ppm);
    }
}

static void test_slice(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {{500000, "0.5ms"},  {4000000, "4ms"},
                 {30000000, "30ms"}, {1000001, "1.000001ms"},
                 {0, "0ms"},         {UINT64_MAX, "18446744073709.551615ms"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[KNOB_TEXT_MAX];
        uint64_t back;
        knob_text_slice(cases[i].ns, text);
        assert_string_equal(text, cases[i].text);
        if (cases[i].ns > SCHED_SLICE_MAX_NS)
            continue;
        assert_int_equal(sched_text_duration(text, &back), 0);
        assert_int_equal(back, cases[i].ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ppm), cmocka_unit_test(test_slice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
