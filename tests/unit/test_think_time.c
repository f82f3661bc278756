/* SPDX-License-Identifier: MIT */
/* On a clock of the test's own. */
#include "mediator/daemon/think_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define START_NS (UINT64_C(1000000) * MS) /* of a machine that has been up for a while */

/* How long the GPU would be kept for one that is idle from now on. */
static uint64_t kept_ns(struct think_time *t, uint64_t now_ns)
{
    t->idle_from_ns = now_ns;
    return think_time_kept_until_ns(t) - now_ns;
}

/* It is idle for so long, n times, whoever has the GPU. */
static void pause_for(struct think_time *t, unsigned n, uint64_t ns, uint64_t *now_ns)
{
    for (unsigned i = 0; i < n; i++) {
        t->idle_from_ns = *now_ns;
        *now_ns += ns;
        think_time_end(t, *now_ns);
        *now_ns += 10 * MS;
    }
}

static void test_twice_what_it_needs(void **state)
{
    struct think_time t;
    uint64_t now_ns = START_NS;

    think_time_init(&t);
    assert_int_equal(kept_ns(&t, now_ns), 1 * MS); /* nobody knows yet */
    pause_for(&t, 50, 1500 * US, &now_ns);
    assert_in_range(kept_ns(&t, now_ns), 2990 * US, 3 * MS);
    pause_for(&t, 50, 2 * US, &now_ns);
    assert_int_equal(kept_ns(&t, now_ns), 300 * US); /* a doorbell's way is longer than 4 */
}

static void test_not_for_who_needs_long(void **state)
{
    struct think_time t;
    uint64_t now_ns = START_NS;

    think_time_init(&t);
    pause_for(&t, 50, 15 * MS, &now_ns);
    assert_int_equal(kept_ns(&t, now_ns), 0);
    pause_for(&t, 1, 100 * US, &now_ns); /* its frames have a second part */
    assert_int_equal(kept_ns(&t, now_ns), 300 * US);
    pause_for(&t, 12, 15 * MS, &now_ns);
    assert_int_equal(kept_ns(&t, now_ns), 0);
    /* One that sleeps for a minute is as well known as one that sleeps for 8 ms. */
    pause_for(&t, 5, 60000 * MS, &now_ns);
    pause_for(&t, 12, 1 * MS, &now_ns);
    assert_in_range(kept_ns(&t, now_ns), 2 * MS, 3 * MS);
}

/* What a renderer says of when it began is no more than its word. */
static void test_began_before_it_was_idle(void **state)
{
    struct think_time t;

    think_time_init(&t);
    t.idle_from_ns = START_NS;
    think_time_end(&t, START_NS - 5 * MS);
    assert_true(t.usual_ns < 500 * US);
    assert_int_equal(t.idle_from_ns, 0);
    uint64_t usual_ns = t.usual_ns;
    think_time_end(&t, START_NS + 5 * MS); /* it had work all the time */
    assert_int_equal(t.usual_ns, usual_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_what_it_needs),
        cmocka_unit_test(test_not_for_who_needs_long),
        cmocka_unit_test(test_began_before_it_was_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
