/* SPDX-License-Identifier: MIT */
/* How Venus's naps are taken, against Venus's own count of looks (vn_relax() in Mesa's sources). */
#include "guest-driver/shim/nap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000ll
/* The renderer shows itself so often. */
#define ALIVE_NS (3000 * MS)

/* One wait of Venus. */
struct wait {
    unsigned order; /* it yields 2^order - 1 times, and naps then */
    unsigned iter;
    int64_t now_ns;
    struct nap_thread thread;
};

static unsigned last_bit(unsigned value)
{
    return 32 - (unsigned)__builtin_clz(value);
}

/* A look in vain. news_ns: so long after its begin a nap hears news; returns how it was taken. */
static enum nap_way relax(struct wait *w, int64_t news_ns)
{
    if (++w->iter < 1u << w->order) {
        w->thread.yields++;
        return NAP_AS_ASKED;
    }
    int64_t asked_ns = 160000ll << (last_bit(w->iter) - w->order - 1), slept_ns = asked_ns;
    enum nap_way way = nap_choose(&w->thread, asked_ns, w->now_ns);
    if (way == NAP_SHORT)
        slept_ns = NAP_SHORT_NS;
    if (way == NAP_UNTIL_NEWS) {
        slept_ns = news_ns < asked_ns ? news_ns : asked_ns;
        nap_ended(&w->thread, asked_ns, slept_ns);
    }
    w->now_ns += slept_ns;
    return way;
}

static void begin(struct wait *w)
{
    w->iter = 0;
    while (w->iter + 1 < 1u << w->order)
        relax(w, 0);
}

/* What is over at once is seen at once; what is not, is heard of. */
static void test_first_naps(void **state)
{
    struct wait w = {.order = 4};

    for (int i = 0; i < 100000; i++) {
        begin(&w);
        assert_int_equal(relax(&w, 0), NAP_SHORT);
        assert_int_equal(relax(&w, 0), NAP_UNTIL_NEWS);
    }
}

/* Frames of many lengths, one after the other, each with one end that is heard of. */
static void test_frames(void **state)
{
    for (int64_t frame_ns = MS / 2; frame_ns < 300 * MS; frame_ns += frame_ns / 4) {
        struct wait w = {.order = 4, .now_ns = 5 * MS};
        for (int i = 0; i < 200; i++) {
            int64_t end_ns = w.now_ns + frame_ns;
            begin(&w);
            while (w.now_ns < end_ns)
                relax(&w, end_ns - w.now_ns);
            assert_int_equal(w.now_ns, end_ns);
        }
    }
}

/* However much news there is of others, the looks that Venus counts take their time. */
static void test_looks_take_their_time(void **state)
{
    static const unsigned orders[] = {4, 8};
    static const int64_t news[] = {0, 1000, 100000, MS, 3 * MS};

    for (unsigned o = 0; o < 2; o++)
        for (unsigned n = 0; n < 5; n++) {
            struct wait w = {.order = orders[o], .now_ns = 1000 * MS};
            int64_t checked_ns = w.now_ns;
            begin(&w);
            for (unsigned checks = 0; checks < 5;) {
                relax(&w, news[n]);
                if (w.iter % (64u << w.order) == 0) {
                    assert_true(w.now_ns - checked_ns > ALIVE_NS);
                    checked_ns = w.now_ns;
                    checks++;
                }
            }
        }
}

/* Waits within a wait, as for an answer between two looks, do not wear the budget of either out. */
static void test_nested(void **state)
{
    struct wait outer = {.order = 4, .now_ns = 1000 * MS};
    int64_t begun_ns = outer.now_ns;

    begin(&outer);
    while (outer.iter < 1024) {
        struct wait inner = {.order = 8, .now_ns = outer.now_ns, .thread = outer.thread};
        begin(&inner);
        relax(&inner, 0);
        relax(&inner, 0);
        outer.now_ns = inner.now_ns;
        outer.thread = inner.thread;
        relax(&outer, 0);
    }
    assert_true(outer.now_ns - begun_ns > ALIVE_NS);
}

/* Where each look is a question to the ring, with yields of its own, only the first nap is short.
 */
static void test_looks_that_ask(void **state)
{
    struct wait outer = {.order = 4};

    begin(&outer);
    assert_int_equal(relax(&outer, 0), NAP_SHORT);
    for (uint32_t yields = 1; yields < 15; yields++) {
        outer.thread.yields = yields;
        assert_int_equal(relax(&outer, 0), NAP_UNTIL_NEWS);
    }
    /* And one whose answer takes so long that it naps for it. */
    struct wait inner = {.order = 8};
    begin(&inner);
    assert_int_equal(relax(&inner, 0), NAP_UNTIL_NEWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_naps),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_looks_take_their_time),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_looks_that_ask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
