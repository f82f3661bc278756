/* SPDX-License-Identifier: MIT */
/*
 * Any calls in any order: what is picked is what a search through all vGPUs finds, and what must
 * hold between calls holds.
 */
#include "mediator/sched/sched.h"
#include "mediator/sched/sim/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define VGPUS 40
#define STEPS 100000
#define MS UINT64_C(1000000)

struct model {
    struct sched s;
    struct sched_entity e[VGPUS];
    uint64_t gpu_ns[VGPUS];
    uint64_t now_ns, random;
};

static uint64_t below(struct model *m, uint64_t n)
{
    return sim_random(&m->random) % n;
}

static bool before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static struct sched_knobs random_knobs(struct model *m)
{
    static const uint32_t weights[] = {1, 50, 100, 777, 10000};
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;
    k.weight = weights[below(m, 5)];
    k.slice_ns = SCHED_SLICE_MIN_NS + below(m, SCHED_SLICE_MAX_NS - SCHED_SLICE_MIN_NS + 1);
    if (below(m, 3) == 0)
        k.reservation_ppm = (uint32_t)below(m, 10 * SCHED_PERCENT);
    if (below(m, 3) == 0)
        k.cap_ppm = (uint32_t)(10 * SCHED_PERCENT + below(m, 90 * SCHED_PERCENT));
    return k;
}

static __int128 exact_average_sum(struct model *m, uint64_t at, uint64_t *ret_weights)
{
    __int128 sum = 0;
    *ret_weights = 0;
    for (unsigned i = 0; i < VGPUS; i++) {
        const struct virtual_client *c = &m->e[i].virtual_client;
        if (m->e[i].sched && c->competing) {
            sum += (__int128)c->weight * (int64_t)(c->at - at);
            *ret_weights += c->weight;
        }
    }
    return sum;
}

static uint32_t naive_rate(const struct sched *s, const struct sched_entity *e)
{
    if (s->policy == SCHED_POLICY_EQUAL)
        return SCHED_PPM;
    return s->policy == SCHED_POLICY_EXCLUSIVE ? 0 : e->knobs.reservation_ppm;
}

/* The rules of docs/scheduling.md, by looking at everyone. */
static void check_pick(struct model *m)
{
    struct sched *s = &m->s;
    uint64_t next_ns = 0, weights;
    struct sched_entity *picked = sched_pick(s, m->now_ns, &next_ns);
    const struct sched_entity *entitled = NULL, *fair = NULL;
    uint64_t clock_ns = s->policy == SCHED_POLICY_EQUAL ? s->equal.at_ns : m->now_ns;
    uint64_t virtual_ns = virtual_now(&s->virtual_system);
    unsigned running = 0, waiting = 0;

    /* Virtual time is the average: nobody's share is lost or made up. */
    __int128 sum = exact_average_sum(m, virtual_ns, &weights);
    assert_true(weights == s->virtual_system.weights);
    assert_true(weights == 0 || (sum >= 0 && sum < weights));

    for (unsigned i = 0; i < VGPUS; i++) {
        const struct sched_entity *e = &m->e[i];
        if (!e->sched)
            continue;
        running += e->state == SCHED_RUNNING;
        if (e->state == SCHED_CAPPED)
            assert_true(e->cap.at_ns > m->now_ns);
        /* Who is not there has no claim beyond a slice, and no debt unless it competes. */
        if (s->policy == SCHED_POLICY_FAIR && !e->virtual_client.competing) {
            assert_true(e->state == SCHED_ASLEEP || e->state == SCHED_CAPPED);
            assert_in_range(e->virtual_client.lag_ns, 0, SCHED_SLICE_MAX_NS);
        }
        if (e->state != SCHED_WAITING)
            continue;
        waiting++;
        uint32_t rate = naive_rate(s, e);
        uint64_t span_ns = rate ? e->knobs.slice_ns * SCHED_PPM / rate : 0;
        if (rate && e->entitled.at_ns <= clock_ns &&
            (!entitled || e->entitled.at_ns + span_ns < entitled->entitlement_node.deadline))
            entitled = e;
        if (s->policy == SCHED_POLICY_FAIR && !before(virtual_ns, e->virtual_client.at) &&
            (!fair || before(e->virtual_node.deadline, fair->virtual_node.deadline)))
            fair = e;
    }
    assert_int_equal(running, s->n_running);
    if (running >= s->parallelism) {
        assert_null(picked);
    } else if (entitled) {
        assert_non_null(picked);
        assert_int_equal(picked->entitlement_node.deadline, entitled->entitlement_node.deadline);
    } else if (fair) {
        assert_non_null(picked);
        assert_int_equal(picked->virtual_node.deadline, fair->virtual_node.deadline);
    } else if (s->policy == SCHED_POLICY_FAIR) {
        assert_int_equal(picked != NULL, waiting > 0); /* work-conserving */
        assert_true(waiting == 0 || running > 0);      /* else someone is eligible */
    }
    if (!picked && running < s->parallelism)
        assert_true(next_ns > m->now_ns);
}

