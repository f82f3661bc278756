/* SPDX-License-Identifier: MIT */
/*
 * Who gets how much, and how soon: the bounds of docs/scheduling.md, on a virtual clock. "slack" is
 * what a share may be off by at the end of a stretch, whatever its length: a slice and the longest
 * job at either end.
 */
#include "tests/unit/sched_scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SLICE (4 * MS)

static void test_equal_hogs(void **state)
{
    static const size_t counts[] = {2, 3, 7, 64};
    for (unsigned i = 0; i < 4; i++) {
        struct scene s;
        scene_init(&s, SCHED_POLICY_FAIR, counts[i]);
        s.lag_bound_ns = SLICE + 2 * MS;
        scene_begin(&s);
        scene_run(&s, 10 * SECOND);
        for (size_t v = 0; v < counts[i]; v++)
            scene_expect(&s, v, SCHED_PPM / counts[i], SLICE + 2 * MS);
        scene_expect_busy(&s);
        scene_finish(&s);
    }
}

/* Not even the lengths of jobs matter, nor how they fit into slices. */
static void test_unequal_jobs(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 4);
    scene_vgpu(&s, 0, "hog 100us");
    scene_vgpu(&s, 1, "hog 3.9ms");
    scene_vgpu(&s, 2, "hog 7ms");
    scene_vgpu(&s, 3, "hog 25ms");
    s.lag_bound_ns = SLICE + 25 * MS;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    for (size_t v = 0; v < 4; v++)
        scene_expect(&s, v, SCHED_PPM / 4, SLICE + 25 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

static void test_weights(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 4);
    for (unsigned v = 0; v < 4; v++)
        s.config.vgpus[v].knobs.weight = 100u << v;
    s.lag_bound_ns = SLICE + 2 * MS;
    scene_begin(&s);
    scene_run(&s, 10 * SECOND);
    for (unsigned v = 0; v < 4; v++)
        scene_expect(&s, v, (uint64_t)SCHED_PPM * (1u << v) / 15, SLICE + 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* The smallest weight beside the largest starves not: it gets its ten-thousandth. */
static void test_no_starvation(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 2);
    s.config.vgpus[0].knobs.weight = 1;
    s.config.vgpus[1].knobs.weight = 10000;
    scene_begin(&s);
    scene_run(&s, 1000 * SECOND);
    scene_expect(&s, 0, 100, SLICE + 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* One that draws a frame now and then, beside hogs that would take all: it waits for the end of the
 * turn it finds and for those whose deadlines are earlier, never for a whole round. */
static void test_interactive(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 2);
    scene_vgpu(&s, 0, "periodic 1.3ms every 16.7ms");
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    assert_int_equal(s.sim.vgpus[0].n_missed, 0);
    assert_true(sim_samples_percentile(&s.sim.vgpus[0].wait, 100) <= SLICE + 2 * MS);
    scene_expect(&s, 0, SCHED_PPM * 13 / 167, 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);

    scene_init(&s, SCHED_POLICY_FAIR, 9); /* 8 hogs; a ninth of the GPU is more than it needs */
    scene_vgpu(&s, 0, "periodic 1.3ms every 16.7ms")->knobs.slice_ns = 1300 * US;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    assert_int_equal(s.sim.vgpus[0].n_missed, 0);
    assert_true(sim_samples_percentile(&s.sim.vgpus[0].wait, 100) <= 2 * SLICE + 2 * MS);
    scene_finish(&s);
}

/* What it mostly asks for is known after some frames, and needs no knob: short requests are due
 * before long ones. */
static void test_interactive_with_the_same_slice(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 9);
    scene_vgpu(&s, 0, "periodic 1.3ms every 16.7ms");
    s.lag_bound_ns = SLICE + 2 * MS;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    assert_in_range(s.sim.vgpus[0].n_missed, 0, 1);
    assert_true(sim_samples_percentile(&s.sim.vgpus[0].wait, 99) <= SLICE + 2 * MS);
    scene_expect(&s, 0, SCHED_PPM * 13 / 167, 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* Whose requests are short does not wait for a whole turn of the others', once that is known. */
static void test_interactive_ends_turns(void **state)
{
    struct scene s;

    scene_init(&s, SCHED_POLICY_FAIR, 9);
    s.lag_bound_ns = SLICE + 2 * MS;
    scene_vgpu(&s, 0, "periodic 1.3ms every 16.7ms");
    for (size_t v = 1; v < 9; v++)
        scene_vgpu(&s, v, "hog 130us"); /* so that turns can end anywhere */
    scene_begin(&s);
    scene_run(&s, 10 * SECOND);
    /* The least part of a turn, and a job. */
    assert_true(sim_samples_percentile(&s.sim.vgpus[0].wait, 95) <= SCHED_SLICE_MIN_NS + 130 * US);
    scene_expect(&s, 0, 77844, SLICE + 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

static void test_reservation_under_overload(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 20);
    s.config.vgpus[0].knobs.reservation_ppm = 500000;
    s.config.vgpus[1].knobs.reservation_ppm = 125000;
    scene_vgpu(&s, 1, "hog 500us")->knobs.slice_ns = 1 * MS;
    s.config.vgpus[2].knobs.weight = 300;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    scene_expect(&s, 0, 500000, SLICE + 2 * MS);
    scene_expect(&s, 1, 125000, SLICE + 2 * MS);
    /* What is left goes by weight. */
    scene_expect(&s, 2, 375000 * 3 / 20, 2 * SLICE + 2 * MS);
    for (size_t v = 3; v < 20; v++)
        scene_expect(&s, v, 375000 / 20, 2 * SLICE + 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* A reservation is the least: it adds nothing to a share that is larger anyway. */
static void test_reservation_is_a_floor(void **state)
{
    static const uint32_t reserved[] = {1, 10, 30, 33};
    for (unsigned i = 0; i < 4; i++) {
        struct scene s;
        scene_init(&s, SCHED_POLICY_FAIR, 3);
        s.config.vgpus[0].knobs.reservation_ppm = reserved[i] * SCHED_PERCENT;
        scene_begin(&s);
        scene_run(&s, 20 * SECOND);
        for (size_t v = 0; v < 3; v++)
            scene_expect(&s, v, SCHED_PPM / 3, 2 * SLICE + 2 * MS);
        scene_finish(&s);
    }
}

/* All of 95 % reserved, and the rest neither starves nor takes more. */
static void test_full_reservation(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 6);
    for (unsigned v = 0; v < 5; v++) {
        s.config.vgpus[v].knobs.reservation_ppm = 190000;
        s.config.vgpus[v].knobs.weight = 1;
    }
    s.config.vgpus[5].knobs.weight = 10000;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    for (unsigned v = 0; v < 5; v++)
        scene_expect(&s, v, 190000, 2 * SLICE + 2 * MS);
    scene_expect(&s, 5, 50000, 2 * SLICE + 2 * MS);
    scene_finish(&s);
}

/* Whoever had an idle GPU to himself is guaranteed his share all the same when others come. */
static void test_reservation_after_idle_gpu(void **state)
{
    static const char *const works[] = {"hog 2ms", "hog 20ms"};
    for (unsigned i = 0; i < 2; i++) {
        struct scene s;
        scene_init(&s, SCHED_POLICY_FAIR, 10);
        scene_vgpu(&s, 0, works[i])->knobs.reservation_ppm = 200000;
        for (unsigned v = 1; v < 10; v++)
            s.config.vgpus[v].arrive_ns = 10 * SECOND;
        scene_begin(&s);
        scene_run(&s, 10 * SECOND);
        scene_expect(&s, 0, SCHED_PPM, 20 * MS);
        scene_mark(&s);
        scene_run(&s, SECOND);
        scene_expect(&s, 0, 200000, 40 * MS);
        scene_finish(&s);
    }
}

static void test_cap_on_idle_gpu(void **state)
{
    static const enum sched_policy policies[] = {SCHED_POLICY_FAIR, SCHED_POLICY_EQUAL};
    for (unsigned i = 0; i < 2; i++) {
        struct scene s;
        scene_init(&s, policies[i], 1);
        s.config.vgpus[0].knobs.cap_ppm = 125000;
        scene_begin(&s);
        for (unsigned second = 0; second < 10; second++) {
            scene_mark(&s);
            scene_run(&s, SECOND);
            scene_expect(&s, 0, 125000, SLICE + 2 * MS); /* in any stretch */
        }
        scene_finish(&s);
    }
}

/* What a cap keeps from one goes to the others. */
static void test_cap_beside_hogs(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 3);
    s.config.vgpus[0].knobs.cap_ppm = 100000;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    assert_true(scene_got_ns(&s, 0) <= 2 * SECOND + 2 * SLICE);
    assert_true(scene_got_ns(&s, 0) >= 2 * SECOND - 20 * SECOND / 200);
    assert_true(llabs((long long)(scene_got_ns(&s, 1) - scene_got_ns(&s, 2))) <=
                (long long)(2 * SLICE));
    scene_expect_busy(&s);
    scene_finish(&s);
}

static void test_late_yielder(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 3);
    scene_vgpu(&s, 0, "late-yielder 2ms by 30ms");
    s.lag_bound_ns = SLICE + 32 * MS;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    for (size_t v = 0; v < 3; v++)
        scene_expect(&s, v, SCHED_PPM / 3, SLICE + 32 * MS);
    assert_true(s.sim.vgpus[0].entity.overrun_ns > 5 * SECOND);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* The one that is reserved for gets its share beside those that yield late, and when it does so
 * itself, it gets no more. */
static void test_late_yielder_and_reservation(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 4);
    scene_vgpu(&s, 0, "late-yielder 2ms by 20ms");
    s.config.vgpus[1].knobs.reservation_ppm = 600000;
    scene_vgpu(&s, 2, "late-yielder 2ms by 20ms")->knobs.reservation_ppm = 200000;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    scene_expect(&s, 0, 100000, 40 * MS);
    scene_expect(&s, 1, 600000, 40 * MS);
    scene_expect(&s, 2, 200000, 40 * MS);
    scene_expect(&s, 3, 100000, 40 * MS);
    scene_finish(&s);
}

static void test_random_arrivals(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct scene s;
        scene_init(&s, SCHED_POLICY_FAIR, 24);
        s.config.seed = seed;
        for (unsigned v = 0; v < 22; v++)
            scene_vgpu(&s, v, v % 2 ? "random 1ms every 40ms" : "periodic 2ms every 150ms");
        scene_begin(&s);
        scene_run(&s, 20 * SECOND);
        /* Two hogs make it busy; they get the same; the others need less than a share. */
        scene_expect_busy(&s);
        assert_true(llabs((long long)(scene_got_ns(&s, 22) - scene_got_ns(&s, 23))) <=
                    (long long)(2 * SLICE));
        for (unsigned v = 0; v < 22; v++) {
            assert_true(s.sim.vgpus[v].n_missed == 0);
            assert_true(s.sim.vgpus[v].n_pending < 20);
        }
        scene_finish(&s);
    }
}

static void test_arrivals_and_departures(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 3);
    s.config.vgpus[1].arrive_ns = 4 * SECOND;
    s.config.vgpus[2].arrive_ns = 4 * SECOND;
    s.config.vgpus[2].leave_ns = 8 * SECOND;
    s.lag_bound_ns = SLICE + 2 * MS;
    scene_begin(&s);
    scene_run(&s, 4 * SECOND - 1);
    scene_expect(&s, 0, SCHED_PPM, 2 * MS);
    scene_mark(&s);
    scene_run(&s, 4 * SECOND);
    for (size_t v = 0; v < 3; v++)
        scene_expect(&s, v, SCHED_PPM / 3, 2 * SLICE); /* the past of the first counts nothing */
    scene_mark(&s);
    scene_run(&s, 4 * SECOND);
    scene_expect(&s, 0, SCHED_PPM / 2, 2 * SLICE);
    scene_expect(&s, 1, SCHED_PPM / 2, 2 * SLICE);
    assert_true(scene_got_ns(&s, 2) <= SLICE);
    scene_expect_busy(&s);
    scene_finish(&s);
}

static void test_never_completes(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 3);
    scene_vgpu(&s, 0, "never-completes 1ms after 3s");
    scene_begin(&s);
    scene_run(&s, 6 * SECOND);
    assert_int_equal(s.sim.vgpus[0].presence, SIM_RESET);
    scene_mark(&s);
    scene_run(&s, 4 * SECOND);
    assert_int_equal(scene_got_ns(&s, 0), 0);
    scene_expect(&s, 1, SCHED_PPM / 2, SLICE + 2 * MS);
    scene_expect(&s, 2, SCHED_PPM / 2, SLICE + 2 * MS);
    scene_expect_busy(&s);
    scene_finish(&s);
}

