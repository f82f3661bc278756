/* SPDX-License-Identifier: MIT */
/* The scheduler call by call: admission, turns, exact accounts, time to ask again. */
#include "mediator/sched/sched.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define NOW (1000 * MS)

static struct sched_knobs knobs(uint32_t weight, uint32_t reservation_percent, uint32_t cap_percent)
{
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;
    k.weight = weight;
    k.reservation_ppm = reservation_percent * SCHED_PERCENT;
    k.cap_ppm = cap_percent * SCHED_PERCENT;
    return k;
}

static void add(struct sched *s, struct sched_entity *e, struct sched_knobs k)
{
    assert_int_equal(sched_add(s, e, &k, NOW), 0);
    sched_wake(e, NOW);
}

static int64_t lag_ns(struct sched_entity *e, uint64_t now_ns)
{
    struct sched_stats stats;
    sched_read_stats(e, now_ns, &stats);
    assert_int_equal(stats.debt_ns, stats.lag_ns < 0 ? -stats.lag_ns : 0);
    return stats.lag_ns;
}

static struct sched_entity *pick(struct sched *s, uint64_t now_ns)
{
    uint64_t next_ns;
    return sched_pick(s, now_ns, &next_ns);
}

/* A turn that takes used_ns. */
static void turn(struct sched_entity *e, uint64_t used_ns, uint64_t *now_ns)
{
    sched_start(e, *now_ns);
    *now_ns += used_ns;
    sched_charge(e, used_ns, *now_ns);
    sched_put(e, *now_ns);
}

/* Who is alone need not be looked at at each slice's end: it comes to the same. */
static void test_alone(void **state)
{
    for (uint32_t reservation = 0; reservation <= 50; reservation += 50) {
        struct sched looked_at, left;
        struct sched_entity a[2], b[2];
        uint64_t now_ns = NOW;

        for (int i = 0; i < 2; i++) {
            struct sched *s = i == 0 ? &looked_at : &left;
            sched_init(s, SCHED_POLICY_FAIR, 1, NOW);
            add(s, &a[i], knobs(100, reservation, 100));
            assert_int_equal(sched_add(s, &b[i], &SCHED_KNOBS_DEFAULT, NOW), 0);
        }
        assert_ptr_equal(pick(&left, NOW), &a[1]);
        sched_start(&a[1], NOW);
        assert_true(sched_is_alone(&a[1]));
        for (int i = 0; i < 25; i++) {
            assert_ptr_equal(pick(&looked_at, now_ns), &a[0]);
            turn(&a[0], 4 * MS, &now_ns);
        }
        sched_charge_alone(&a[1], 100 * MS, now_ns);
        sched_put(&a[1], now_ns);

        struct sched_stats was, is;
        sched_read_stats(&a[0], now_ns, &was);
        sched_read_stats(&a[1], now_ns, &is);
        assert_int_equal(is.gpu_ns, 100 * MS);
        assert_int_equal(is.slices, was.slices);
        assert_int_equal(is.overrun_ns, 0);
        assert_int_equal(is.lag_ns, was.lag_ns);
        assert_int_equal(a[1].slice.used_ns, 4 * MS);
        /* Whoever comes then finds the same. */
        sched_wake(&b[0], now_ns);
        sched_wake(&b[1], now_ns);
        uint64_t then_ns = now_ns;
        for (int i = 0; i < 10; i++) {
            struct sched_entity *e = pick(&looked_at, now_ns), *f = pick(&left, then_ns);
            assert_int_equal(e == &a[0], f == &a[1]);
            turn(e, 4 * MS, &now_ns);
            turn(f, 4 * MS, &then_ns);
        }
    }
}