static void step(struct model *m)
{
    unsigned i = (unsigned)below(m, VGPUS);
    struct sched_entity *e = &m->e[i];
    struct sched_knobs k;
    uint64_t next_ns, used_ns;

    if (!e->sched) {
        k = random_knobs(m);
        if (sched_add(&m->s, e, &k, m->now_ns) == 0)
            m->gpu_ns[i] = 0;
        return;
    }
    switch (below(m, 12)) {
    case 0:
        sched_sleep(e, m->now_ns);
        break;
    case 1:
    case 2:
        sched_wake(e, m->now_ns);
        break;
    case 3: /* late, or not at all expected */
        used_ns = below(m, 50) == 0 ? below(m, 3000 * MS) : below(m, MS);
        sched_charge(e, used_ns, m->now_ns);
        m->gpu_ns[i] += used_ns;
        break;
    case 4:
        k = random_knobs(m);
        (void)sched_set_knobs(e, &k, m->now_ns);
        break;
    case 5:
        if (below(m, 20) == 0)
            sched_remove(e, m->now_ns);
        break;
    case 6:
        if (below(m, 200) == 0)
            (void)sched_set_policy(&m->s, (enum sched_policy)below(m, SCHED_N_POLICIES), m->now_ns);
        break;
    default:
        e = sched_pick(&m->s, m->now_ns, &next_ns);
        if (e) {
            sched_start(e, m->now_ns);
            break;
        }
        for (e = m->s.first; e && !sched_is_running(e); e = e->next)
            ;
        if (!e)
            break;
        used_ns = below(m, 6 * MS);
        m->now_ns += used_ns;
        sched_charge(e, used_ns, m->now_ns);
        m->gpu_ns[e - m->e] += used_ns;
        sched_put(e, m->now_ns);
    }
}

static void run_model(uint64_t seed, enum sched_policy policy, unsigned parallelism)
{
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->random = seed;
    m->now_ns = 5 * MS;
    sched_init(&m->s, policy, parallelism, m->now_ns);
    for (unsigned i = 0; i < STEPS; i++) {
        step(m);
        check_pick(m);
        m->now_ns += below(m, MS / 10);
    }
    for (unsigned i = 0; i < VGPUS; i++) {
        struct sched_stats stats;
        if (!m->e[i].sched)
            continue;
        sched_read_stats(&m->e[i], m->now_ns, &stats);
        assert_int_equal(stats.gpu_ns, m->gpu_ns[i]);
        sched_remove(&m->e[i], m->now_ns);
    }
    assert_null(m->s.first);
    assert_int_equal(m->s.n_entities, 0);
    assert_int_equal(m->s.n_running, 0);
    assert_int_equal(sched_reserved_ppm(&m->s), 0);
    assert_int_equal(m->s.weights, 0);
    assert_int_equal(m->s.virtual_system.weights, 0);
    assert_null(m->s.by_virtual.root);
    assert_null(m->s.by_entitlement.root);
    assert_null(m->s.capped.root);
    assert_null(m->s.debtors.root);
    free(m);
}

static void test_fair(void **state)
{
    run_model(1, SCHED_POLICY_FAIR, 1);
}

static void test_fair_places(void **state)
{
    run_model(2, SCHED_POLICY_FAIR, 4);
}

static void test_equal(void **state)
{
    run_model(3, SCHED_POLICY_EQUAL, 1);
}

static void test_fixed(void **state)
{
    run_model(4, SCHED_POLICY_FIXED, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fair),
        cmocka_unit_test(test_fair_places),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
