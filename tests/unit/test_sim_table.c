/* SPDX-License-Identifier: MIT */
/* The workload table of aliquot-sim: what it takes, what it says about what it does not take; and
 * that the same table gives the same result. */
#include "mediator/sched/sim/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static int load(struct sim_table *t, const char *text, char *error, size_t size)
{
    FILE *file = fmemopen((void *)text, strlen(text), "r");
    assert_non_null(file);
    int r = sim_table_load(t, file, "/t", error, size);
    fclose(file);
    return r;
}

static void test_all_keys(void **state)
{
    static const char text[] = "# comment\n"
                               "[gpu]\n"
                               "policy = fixed\n"
                               "slots = 2\n"
                               "run = 1.5s\n"
                               "seed = 18446744073709551615\n"
                               "switch = 50us\n"
                               "reset-after = 100ms\n"
                               "\n"
                               "[vgpu desk]\n"
                               "  weight = 250\n"
                               "reservation = 12.5 %\n"
                               "cap = 50%\n"
                               "slice = 1ms\n"
                               "change = 1s weight 400\n"
                               "change = 2s cap 75 %\n"
                               "work = periodic 1.3ms every 16.7ms\n"
                               "arrive = 250ms\n"
                               "leave = 5s\n"
                               "[vgpu batch]\n"
                               "work = random 1ms every 10ms ; as it comes\n"
                               "count = 3\n";
    struct sim_table t;
    char error[256] = "";
    assert_int_equal(load(&t, text, error, sizeof(error)), 0);
    assert_string_equal(error, "");
    assert_int_equal(t.config.policy, SCHED_POLICY_FIXED);
    assert_int_equal(t.config.slots, 2);
    assert_int_equal(t.run_ns, 1500 * MS);
    assert_true(t.config.seed == UINT64_MAX);
    assert_int_equal(t.config.switch_ns, 50000);
    assert_int_equal(t.config.reset_after_ns, 100 * MS);
    assert_int_equal(t.config.n_vgpus, 4);
    const struct sim_vgpu_config *v = &t.config.vgpus[0];
    assert_string_equal(v->name, "desk");
    assert_int_equal(v->knobs.weight, 250);
    assert_int_equal(v->knobs.reservation_ppm, 125000);
    assert_int_equal(v->knobs.cap_ppm, 500000);
    assert_int_equal(v->knobs.slice_ns, MS);
    assert_int_equal(v->work.kind, SIM_PERIODIC);
    assert_int_equal(v->work.job_ns, 1300000);
    assert_int_equal(v->work.other_ns, 16700000);
    assert_int_equal(v->arrive_ns, 250 * MS);
    assert_int_equal(v->leave_ns, 5 * SECOND);
    assert_int_equal(v->n_changes, 2);
    assert_int_equal(v->changes[0].at_ns, SECOND);
    assert_int_equal(v->changes[0].knobs.weight, 400);
    assert_int_equal(v->changes[0].knobs.cap_ppm, 500000);
    assert_int_equal(v->changes[1].knobs.weight, 400); /* each builds on the last */
    assert_int_equal(v->changes[1].knobs.cap_ppm, 750000);
    assert_string_equal(t.config.vgpus[1].name, "batch-1");
    assert_string_equal(t.config.vgpus[3].name, "batch-3");
    assert_int_equal(t.config.vgpus[3].work.kind, SIM_RANDOM);
    assert_int_equal(t.config.vgpus[3].knobs.weight, 100);
    sim_table_finish(&t);
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "/t:0: there is no [vgpu NAME]"},
        {"weight = 1\n", "/t:1: 'weight' stands before the first section"},
        {"[vgpu a]\n[vgpu b]\n", "/t:2: [vgpu a] has no work"},
        {"[vgpu a]\n", "/t:1: [vgpu a] has no work"},
        {"[vgpu]\n", "/t:1: unknown section [vgpu]; known are: [gpu], [vgpu NAME]"},
        {"[vgpu \"]\n", "/t:1: '\"' is no name: letters, digits, '.', '_' and '-'"},
        {"[gpu\n", "/t:1: ']' is missing"},
        {"[gpu]\nwork = hog 1ms\n", "/t:2: unknown key 'work' in [gpu]"},
        {"[gpu]\nslots = 0\n", "/t:2: '0' is out of range for slots; allowed: 1 to 64"},
        {"[gpu]\nhello\n", "/t:2: expected key = value"},
        {"[vgpu a]\nweight = 0\n", "/t:2: '0' is out of range for weight; allowed: 1 to 10000"},
        {"[vgpu a]\nwork = hog 1ms\nreservation = 50\ncap = 20\n[gpu]\n",
         "/t:5: [vgpu a]: the cap is smaller than the reservation"},
        {"[vgpu a]\nwork = hog 1ms\nchange = 1s colour red\n",
         "/t:3: '1s colour red' is no value for change; allowed: TIME KNOB VALUE, such as 2s "
         "weight "
         "400"},
        {"[vgpu a]\nwork = hog 1ms\nreservation = 50\nchange = 1s cap 20\n",
         "/t:4: [vgpu a]: the change of cap makes the cap smaller than the reservation"},
        {"[vgpu a]\nwork = hog 1ms\nchange = 2s weight 1\nchange = 1s weight 2\n",
         "/t:4: [vgpu a]: changes must stand in the order of their times"},
        {"[vgpu a]\nwork = hog 1ms\narrive = 2s\nleave = 2s\n",
         "/t:4: [vgpu a] leaves before it arrives"},
        {"[vgpu a]\nwork = hog 1ms\ncount = 10000\n[vgpu b]\nwork = hog 1ms\n",
         "/t:5: more than 10000 vGPUs"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_table t;
        char error[256] = "";
        assert_int_equal(load(&t, *cases[i].text ? cases[i].text : "#", error, sizeof(error)),
                         -EINVAL);
        if (*cases[i].text)
            assert_string_equal(error, cases[i].error);
    }
    static const char *const works[] = {
        "",
        "hog",
        "hog 0ms",
        "hog 1ms 2ms",
        "periodic 1ms",
        "periodic 1ms by 2ms",
        "periodic 1ms every 0ms",
        "late-yielder 1ms every 2ms",
        "sleeper 1ms",
        "random 1ms every 2ms more",
    };
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        struct sim_work work;
        assert_int_equal(sim_work_parse(works[i], &work), -EINVAL);
    }
}

/* What a table comes to, as a number. */
static uint64_t outcome(const char *text, uint64_t seed)
{
    struct sim_table t;
    struct sim s;
    char error[256];
    uint64_t sum = 0;
    assert_int_equal(load(&t, text, error, sizeof(error)), 0);
    t.config.seed = seed;
    assert_int_equal(sim_init(&s, &t.config), 0);
    assert_int_equal(sim_run_until(&s, t.run_ns), 0);
    for (size_t i = 0; i < t.config.n_vgpus; i++) {
        struct sched_stats stats;
        sim_read_stats(&s, i, &stats);
        sum = sum * 31 + stats.gpu_ns;
        sum = sum * 31 + sim_samples_percentile(&s.vgpus[i].latency, 99);
    }
    sim_finish(&s);
    sim_table_finish(&t);
    return sum;
}

static void test_same_seed_same_result(void **state)
{
    static const char text[] = "[gpu]\nswitch = 20us\nrun = 3s\n"
                               "[vgpu a]\nwork = random 1ms every 5ms\ncount = 4\n"
                               "[vgpu b]\nwork = hog 2ms\n";
    assert_true(outcome(text, 7) == outcome(text, 7));
    assert_true(outcome(text, 7) != outcome(text, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_same_seed_same_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