/* A cap is one for who is alone, too, and it is not alone if somebody waits. */
static void test_not_alone(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    struct sched_stats stats;

    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &a, knobs(100, 0, 50));
    sched_start(&a, NOW);
    assert_false(sched_is_alone(&a));
    sched_charge_alone(&a, 10 * MS, NOW + 10 * MS);
    sched_read_stats(&a, NOW + 10 * MS, &stats);
    assert_int_equal(stats.slices, 1);
    assert_int_equal(stats.overrun_ns, 6 * MS);
    sched_put(&a, NOW + 10 * MS);

    add(&s, &b, SCHED_KNOBS_DEFAULT);
    sched_start(&b, NOW + 10 * MS);
    assert_false(sched_is_alone(&b)); /* a comes back when its cap lets it */
    sched_sleep(&a, NOW + 10 * MS);
    assert_true(sched_is_alone(&b));
    sched_put(&b, NOW + 10 * MS);
    struct sched_entity c;
    add(&s, &c, SCHED_KNOBS_DEFAULT);
    sched_start(&b, NOW + 10 * MS);
    assert_false(sched_is_alone(&b));
    sched_charge_alone(&b, 10 * MS, NOW + 20 * MS);
    sched_read_stats(&b, NOW + 20 * MS, &stats);
    assert_int_equal(stats.overrun_ns, 6 * MS);
}

/* One that begins while the GPU is still another one's has its whole slice afterwards, and a member
 * of a group does so for the group. */
static void test_delayed_slice(void **state)
{
    struct sched s;
    struct sched_entity e, member;
    struct sched_group group;
    struct sched_stats stats;

    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &e, knobs(100, 0, 100));
    sched_start(&e, NOW);
    uint64_t length_ns = sched_slice_end_ns(&e) - NOW;
    sched_delay(&e, NOW + 3 * MS);
    assert_int_equal(sched_slice_end_ns(&e), NOW + 3 * MS + length_ns);
    sched_charge(&e, length_ns, NOW + 3 * MS + length_ns);
    sched_read_stats(&e, NOW + 3 * MS + length_ns, &stats);
    assert_int_equal(stats.overrun_ns, 0);
    sched_put(&e, NOW + 3 * MS + length_ns);

    uint64_t now_ns = NOW + 10 * MS;
    sched_group_init(&group, &e, now_ns);
    assert_int_equal(sched_group_add(&group, &member, now_ns), 0);
    sched_wake(&member, now_ns);
    sched_start(&member, now_ns);
    sched_delay(&member, now_ns + MS);
    assert_int_equal(sched_slice_end_ns(&member), now_ns + MS + length_ns);
    assert_int_equal(sched_slice_end_ns(&e), now_ns + MS + length_ns);
    sched_put(&member, now_ns + MS);
    sched_remove(&member, now_ns + MS);
    sched_remove(&e, now_ns + MS);
}

/* ---- admission and placement ---------------------------------------------------------------- */

static void test_admission(void **state)
{
    struct sched s;
    struct sched_entity a, b, c;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    struct sched_knobs k = knobs(100, 50, 100), rest = knobs(100, 45, 100);
    assert_int_equal(sched_add(&s, &a, &k, NOW), 0);
    assert_int_equal(sched_add(&s, &b, &k, NOW), -ENOSPC);
    assert_int_equal(sched_reserved_ppm(&s) + k.reservation_ppm, SCHED_PPM);
    assert_int_equal(sched_add(&s, &b, &rest, NOW), 0);
    k.reservation_ppm++;
    assert_int_equal(sched_set_knobs(&a, &k, NOW), -ENOSPC);
    k.reservation_ppm -= 2;
    assert_int_equal(sched_set_knobs(&a, &k, NOW), 0);
    k = knobs(100, 0, 100);
    k.reservation_ppm = 2;
    assert_int_equal(sched_add(&s, &c, &k, NOW), -ENOSPC);
    k.reservation_ppm = 1;
    assert_int_equal(sched_add(&s, &c, &k, NOW), 0);
    sched_remove(&a, NOW);
    sched_remove(&a, NOW); /* twice is fine */
    assert_int_equal(sched_reserved_ppm(&s), 450001);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_EXCLUSIVE, NOW), -EBUSY);
    sched_remove(&b, NOW);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_EXCLUSIVE, NOW), 0);
    assert_int_equal(sched_add(&s, &b, &rest, NOW), -EBUSY);
    sched_remove(&c, NOW);
    assert_int_equal(sched_add(&s, &b, &rest, NOW), 0);
}

