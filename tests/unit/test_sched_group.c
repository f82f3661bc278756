/* SPDX-License-Identifier: MIT */
/*
 * vGPUs that share an entitlement: what they get together, what each of them gets of it, and that
 * to all others a group is one vGPU.
 */
#include "tests/unit/sched_scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SLICE (4 * MS)
#define SLACK (SLICE + 2 * MS)

/* Of the stretch, to within a slice and a job at either end. */
static void expect_together(struct scene *s, size_t first, size_t n, uint64_t ppm)
{
    uint64_t due_ns = (s->sim.now_ns - s->start_ns) / 1000 * ppm / 1000, got_ns = 0;
    for (size_t v = first; v < first + n; v++)
        got_ns += scene_got_ns(s, v);
    assert_in_range(got_ns, due_ns - SLACK, due_ns + SLACK);
}

static void share(struct scene *s, size_t leader, size_t first, size_t n)
{
    for (size_t v = first; v < first + n; v++)
        s->config.vgpus[v].with = leader + 1;
}

/* Many connections gain nothing: a hog beside a program with four has half. */
static void test_one_share_for_all(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 5);
    share(&s, 1, 2, 3);
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    scene_expect(&s, 0, SCHED_PPM / 2, SLACK);
    for (size_t v = 1; v < 5; v++)
        scene_expect(&s, v, SCHED_PPM / 8, 2 * SLACK);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* Whatever their jobs are like, members are equal. */
static void test_members_are_equal(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 4);
    share(&s, 1, 2, 2);
    s.config.vgpus[1].knobs.weight = 300;
    scene_vgpu(&s, 1, "hog 100us");
    scene_vgpu(&s, 2, "hog 7ms");
    scene_vgpu(&s, 3, "hog 20ms");
    scene_begin(&s);
    scene_run(&s, 40 * SECOND);
    scene_expect(&s, 0, SCHED_PPM / 4, SLICE + 20 * MS);
    for (size_t v = 1; v < 4; v++)
        scene_expect(&s, v, SCHED_PPM / 4, 2 * (SLICE + 20 * MS));
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* A member that has no work wastes nothing, and one that comes back has no claim on the past. */
static void test_idle_members(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 4);
    share(&s, 1, 2, 2);
    scene_vgpu(&s, 2, "periodic 1us every 10s");
    scene_vgpu(&s, 3, "hog 2ms")->arrive_ns = 10 * SECOND;
    scene_begin(&s);
    scene_run(&s, 9 * SECOND);
    scene_expect(&s, 0, SCHED_PPM / 2, SLACK);
    scene_expect(&s, 1, SCHED_PPM / 2, SLACK);
    scene_run(&s, 2 * SECOND);
    scene_mark(&s);
    scene_run(&s, 8 * SECOND);
    scene_expect(&s, 0, SCHED_PPM / 2, SLACK);
    scene_expect(&s, 1, SCHED_PPM / 4, 2 * SLACK);
    scene_expect(&s, 3, SCHED_PPM / 4, 2 * SLACK);
    scene_expect_busy(&s);
    scene_finish(&s);
}

/* One reservation and one cap, and admission asks for one. */
static void test_reservation_and_cap(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_FAIR, 14);
    share(&s, 0, 1, 3);
    s.config.vgpus[0].knobs.reservation_ppm = 60 * SCHED_PERCENT;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    expect_together(&s, 0, 4, 60 * SCHED_PERCENT);
    for (size_t v = 0; v < 4; v++)
        scene_expect(&s, v, 15 * SCHED_PERCENT, 2 * SLACK);
    assert_int_equal(sched_reserved_ppm(&s.sim.sched), 60 * SCHED_PERCENT);
    scene_expect_busy(&s);
    scene_finish(&s);

    scene_init(&s, SCHED_POLICY_FAIR, 3);
    share(&s, 0, 1, 2);
    s.config.vgpus[0].knobs.cap_ppm = 30 * SCHED_PERCENT;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    expect_together(&s, 0, 3, 30 * SCHED_PERCENT);
    for (size_t v = 0; v < 3; v++) {
        struct sched_stats stats;
        scene_expect(&s, v, 10 * SCHED_PERCENT, 2 * SLACK);
        sim_read_stats(&s.sim, v, &stats); /* at its cap it waits for nobody */
        assert_in_range(stats.capped_ns, 69 * (20 * SECOND) / 100, 71 * (20 * SECOND) / 100);
        assert_in_range(stats.waiting_ns + stats.capped_ns + stats.gpu_ns, 20 * SECOND - SLACK,
                        20 * SECOND);
    }
    scene_finish(&s);
}

/* Under equal and fixed, too. */
static void test_other_policies(void **state)
{
    struct scene s;
    scene_init(&s, SCHED_POLICY_EQUAL, 4);
    share(&s, 0, 1, 2);
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    expect_together(&s, 0, 3, SCHED_PPM / 2);
    scene_expect(&s, 3, SCHED_PPM / 2, SLACK);
    scene_finish(&s);

    scene_init(&s, SCHED_POLICY_FIXED, 4);
    share(&s, 0, 1, 2);
    s.config.vgpus[0].knobs.reservation_ppm = 30 * SCHED_PERCENT;
    s.config.vgpus[3].knobs.reservation_ppm = 20 * SCHED_PERCENT;
    scene_begin(&s);
    scene_run(&s, 20 * SECOND);
    expect_together(&s, 0, 3, 30 * SCHED_PERCENT);
    scene_expect(&s, 3, 20 * SCHED_PERCENT, SLACK);
    scene_finish(&s);
}

