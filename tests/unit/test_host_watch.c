/* SPDX-License-Identifier: MIT */
/* Who waits in vain, and who only waits. */
#include "guest-driver/shim/host_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000ll
#define SECOND (1000 * MS)

/* Waits, with a look each millisecond, for so long; how often it is told to ask. */
static unsigned wait_for(struct host_watch *w, uint32_t count, int64_t *now_ns, int64_t long_ns)
{
    unsigned times = 0;

    for (int64_t end_ns = *now_ns + long_ns; *now_ns < end_ns; *now_ns += MS)
        times += host_watch_look(w, count, *now_ns);
    return times;
}

static void test_in_vain(void **state)
{
    struct host_watch w = {0};
    int64_t now_ns = 100 * SECOND;

    assert_int_equal(wait_for(&w, 7, &now_ns, 5 * SECOND), 0);
    assert_int_equal(wait_for(&w, 7, &now_ns, 12 * SECOND), 3);
}

/* While anything ends, it is not in vain; nor is what a program does not wait for. */
static void test_not_in_vain(void **state)
{
    struct host_watch w = {0};
    int64_t now_ns = 100 * SECOND;

    for (uint32_t count = 0; count < 20; count++)
        assert_int_equal(wait_for(&w, count, &now_ns, 4 * SECOND), 0);
    for (int i = 0; i < 20; i++) {
        now_ns += 20 * SECOND;
        assert_int_equal(wait_for(&w, 20, &now_ns, 4 * SECOND), 0);
    }
}

static void test_contexts(void **state)
{
    struct host_watch w = {0};

    /* What was lost before is nothing to it. */
    host_watch_begin(&w, 3);
    assert_false(host_watch_has_lost(&w, 3));
    assert_true(host_watch_has_lost(&w, 4));
    /* Another one, made or given up since, does not hide it. */
    host_watch_begin(&w, 4);
    assert_true(host_watch_has_lost(&w, 4));
    host_watch_end(&w);
    assert_true(host_watch_has_lost(&w, 4));
    host_watch_end(&w);
    host_watch_begin(&w, 4);
    assert_false(host_watch_has_lost(&w, 4));
    host_watch_end(&w);
    host_watch_end(&w);
    assert_int_equal(w.contexts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_vain),
        cmocka_unit_test(test_not_in_vain),
        cmocka_unit_test(test_contexts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