static void test_placement(void **state)
{
    struct sched s[3];
    struct sched_entity e[4];
    const struct sched *gpus[] = {&s[0], &s[1], &s[2]};
    struct sched_knobs k = knobs(100, 0, 100), half = knobs(100, 50, 100);
    for (unsigned i = 0; i < 3; i++)
        sched_init(&s[i], SCHED_POLICY_FAIR, 1, NOW);
    assert_int_equal(sched_place(gpus, 3, -1, &half), 0); /* all alike: the first */
    add(&s[0], &e[0], half);
    assert_int_equal(sched_place(gpus, 3, -1, &half), 1);
    add(&s[1], &e[1], k);
    assert_int_equal(sched_place(gpus, 3, -1, &k), 2); /* nothing reserved, but weights */
    add(&s[2], &e[2], half);
    assert_int_equal(sched_place(gpus, 3, -1, &half), 1);
    add(&s[1], &e[3], half);
    assert_int_equal(sched_place(gpus, 3, -1, &half), -ENOSPC);
    assert_int_equal(sched_place(gpus, 3, -1, &k), 0);
    assert_int_equal(sched_place(gpus, 3, 2, &k), 2); /* as the configuration says */
    assert_int_equal(sched_place(gpus, 3, 2, &half), -ENOSPC);
    assert_int_equal(sched_place(gpus, 3, 3, &k), -ENODEV);
    assert_int_equal(sched_place(gpus, 0, -1, &k), -ENODEV);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void test_nobody(void **state)
{
    struct sched s;
    struct sched_entity e;
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;
    uint64_t next_ns = 0;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    assert_null(sched_pick(&s, NOW, &next_ns));
    assert_int_equal(next_ns, SCHED_NEVER);
    assert_int_equal(sched_add(&s, &e, &k, NOW), 0);
    assert_null(sched_pick(&s, NOW, &next_ns)); /* no work */
    assert_false(sched_contended(&s));
    sched_wake(&e, NOW);
    assert_true(sched_contended(&s));
    assert_ptr_equal(pick(&s, NOW), &e);
    assert_ptr_equal(pick(&s, NOW), &e); /* a pick alone changes nothing */
    sched_sleep(&e, NOW);
    assert_null(sched_pick(&s, NOW, &next_ns));
}

/* One whose work is mostly short need not wait for the end of a hog's slice; one that is new, or
 * goes on, does. */
static void test_turn_ends_for_a_short_one(void **state)
{
    struct sched s;
    struct sched_entity hog, light, other;
    uint64_t now_ns = NOW;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &hog, knobs(100, 0, 100));
    add(&s, &other, knobs(100, 0, 100));
    add(&s, &light, knobs(100, 0, 100));
    assert_false(sched_is_short(&light)); /* nothing is known yet */
    turn(&light, 1 * MS, &now_ns);
    sched_sleep(&light, now_ns);
    for (int i = 0; i < 4; i++) /* the others get what light was ahead */
        turn(pick(&s, now_ns), 4 * MS, &now_ns);

    struct sched_entity *in = pick(&s, now_ns);
    sched_start(in, now_ns);
    assert_int_equal(sched_turn_end_ns(in), now_ns + 4 * MS); /* the other hog waits */
    sched_wake(&light, now_ns + 1 * MS);
    assert_true(sched_is_short(&light));
    assert_int_equal(sched_turn_end_ns(in), now_ns + SCHED_SLICE_MIN_NS);
    assert_int_equal(sched_slice_end_ns(in), now_ns + 4 * MS);
    now_ns += 1 * MS;
    sched_charge(in, 1 * MS, now_ns);
    sched_put(in, now_ns);
    assert_ptr_equal(pick(&s, now_ns), &light);
    turn(&light, 4 * MS, &now_ns); /* and has more to do */
    assert_false(sched_is_short(&light));
}