static void test_exclusive(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    struct sched_group g;
    const struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    sched_init(&s, SCHED_POLICY_EXCLUSIVE, 1, 0);
    assert_int_equal(sched_add(&s, &a, &knobs, 0), 0);
    sched_group_init(&g, &a, 0);
    assert_int_equal(sched_group_add(&g, &b, 0), -EBUSY);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_FAIR, 0), 0);
    assert_int_equal(sched_group_add(&g, &b, 0), 0);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_EXCLUSIVE, 0), -EBUSY);
    sched_remove(&a, 0);
    assert_int_equal(g.n_members, 1);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_EXCLUSIVE, 0), 0);
    sched_remove(&b, 0);
    assert_int_equal(g.n_members, 0);
    assert_null(s.first);
}

/* Slices end while only members of one group have work. */
static void test_contended_by_a_member(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    struct sched_group g;
    const struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;
    uint64_t next_ns;

    sched_init(&s, SCHED_POLICY_FAIR, 1, 0);
    assert_int_equal(sched_add(&s, &a, &knobs, 0), 0);
    sched_wake(&a, 0);
    sched_start(&a, 0);
    sched_group_init(&g, &a, 0); /* in its slice */
    assert_int_equal(sched_group_add(&g, &b, 0), 0);
    assert_false(sched_contended(&s));
    sched_wake(&b, 0);
    assert_true(sched_contended(&s));
    assert_int_equal(sched_slice_end_ns(&a), SLICE);
    sched_charge(&a, SLICE, SLICE);
    sched_put(&a, SLICE);
    assert_ptr_equal(sched_pick(&s, SLICE, &next_ns), &b);
    sched_start(&b, SLICE);
    assert_true(sched_contended(&s));
    sched_remove(&a, SLICE);
    assert_false(sched_contended(&s));
    sched_remove(&b, SLICE);
    assert_int_equal(s.n_running, 0);
    assert_int_equal(s.n_behind, 0);
}

/* ---- to the others a group is one vGPU ------------------------------------------------------ */

#define GROUPS 12
#define MEMBERS 4
#define STEPS 100000

/* Two schedulers side by side: one with groups, one with a vGPU in the place of each. */
struct pair {
    struct sched s, plain;
    struct sched_group groups[GROUPS];
    struct sched_entity members[GROUPS][MEMBERS];
    struct sched_entity singles[GROUPS];
    uint64_t now_ns, random;
};

static uint64_t below(struct pair *p, uint64_t n)
{
    return sim_random(&p->random) % n;
}

static void add_group(struct pair *p, size_t i)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;
    knobs.weight = 1 + (uint32_t)below(p, 300);
    knobs.reservation_ppm = below(p, 3) == 0 ? 5 * SCHED_PERCENT : 0;
    knobs.cap_ppm = below(p, 3) == 0 ? 10 * SCHED_PERCENT : SCHED_PPM;
    assert_int_equal(sched_add(&p->plain, &p->singles[i], &knobs, p->now_ns), 0);
    assert_int_equal(sched_add(&p->s, &p->members[i][0], &knobs, p->now_ns), 0);
    sched_group_init(&p->groups[i], &p->members[i][0], p->now_ns);
}

static bool has_work(struct pair *p, size_t i)
{
    for (size_t m = 0; m < MEMBERS; m++) {
        if (p->members[i][m].sched && p->members[i][m].has_work)
            return true;
    }
    return false;
}

static struct sched_entity *running(struct pair *p, size_t *ret_group)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (size_t m = 0; m < MEMBERS; m++) {
            if (p->members[i][m].sched && sched_is_running(&p->members[i][m])) {
                *ret_group = i;
                return &p->members[i][m];
            }
        }
    }
    return NULL;
}

/* Whether both pick the same, and of the group the member that has had least. */
static struct sched_entity *check_pick(struct pair *p, struct sched_entity **ret_single)
{
    uint64_t next_ns = 0, plain_next_ns = 0;
    struct sched_entity *m = sched_pick(&p->s, p->now_ns, &next_ns);
    size_t behind = 0, i;

    *ret_single = sched_pick(&p->plain, p->now_ns, &plain_next_ns);
    for (i = 0; i < GROUPS; i++) {
        for (size_t k = 0; k < MEMBERS && p->groups[i].running; k++) {
            const struct sched_entity *e = &p->members[i][k];
            behind += e->sched && e->has_work && e->state != SCHED_RUNNING;
        }
    }
    assert_int_equal(sched_contended(&p->s), sched_contended(&p->plain) || behind > 0);
    if (!m) {
        assert_null(*ret_single);
        assert_int_equal(next_ns, plain_next_ns);
        return NULL;
    }
    i = (size_t)(m - p->members[0]) / MEMBERS;
    assert_ptr_equal(*ret_single, &p->singles[i]);
    for (size_t k = 0; k < MEMBERS; k++) {
        const struct sched_entity *other = &p->members[i][k];
        if (other->sched && other->has_work)
            assert_true(m->had_ns <= other->had_ns);
    }
    assert_int_equal(m->state, SCHED_WAITING);
    return m;
}

