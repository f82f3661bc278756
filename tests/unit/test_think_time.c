/* SPDX-License-Identifier: MIT */
/* On a clock of the test's own. */
#include "mediator/daemon/think_time.h"

#include "mediator/base/util.h"

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

/* What becomes of pauses while others, who always draw, keep a renderer from running. */
struct run {
    uint64_t work_ns;      /* from one pause to the next */
    uint64_t needs_ns[2];  /* in turn, if it had the processor */
    uint64_t stretched_ns; /* else */
    unsigned pauses;
    unsigned kept;    /* pauses in which it was waited for, */
    uint64_t vain_ns; /* … and time in which it was in vain */
};

static void run(struct think_time *t, struct run *r, uint64_t *now_ns)
{
    r->kept = 0;
    r->vain_ns = 0;
    for (unsigned i = 0; i < r->pauses; i++) {
        uint64_t needs_ns = r->needs_ns[i % 2], waits_ns = kept_ns(t, *now_ns);
        if (waits_ns >= needs_ns) {
            r->kept++;
            *now_ns += needs_ns;
            think_time_end(t, *now_ns);
        } else {
            r->vain_ns += waits_ns;
            think_time_let_go(t, *now_ns + waits_ns);
            *now_ns += MAX(needs_ns, r->stretched_ns);
            think_time_end_stretched(t, *now_ns);
        }
        *now_ns += r->work_ns;
        think_time_let_go(t, *now_ns); /* in between its slice was over */
    }
}

/* One that needs little is waited for, though all that is seen of it at first are pauses that
 * others' work has made long. */
static void test_others_make_it_long(void **state)
{
    struct run little = {160 * MS, {1300 * US, 1300 * US}, 5500 * US, .pauses = 100};
    struct run more = {160 * MS, {3900 * US, 800 * US}, 5500 * US, .pauses = 100};
    struct think_time t;
    uint64_t now_ns = START_NS;

    think_time_init(&t);
    run(&t, &little, &now_ns);
    assert_true(little.kept >= 90);
    pause_for(&t, 20, 7 * MS, &now_ns); /* whatever it has been before */
    run(&t, &little, &now_ns);
    assert_true(little.kept >= 90);

    think_time_init(&t);
    run(&t, &more, &now_ns);
    assert_true(more.kept >= 80);
}

/* One that does need as long is not waited for but now and then. */
static void test_it_is_long_by_itself(void **state)
{
    struct run hog = {160 * MS, {5500 * US, 5500 * US}, 0, .pauses = 1000};
    struct run long_pieces = {40 * MS, {7 * MS, 4100 * US}, 0, .pauses = 1000};
    struct think_time t;
    uint64_t now_ns = START_NS;

    think_time_init(&t);
    run(&t, &hog, &now_ns);
    assert_int_equal(hog.kept, 0);
    assert_true(hog.vain_ns <= (now_ns - START_NS) / 100 + 5 * MS);
    uint64_t from_ns = now_ns;
    run(&t, &long_pieces, &now_ns);
    assert_int_equal(long_pieces.kept, 0);
    assert_true(long_pieces.vain_ns <= (now_ns - from_ns) / 100 + 5 * MS);
}

/* And the GPU is not kept at all, once they are known, for those that work for less than that. */
static void test_small_frames_are_not_tried(void **state)
{
    static const uint64_t needs_ns[] = {15 * MS, 7 * MS, 3 * MS};
    struct think_time t;
    uint64_t now_ns = START_NS;

    for (size_t i = 0; i < ARRAY_SIZE(needs_ns); i++) {
        struct run small = {1300 * US, {needs_ns[i], needs_ns[i]}, 5500 * US, .pauses = 20};
        think_time_init(&t);
        run(&t, &small, &now_ns);
        assert_true(small.vain_ns <= 5 * MS);
        run(&t, &small, &now_ns);
        assert_int_equal(small.kept, 0);
        assert_int_equal(small.vain_ns, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_what_it_needs),
        cmocka_unit_test(test_not_for_who_needs_long),
        cmocka_unit_test(test_began_before_it_was_idle),
        cmocka_unit_test(test_others_make_it_long),
        cmocka_unit_test(test_it_is_long_by_itself),
        cmocka_unit_test(test_small_frames_are_not_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