static void test_places(void **state)
{
    struct sched s;
    struct sched_entity e[3];
    sched_init(&s, SCHED_POLICY_FAIR, 2, NOW);
    for (unsigned i = 0; i < 3; i++)
        add(&s, &e[i], knobs(100, 0, 100));
    struct sched_entity *first = pick(&s, NOW);
    sched_start(first, NOW);
    assert_true(sched_is_running(first));
    assert_int_equal(sched_slice_end_ns(first), NOW + 4 * MS);
    struct sched_entity *second = pick(&s, NOW);
    assert_non_null(second);
    assert_ptr_not_equal(second, first);
    sched_start(second, NOW);
    assert_null(pick(&s, NOW)); /* both places are taken */
    sched_charge(first, 4 * MS, NOW + 4 * MS);
    sched_put(first, NOW + 4 * MS);
    struct sched_entity *third = pick(&s, NOW + 4 * MS);
    assert_true(third != first && third != second);
    sched_start(third, NOW + 4 * MS);
    sched_set_parallelism(&s, 3); /* all who wait are ahead; a free place is used all the same */
    assert_ptr_equal(pick(&s, NOW + 4 * MS), first);
    sched_remove(second, NOW + 4 * MS); /* inside its slice */
    sched_set_parallelism(&s, 2);
    assert_ptr_equal(pick(&s, NOW + 4 * MS), first);
}

static void test_sleep_in_slice(void **state)
{
    struct sched s;
    struct sched_entity e;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &e, knobs(100, 0, 100));
    sched_start(&e, NOW);
    sched_sleep(&e, NOW);
    assert_true(sched_is_running(&e));
    sched_put(&e, NOW);
    assert_null(pick(&s, NOW));
    sched_wake(&e, NOW);
    sched_start(&e, NOW);
    sched_sleep(&e, NOW);
    sched_wake(&e, NOW);
    sched_put(&e, NOW);
    assert_ptr_equal(pick(&s, NOW), &e);
}

/* What is charged late, after e left the GPU, others get before e does: to the nanosecond. */
static void late_charge(uint64_t late_ns, uint32_t weight_a, uint32_t weight_b)
{
    struct sched s;
    struct sched_entity a, b;
    uint64_t now = NOW, b_ns = 0;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &a, knobs(weight_a, 0, 100));
    add(&s, &b, knobs(weight_b, 0, 100));
    sched_start(&a, now);
    sched_put(&a, now);
    sched_charge(&a, late_ns, now);
    assert_in_range(lag_ns(&b, now) + lag_ns(&a, now) + 1, 0, 2); /* lags add up to nothing */
    while (pick(&s, now) == &b) {
        turn(&b, 1000000, &now);
        b_ns += 1000000;
    }
    /* a comes again as soon as its virtual time is not ahead. */
    uint64_t owed_ns = late_ns * weight_b / weight_a;
    assert_in_range(b_ns, owed_ns, owed_ns + 1000000);
    struct sched_stats stats;
    sched_read_stats(&a, now, &stats);
    assert_int_equal(stats.gpu_ns, late_ns);
    assert_int_equal(stats.overrun_ns, late_ns - 4 * MS);
    assert_int_equal(stats.slices, 1);
    assert_int_equal(stats.waiting_ns, now - NOW);
}

static void test_late_charge(void **state)
{
    late_charge(7 * MS + 1, 100, 100);
    late_charge(500 * MS + 7, 100, 100);
    late_charge(500 * MS + 7, 300, 700);
    late_charge(2000 * MS, 10000, 1);
    late_charge(50 * MS, 1, 10000);
}

/* Many small charges are one large one: nothing is lost in divisions. */
static void test_small_charges(void **state)
{
    struct sched s[2];
    struct sched_entity a[2], b[2];
    for (unsigned i = 0; i < 2; i++) {
        sched_init(&s[i], SCHED_POLICY_FAIR, 1, NOW);
        add(&s[i], &a[i], knobs(7777, 0, 30));
        add(&s[i], &b[i], knobs(1, 0, 100));
        sched_start(&a[i], NOW);
    }
    for (unsigned i = 0; i < 100003; i++)
        sched_charge(&a[0], 1, NOW);
    sched_charge(&a[1], 100003, NOW);
    assert_int_equal(a[0].virtual_client.at, a[1].virtual_client.at);
    assert_int_equal(a[0].virtual_client.remainder, a[1].virtual_client.remainder);
    assert_int_equal(a[0].cap.at_ns, a[1].cap.at_ns);
    assert_int_equal(a[0].cap.remainder, a[1].cap.remainder);
}

