/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/idle_watch.h"

#include "mediator/base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define QUIET_US 2000
#define TIMEOUT_US 10000000 /* of what has to come */

struct fixture {
    sd_event *event;
    sd_event_source *io;
    int fd;
    struct idle_watch *watch;
    unsigned handled, calls;
};

static void on_idle(void *opaque)
{
    ((struct fixture *)opaque)->calls++;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    eventfd_t value;

    ((struct fixture *)opaque)->handled++;
    return eventfd_read(fd, &value) < 0 ? -errno : 0;
}

static int set_up(void **state)
{
    static struct fixture f;

    f = (struct fixture){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    assert_true(f.fd >= 0);
    assert_true(sd_event_new(&f.event) >= 0);
    assert_true(sd_event_add_io(f.event, &f.io, f.fd, EPOLLIN, on_io, &f) >= 0);
    assert_int_equal(idle_watch_create(f.event, QUIET_US, on_idle, &f, &f.watch), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    idle_watch_destroy(f->watch);
    sd_event_source_disable_unref(f->io);
    sd_event_unref(f->event);
    close(f->fd);
    return 0;
}

/* One event of the loop's owner, handled. */
static void work(struct fixture *f)
{
    unsigned before = f->handled;

    assert_int_equal(eventfd_write(f->fd, 1), 0);
    while (f->handled == before)
        assert_true(sd_event_run(f->event, TIMEOUT_US) >= 0);
}

static void run_until_called(struct fixture *f, unsigned calls)
{
    while (f->calls < calls)
        assert_true(sd_event_run(f->event, TIMEOUT_US) >= 0);
}

static void test_idle_from_the_start(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sd_event_run(f->event, 5 * QUIET_US), 0); /* nothing is armed */
    assert_int_equal(f->calls, 0);
}

static void test_once_after_work(void **state)
{
    struct fixture *f = *state;

    work(f);
    work(f);
    assert_int_equal(f->calls, 0);
    run_until_called(f, 1);
    /* Its own timer is no work: the loop has nothing to wake up for any more. */
    for (int handled = 1; handled != 0;) {
        handled = sd_event_run(f->event, 5 * QUIET_US);
        assert_true(handled >= 0);
    }
    assert_int_equal(f->calls, 1);
}

static void test_again_after_more_work(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 3; i++) {
        work(f);
        run_until_called(f, i);
        assert_int_equal(f->calls, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_from_the_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_once_after_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_again_after_more_work, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
