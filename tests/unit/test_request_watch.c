/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/request_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* More is there at the so-and-so-manieth look. */
struct source {
    unsigned looks, more_at;
};

static bool more(void *opaque)
{
    struct source *s = opaque;

    return ++s->looks == s->more_at;
}

/* The first look is made in any case; the others as far as the processor is ours in time. */
static void test_sees_what_comes(void **state)
{
    struct request_watch w = {0};
    struct source at_once = {.more_at = 1};
    bool seen = false;

    assert_true(request_watch(&w, more, &at_once));
    for (int tries = 0; tries < 1000 && !seen; tries++) {
        struct source s = {.more_at = 3};
        w = (struct request_watch){0};
        seen = request_watch(&w, more, &s);
        assert_true(!seen || s.looks == 3);
    }
    assert_true(seen);
}

static void test_gives_up(void **state)
{
    struct request_watch w = {0};
    struct source never = {0};
    unsigned tries = 0;

    for (int i = 0; i < 1000; i++) {
        unsigned before = never.looks;
        assert_false(request_watch(&w, more, &never));
        tries += never.looks != before;
    }
    assert_in_range(tries, 5, 30); /* the first ones, and one now and then */
}

static void test_comes_back(void **state)
{
    struct request_watch w = {0};
    struct source never = {0};

    for (int i = 0; i < 20; i++)
        assert_false(request_watch(&w, more, &never));
    for (int i = 0; i < 100; i++) {
        struct source s = {.more_at = 1};
        if (request_watch(&w, more, &s))
            break;
    }
    struct source at_once = {.more_at = 1};
    assert_true(request_watch(&w, more, &at_once));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sees_what_comes),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