static void test_live_changes(void **state)
{
    struct scene s;
    struct sim_change changes[] = {{2 * SECOND, SCHED_KNOBS_DEFAULT},
                                   {4 * SECOND, SCHED_KNOBS_DEFAULT},
                                   {6 * SECOND, SCHED_KNOBS_DEFAULT}};
    changes[0].knobs.weight = 300;
    changes[1].knobs.cap_ppm = 100000;
    changes[2].knobs.reservation_ppm = 800000;
    scene_init(&s, SCHED_POLICY_FAIR, 2);
    s.config.vgpus[0].changes = changes;
    s.config.vgpus[0].n_changes = 3;
    scene_begin(&s);
    static const uint32_t expected[] = {500000, 750000, 100000, 800000};
    for (unsigned i = 0; i < 4; i++) {
        scene_mark(&s);
        scene_run(&s, 2 * SECOND);
        scene_expect(&s, 0, expected[i], 2 * SLICE + 2 * MS);
        scene_expect(&s, 1, SCHED_PPM - expected[i], 2 * SLICE + 2 * MS);
    }
    scene_finish(&s);
}

static void test_live_policy(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 2);
    s.config.vgpus[0].knobs.weight = 300;
    s.config.vgpus[0].knobs.reservation_ppm = 200000;
    s.config.vgpus[1].knobs.reservation_ppm = 300000;
    scene_begin(&s);
    static const struct {
        enum sched_policy policy;
        uint32_t expected[2];
    } steps[] = {
        {SCHED_POLICY_FAIR, {700000, 300000}},
        {SCHED_POLICY_FIXED, {200000, 300000}},
        {SCHED_POLICY_EQUAL, {500000, 500000}},
        {SCHED_POLICY_FAIR, {700000, 300000}},
    };
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(sched_set_policy(&s.sim.sched, steps[i].policy, s.sim.now_ns), 0);
        scene_mark(&s);
        scene_run(&s, 4 * SECOND);
        for (unsigned v = 0; v < 2; v++)
            scene_expect(&s, v, steps[i].expected[v], 2 * SLICE + 2 * MS);
    }
    scene_finish(&s);
}