static void charge(struct pair *p, size_t i, struct sched_entity *m, uint64_t ns)
{
    sched_charge(m, ns, p->now_ns);
    sched_charge(&p->singles[i], ns, p->now_ns);
}

/* The one in the place of a group has work while any member has. */
static void follow(struct pair *p, size_t i)
{
    if (p->groups[i].n_members == 0)
        sched_remove(&p->singles[i], p->now_ns);
    else if (has_work(p, i))
        sched_wake(&p->singles[i], p->now_ns);
    else
        sched_sleep(&p->singles[i], p->now_ns);
}

static void change_member(struct pair *p, size_t i, struct sched_entity *m)
{
    struct sched_knobs knobs;

    switch (below(p, 16)) {
    case 0:
    case 1:
    case 2:
        sched_sleep(m, p->now_ns);
        break;
    case 3:
        charge(p, i, m, below(p, MS)); /* late */
        break;
    case 4:
        if (sched_is_running(m))
            sched_put(&p->singles[i], p->now_ns);
        sched_remove(m, p->now_ns);
        break;
    case 5:
        knobs = p->singles[i].knobs;
        knobs.weight = 1 + (uint32_t)below(p, 300);
        assert_int_equal(sched_set_knobs(m, &knobs, p->now_ns), 0);
        assert_int_equal(sched_set_knobs(&p->singles[i], &knobs, p->now_ns), 0);
        break;
    default:
        sched_wake(m, p->now_ns);
    }
    follow(p, i);
}

static void step(struct pair *p)
{
    size_t i = below(p, GROUPS);
    struct sched_entity *m = &p->members[i][below(p, MEMBERS)], *single;

    if (below(p, 2) == 0) {
        if (p->groups[i].n_members == 0)
            add_group(p, i);
        else if (!m->sched)
            assert_int_equal(sched_group_add(&p->groups[i], m, p->now_ns), 0);
        else
            change_member(p, i, m);
        return;
    }
    m = check_pick(p, &single);
    if (m) {
        sched_start(m, p->now_ns);
        sched_start(single, p->now_ns);
        return;
    }
    m = running(p, &i);
    if (!m)
        return;
    uint64_t used_ns = below(p, 6 * MS);
    p->now_ns += used_ns;
    charge(p, i, m, used_ns);
    sched_put(m, p->now_ns);
    sched_put(&p->singles[i], p->now_ns);
}

static void run_pair(uint64_t seed, enum sched_policy policy, unsigned parallelism)
{
    struct pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->random = seed;
    p->now_ns = 5 * MS;
    sched_init(&p->s, policy, parallelism, p->now_ns);
    sched_init(&p->plain, policy, parallelism, p->now_ns);
    for (unsigned n = 0; n < STEPS; n++) {
        step(p);
        p->now_ns += below(p, MS / 10);
    }
    for (size_t i = 0; i < GROUPS; i++) {
        uint64_t total_ns = 0;
        if (p->groups[i].n_members > 0)
            assert_int_equal(p->groups[i].entity.gpu_ns, p->singles[i].gpu_ns);
        for (size_t k = 0; k < MEMBERS; k++) {
            struct sched_entity *m = &p->members[i][k];
            struct sched_stats stats, single;
            if (!m->sched)
                continue;
            sched_read_stats(m, p->now_ns, &stats);
            sched_read_stats(&p->singles[i], p->now_ns, &single);
            assert_int_equal(stats.lag_ns, single.lag_ns);
            total_ns += stats.gpu_ns;
            assert_true(total_ns <= single.gpu_ns);
        }
    }
    for (size_t i = 0; i < GROUPS; i++) {
        for (size_t k = 0; k < MEMBERS; k++)
            sched_remove(&p->members[i][k], p->now_ns);
    }
    assert_null(p->s.first);
    assert_int_equal(p->s.n_entities, 0);
    assert_int_equal(p->s.n_running, 0);
    assert_int_equal(p->s.n_behind, 0);
    assert_int_equal(p->s.weights, 0);
    assert_int_equal(sched_reserved_ppm(&p->s), 0);
    free(p);
}

static void test_one_to_the_others(void **state)
{
    run_pair(1, SCHED_POLICY_FAIR, 1);
    run_pair(2, SCHED_POLICY_FAIR, 3);
    run_pair(3, SCHED_POLICY_EQUAL, 1);
    run_pair(4, SCHED_POLICY_FIXED, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_share_for_all),     cmocka_unit_test(test_members_are_equal),
        cmocka_unit_test(test_idle_members),          cmocka_unit_test(test_reservation_and_cap),
        cmocka_unit_test(test_other_policies),        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_contended_by_a_member), cmocka_unit_test(test_one_to_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
