/* SPDX-License-Identifier: MIT */
/* Many vGPUs: shares stay exact. How long a pick takes is for samples/bench. */
#include "tests/unit/sched_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void hogs(size_t n, uint64_t ns)
{
    struct scene s;
    uint64_t weights = 0;
    scene_init(&s, SCHED_POLICY_FAIR, n);
    for (size_t v = 0; v < n; v++) {
        s.config.vgpus[v].knobs.weight = 100u << v % 3;
        weights += s.config.vgpus[v].knobs.weight;
    }
    s.config.vgpus[0].knobs.reservation_ppm = 200000;
    scene_begin(&s);
    scene_run(&s, ns);
    scene_expect(&s, 0, 200000, 6 * MS);
    for (size_t v = 1; v < n; v++)
        scene_expect(&s, v, (uint64_t)800000 * (100u << v % 3) / (weights - 100), 8 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

static void test_thousand(void **state)
{
    hogs(1000, 60 * SECOND);
}

static void test_ten_thousand(void **state)
{
    hogs(10000, 300 * SECOND);
}

static void sharers(enum sched_policy policy, size_t n, uint64_t ns)
{
    struct scene s;
    scene_init(&s, policy, n);
    for (size_t v = 0; v < n; v++) {
        s.config.vgpus[v].knobs.slice_ns = 1 * MS;
        s.config.vgpus[v].knobs.reservation_ppm = (uint32_t)(SCHED_RESERVATION_MAX_PPM / n);
        s.config.vgpus[v].work.job_ns = 500 * US;
    }
    scene_begin(&s);
    scene_run(&s, ns);
    for (size_t v = 0; v < n; v++)
        scene_expect(&s, v, policy == SCHED_POLICY_EQUAL ? SCHED_PPM / n : 950000 / n, 2 * MS);
    scene_finish(&s);
}

static void test_thousand_equal(void **state)
{
    sharers(SCHED_POLICY_EQUAL, 1000, 20 * SECOND);
}

static void test_thousand_fixed(void **state)
{
    sharers(SCHED_POLICY_FIXED, 1000, 20 * SECOND);
}

/* A thousand that are mostly asleep beside one that never is. */
static void test_thousand_sleepers(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 1001);
    for (size_t v = 1; v <= 1000; v++)
        scene_vgpu(&s, v, "random 100us every 1s");
    scene_begin(&s);
    scene_run(&s, 60 * SECOND);
    scene_expect_busy(&s);
    for (size_t v = 1; v <= 1000; v++) {
        /* Behind at most the hog's turn and those who woke before: a tenth of the GPU. */
        assert_true(sim_samples_percentile(&s.sim.vgpus[v].wait, 100) < 20 * MS);
        assert_true(s.sim.vgpus[v].n_jobs > 20);
    }
    scene_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand),          cmocka_unit_test(test_ten_thousand),
        cmocka_unit_test(test_thousand_equal),    cmocka_unit_test(test_thousand_fixed),
        cmocka_unit_test(test_thousand_sleepers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