static void test_equal_keeps_places(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_EQUAL, 4);
    s.config.vgpus[0].knobs.weight = 10000; /* counts nothing here */
    scene_vgpu(&s, 2, "late-yielder 2ms by 10ms");
    scene_vgpu(&s, 3, "periodic 100us every 500ms");
    s.lag_bound_ns = 2 * SLICE + 16 * MS;
    scene_begin(&s);
    scene_run(&s, 10 * SECOND);
    for (size_t v = 0; v < 3; v++)
        scene_expect(&s, v, 250000, SLICE + 12 * MS);
    /* The turn that it finds, a late one, and one of each of the other two. */
    assert_true(sim_samples_percentile(&s.sim.vgpus[3].wait, 100) <=
                16 * MS + 2 * (SLICE + 2 * MS));
    scene_finish(&s);
}

static void test_fixed(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FIXED, 3);
    s.config.vgpus[0].knobs.reservation_ppm = 125000;
    s.config.vgpus[1].knobs.reservation_ppm = 400000;
    scene_vgpu(&s, 1, "late-yielder 2ms by 10ms");
    s.lag_bound_ns = 2 * SLICE + 16 * MS;
    scene_begin(&s);
    scene_run(&s, 10 * SECOND);
    scene_expect(&s, 0, 125000, SLICE + 2 * MS);
    scene_expect(&s, 1, 400000, SLICE + 12 * MS);
    assert_int_equal(scene_got_ns(&s, 2), 0);
    scene_finish(&s);
}

