/* SPDX-License-Identifier: MIT */
/* On a clock of the test's own. */
#include "mediator/daemon/cpu_allowance.h"

#include "mediator/sched/knobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define LOOK_NS (20 * MS)
#define CAP_PPM (20 * SCHED_PERCENT)
#define START_NS (UINT64_C(1000000) * MS) /* of a machine that has been up for a while */

/* One that uses used_ns of each look's time while it may, of which charged_ns is charged; what it
 * used in all. */
static uint64_t run(struct cpu_allowance *a, uint64_t used_ns, uint64_t charged_ns,
                    uint64_t *now_ns, uint64_t until_ns)
{
    uint64_t sum_ns = 0;

    while (*now_ns < until_ns) {
        bool over = cpu_allowance_next_ns(a) > *now_ns;
        *now_ns += LOOK_NS;
        sum_ns += over ? 0 : used_ns;
        cpu_allowance_use(a, over ? 0 : used_ns, over ? 0 : charged_ns, CAP_PPM, *now_ns);
    }
    return sum_ns;
}

/* Who reports nothing has what the cap is worth, and no more for having kept still before. */
static void test_reports_nothing(void **state)
{
    struct cpu_allowance a = {0};
    uint64_t now_ns = START_NS;

    for (int i = 0; i < 3; i++) {
        uint64_t from_ns = now_ns, used_ns = run(&a, LOOK_NS, 0, &now_ns, now_ns + 100000 * MS);
        uint64_t worth_ns = (now_ns - from_ns) / 5;
        assert_in_range(used_ns, worth_ns, worth_ns + CPU_ALLOWANCE_NS + LOOK_NS);
        run(&a, 0, 0, &now_ns, now_ns + 1000000 * MS);
    }
}

/* What is charged is nothing beside the work, however much it is, and nothing to save up. */
static void test_reports_all(void **state)
{
    struct cpu_allowance a = {0};
    uint64_t now_ns = START_NS, from_ns = now_ns;

    assert_int_equal(run(&a, LOOK_NS, LOOK_NS, &now_ns, now_ns + 100000 * MS), 100000 * MS);
    assert_int_equal(run(&a, LOOK_NS / 2, LOOK_NS, &now_ns, now_ns + 100000 * MS), 50000 * MS);
    from_ns = now_ns;
    uint64_t used_ns = run(&a, LOOK_NS, 0, &now_ns, now_ns + 100000 * MS);
    uint64_t worth_ns = (now_ns - from_ns) / 5;
    assert_in_range(used_ns, worth_ns, worth_ns + CPU_ALLOWANCE_NS + LOOK_NS);
}

/* So much beside it is never in the way: as much as the cap's worth all the time, or a start. */
static void test_some_beside_the_work(void **state)
{
    struct cpu_allowance a = {0};
    uint64_t now_ns = START_NS;

    assert_int_equal(run(&a, LOOK_NS / 5 + LOOK_NS / 5, LOOK_NS / 5, &now_ns, now_ns + 100000 * MS),
                     40000 * MS);
    run(&a, 0, 0, &now_ns, now_ns + 10000 * MS);
    cpu_allowance_use(&a, CPU_ALLOWANCE_NS, 0, CAP_PPM, now_ns);
    assert_true(cpu_allowance_next_ns(&a) <= now_ns);
    cpu_allowance_use(&a, MS, 0, CAP_PPM, now_ns);
    assert_int_equal(cpu_allowance_next_ns(&a), now_ns + 5 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reports_nothing),
        cmocka_unit_test(test_reports_all),
        cmocka_unit_test(test_some_beside_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