/* A debtor that sleeps is still one when it comes back, however long that takes. */
static void test_debt_is_not_forgiven(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    uint64_t now = NOW;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &a, knobs(100, 0, 100));
    add(&s, &b, knobs(100, 0, 100));
    turn(&a, 100 * MS, &now);
    int64_t debt_ns = -lag_ns(&a, now);
    assert_int_equal(debt_ns, 50 * MS);
    sched_sleep(&a, now);
    now += 3600 * 1000 * MS; /* an hour in which the GPU stands still */
    assert_int_equal(pick(&s, now) == &b, 1);
    sched_wake(&a, now);
    assert_int_equal(-lag_ns(&a, now), debt_ns);
    sched_sleep(&a, now);
    turn(&b, 60 * MS, &now); /* what b had is worked off, asleep or not */
    assert_int_equal(-lag_ns(&a, now), 20 * MS);
    turn(&b, 60 * MS, &now);
    assert_ptr_equal(pick(&s, now), &b);
    assert_int_equal(lag_ns(&a, now), 0); /* and no more than that */
}

/* A sleeper's claim is one slice at most. */
static void test_sleeper_gains_a_slice(void **state)
{
    struct sched s;
    struct sched_entity a, b, c;
    uint64_t now = NOW;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &a, knobs(100, 0, 100));
    add(&s, &b, knobs(100, 0, 100));
    add(&s, &c, knobs(100, 0, 100));
    turn(&a, 300 * MS, &now);
    assert_int_equal(lag_ns(&b, now), 100 * MS);
    sched_sleep(&b, now);
    assert_int_equal(lag_ns(&b, now), 4 * MS);
    now += 1000 * MS;
    sched_wake(&b, now);
    assert_in_range(lag_ns(&b, now), 4 * MS - 1, 4 * MS + 1);
}

/* ---- entitlements --------------------------------------------------------------------------- */

static void test_cap_says_when(void **state)
{
    struct sched s;
    struct sched_entity e;
    uint64_t now = NOW, next_ns = 0;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &e, knobs(100, 0, 25));
    turn(&e, 4 * MS, &now);
    assert_null(sched_pick(&s, now, &next_ns));
    assert_int_equal(next_ns, NOW + 16 * MS);
    assert_null(sched_pick(&s, next_ns - 1, &next_ns));
    assert_ptr_equal(pick(&s, NOW + 16 * MS), &e);
    struct sched_stats stats;
    sched_read_stats(&e, NOW + 16 * MS, &stats);
    assert_int_equal(stats.capped_ns, 12 * MS);
    assert_int_equal(stats.waiting_ns, 0);
    /* A late charge takes it back. */
    sched_charge(&e, 1 * MS, NOW + 16 * MS);
    assert_null(sched_pick(&s, NOW + 16 * MS, &next_ns));
    assert_int_equal(next_ns, NOW + 20 * MS);
    /* Without a cap it may at once. */
    struct sched_knobs k = knobs(100, 0, 100);
    assert_int_equal(sched_set_knobs(&e, &k, NOW + 17 * MS), 0);
    assert_ptr_equal(pick(&s, NOW + 17 * MS), &e);
}

static void test_fixed_says_when(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    uint64_t now = NOW, next_ns = 0;
    sched_init(&s, SCHED_POLICY_FIXED, 1, NOW);
    add(&s, &a, knobs(100, 10, 100));
    add(&s, &b, knobs(100, 0, 100)); /* has nothing */
    assert_ptr_equal(pick(&s, now), &a);
    turn(&a, 4 * MS, &now);
    assert_null(sched_pick(&s, now, &next_ns));
    assert_int_equal(next_ns, NOW + 40 * MS);
    assert_ptr_equal(pick(&s, next_ns), &a);
    struct sched_knobs k = knobs(100, 20, 100);
    assert_int_equal(sched_set_knobs(&a, &k, now), 0);
    assert_null(sched_pick(&s, now, &next_ns)); /* 3.6 ms in advance, at the new rate */
    assert_int_equal(next_ns, NOW + 4 * MS + 18 * MS);
}

