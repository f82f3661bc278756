/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vtest_sniff.h"

#include "mediator/base/util.h"
#include "protocol/vhost_user.h"
#include "protocol/vtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_US UINT64_C(60000000)

struct sniffed {
    sd_event *event;
    int ours, theirs;
    struct vtest_sniff *sniff;
    int result; /* -1 = none yet */
};

static void on_done(void *opaque, enum vtest_sniff_result result)
{
    struct sniffed *s = opaque;

    assert_int_equal(s->result, -1);
    s->result = (int)result;
    vtest_sniff_destroy(TAKE_PTR(s->sniff)); /* as its user does */
}

static void start(struct sniffed *s, uint64_t timeout_us)
{
    assert_int_equal(vtest_sniff_create(s->event, s->ours, timeout_us, on_done, s, &s->sniff), 0);
}

static int set_up(void **state)
{
    static struct sniffed s;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    s = (struct sniffed){.ours = fds[0], .theirs = fds[1], .result = -1};
    assert_int_equal(sd_event_new(&s.event), 0);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct sniffed *s = *state;

    vtest_sniff_destroy(s->sniff);
    sd_event_unref(s->event);
    close(s->ours);
    if (s->theirs >= 0)
        close(s->theirs);
    return 0;
}

/* Turns the loop until it has nothing left to do; returns how often it had. */
static unsigned turn(struct sniffed *s)
{
    unsigned events = 0;

    while (sd_event_run(s->event, 0) > 0)
        assert_true(++events < 20);
    return events;
}

static void say(struct sniffed *s, const void *data, size_t size)
{
    assert_int_equal(write(s->theirs, data, size), size);
}

/* Nothing may be missing from the stream afterwards. */
static void assert_unread(struct sniffed *s, size_t size)
{
    char data[64];

    assert_int_equal(recv(s->ours, data, sizeof(data), MSG_DONTWAIT), size);
}

static const struct vtest_header vtest_hello = {5, VTEST_CREATE_RENDERER};
static const struct vhost_user_header vhost_hello = {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION,
                                                     0};

static void test_both(void **state)
{
    struct sniffed *s = *state;

    start(s, LONG_US);
    say(s, &vtest_hello, sizeof(vtest_hello));
    turn(s);
    assert_int_equal(s->result, VTEST_SNIFF_VTEST);
    assert_unread(s, sizeof(vtest_hello));

    s->result = -1;
    start(s, LONG_US);
    say(s, &vhost_hello, sizeof(vhost_hello));
    turn(s);
    assert_int_equal(s->result, VTEST_SNIFF_OTHER);
    assert_unread(s, sizeof(vhost_hello));
}

static void test_pieces(void **state)
{
    struct sniffed *s = *state;

    start(s, LONG_US);
    for (size_t i = 0; i < sizeof(vtest_hello); i++) {
        assert_int_equal(s->result, -1);
        say(s, (const char *)&vtest_hello + i, 1);
        assert_true(turn(s) >= 1);
        assert_int_equal(turn(s), 0); /* what is there already wakes nobody again */
    }
    assert_int_equal(s->result, VTEST_SNIFF_VTEST);
    assert_unread(s, sizeof(vtest_hello));
}

static void test_early_end(void **state)
{
    struct sniffed *s = *state;

    start(s, LONG_US);
    say(s, &vtest_hello, 7);
    turn(s);
    assert_int_equal(s->result, -1);
    close(s->theirs);
    s->theirs = -1;
    turn(s);
    assert_int_equal(s->result, VTEST_SNIFF_OTHER);
}

static void test_end_with_all_said(void **state)
{
    struct sniffed *s = *state;

    start(s, LONG_US);
    say(s, &vtest_hello, 8);
    close(s->theirs);
    s->theirs = -1;
    turn(s);
    assert_int_equal(s->result, VTEST_SNIFF_VTEST);
}

static void test_stall(void **state)
{
    struct sniffed *s = *state;

    start(s, 1000);
    assert_int_equal(sd_event_run(s->event, 20000), 0); /* silence is no stall */
    say(s, &vtest_hello, 1);
    while (s->result < 0)
        assert_true(sd_event_run(s->event, LONG_US) > 0);
    assert_int_equal(s->result, VTEST_SNIFF_STALLED);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_both),  TEST(test_pieces), TEST(test_early_end), TEST(test_end_with_all_said),
        TEST(test_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