static void test_exclusive(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_EXCLUSIVE, 2);
    s.config.vgpus[1].arrive_ns = SECOND;
    scene_begin(&s);
    scene_run(&s, 4 * SECOND);
    scene_expect(&s, 0, SCHED_PPM, 2 * MS);
    assert_int_equal(s.sim.vgpus[1].presence, SIM_REFUSED);
    assert_int_equal(s.sim.vgpus[1].refusal, -EBUSY);
    assert_int_equal(s.sim.n_switches, 1);
    scene_finish(&s);
}

/* With several inside a slice at once, shares stay what they are, as long as there are always more
 * who wait than places, and no share is more than a place can have: a k-th of the GPU. */
static void test_slots(void **state)
{
    for (unsigned slots = 2; slots <= 3; slots++) {
        struct scene s;
        scene_init(&s, SCHED_POLICY_FAIR, 6);
        s.config.slots = slots;
        s.config.vgpus[0].knobs.weight = 150;
        s.config.vgpus[2].knobs.reservation_ppm = 200000;
        s.lag_bound_ns = slots * (SLICE + 2 * MS);
        scene_begin(&s);
        scene_run(&s, 20 * SECOND);
        scene_expect(&s, 0, 800000 * 3 / 11, slots * (SLICE + 2 * MS));
        scene_expect(&s, 1, 800000 * 2 / 11, slots * (SLICE + 2 * MS));
        scene_expect(&s, 2, 200000, slots * (SLICE + 2 * MS));
        scene_expect_busy(&s);
        scene_finish(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_hogs),
        cmocka_unit_test(test_unequal_jobs),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_no_starvation),
        cmocka_unit_test(test_interactive),
        cmocka_unit_test(test_interactive_with_the_same_slice),
        cmocka_unit_test(test_interactive_ends_turns),
        cmocka_unit_test(test_reservation_under_overload),
        cmocka_unit_test(test_reservation_is_a_floor),
        cmocka_unit_test(test_full_reservation),
        cmocka_unit_test(test_reservation_after_idle_gpu),
        cmocka_unit_test(test_cap_on_idle_gpu),
        cmocka_unit_test(test_cap_beside_hogs),
        cmocka_unit_test(test_late_yielder),
        cmocka_unit_test(test_late_yielder_and_reservation),
        cmocka_unit_test(test_random_arrivals),
        cmocka_unit_test(test_arrivals_and_departures),
        cmocka_unit_test(test_never_completes),
        cmocka_unit_test(test_live_changes),
        cmocka_unit_test(test_live_policy),
        cmocka_unit_test(test_equal_keeps_places),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