static void test_equal_says_when(void **state)
{
    struct sched s;
    struct sched_entity a, b, c;
    struct sched_knobs k = SCHED_KNOBS_DEFAULT;
    uint64_t now = NOW, next_ns = 0;
    sched_init(&s, SCHED_POLICY_EQUAL, 1, NOW);
    add(&s, &a, k);
    assert_int_equal(sched_add(&s, &b, &k, NOW), 0); /* no work, and yet a third is b's */
    assert_int_equal(sched_add(&s, &c, &k, NOW), 0);
    turn(&a, 4 * MS, &now);
    assert_null(sched_pick(&s, now, &next_ns));
    assert_int_equal(next_ns, NOW + 12 * MS);
    now = NOW + 6 * MS; /* two thirds of the second half are missing; there they are halves */
    sched_remove(&c, now);
    assert_null(sched_pick(&s, now, &next_ns));
    assert_int_equal(next_ns, NOW + 10 * MS);
    assert_ptr_equal(pick(&s, next_ns), &a);
}

static void test_exclusive(void **state)
{
    struct sched s;
    struct sched_entity e;
    uint64_t now = NOW;
    sched_init(&s, SCHED_POLICY_EXCLUSIVE, 1, NOW);
    add(&s, &e, knobs(100, 0, 10));
    assert_ptr_equal(pick(&s, now), &e);
    sched_start(&e, now);
    assert_int_equal(sched_slice_end_ns(&e), SCHED_NEVER);
    sched_charge(&e, 1000 * MS, now);
    sched_put(&e, now);
    assert_ptr_equal(pick(&s, now), &e); /* no slices, no cap, no debt */
    assert_int_equal(lag_ns(&e, now), 0);
}

static void test_policy_keeps_debts(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    uint64_t now = NOW, next_ns;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &a, knobs(100, 50, 100));
    add(&s, &b, knobs(100, 20, 100));
    turn(&a, 104 * MS, &now);
    int64_t debt_ns = -lag_ns(&a, now);
    assert_true(debt_ns >= (int64_t)(50 * MS));
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_FIXED, now), 0);
    assert_int_equal(-lag_ns(&a, now), debt_ns);
    assert_ptr_equal(pick(&s, now), &b);
    sched_sleep(&b, now);
    assert_null(sched_pick(&s, now, &next_ns));
    assert_int_equal(next_ns, now + 2 * (uint64_t)debt_ns);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_EQUAL, now), 0);
    assert_int_equal(-lag_ns(&a, now), debt_ns);
    sched_wake(&b, now);
    assert_int_equal(sched_set_policy(&s, SCHED_POLICY_FAIR, now), 0);
    /* The lag is against the average now; the distance is what was owed. */
    assert_in_range(lag_ns(&b, now) - lag_ns(&a, now), debt_ns - 2, debt_ns + 2);
}

static void test_knobs_in_slice(void **state)
{
    struct sched s;
    struct sched_entity a, b;
    sched_init(&s, SCHED_POLICY_FAIR, 1, NOW);
    add(&s, &a, knobs(100, 0, 100));
    add(&s, &b, knobs(100, 0, 100));
    sched_start(&a, NOW);
    sched_charge(&a, 4 * MS, NOW);
    int64_t lag = lag_ns(&a, NOW);
    struct sched_knobs k = knobs(400, 0, 100);
    k.slice_ns = 1 * MS;
    assert_int_equal(sched_set_knobs(&a, &k, NOW), 0);
    assert_int_equal(sched_slice_end_ns(&a), NOW + 1 * MS);
    assert_in_range(lag_ns(&a, NOW) - lag + 2, 0, 4); /* debts stay in nanoseconds */
    k.weight = 0;
    assert_int_equal(sched_set_knobs(&a, &k, NOW), -ERANGE);
    assert_int_equal(a.knobs.weight, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_not_alone),
        cmocka_unit_test(test_delayed_slice),
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_turn_ends_for_a_short_one),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_sleep_in_slice),
        cmocka_unit_test(test_late_charge),
        cmocka_unit_test(test_small_charges),
        cmocka_unit_test(test_debt_is_not_forgiven),
        cmocka_unit_test(test_sleeper_gains_a_slice),
        cmocka_unit_test(test_cap_says_when),
        cmocka_unit_test(test_fixed_says_when),
        cmocka_unit_test(test_equal_says_when),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_policy_keeps_debts),
        cmocka_unit_test(test_knobs_in_slice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
