/* SPDX-License-Identifier: MIT */
/* The eventcount: no signal is slept through, none costs anything while nobody waits, and who
 * writes nonsense to it, or dies, hurts himself. A test that would wait hangs, and fails by that.
 */
#include "protocol/eventcount.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FOREVER_NS 3600000000000ll
#define FOREVER_US 3600000000u

struct pages {
    int fd;
    struct eventcount *host, *guest;
};

static int set_up(void **state)
{
    static struct pages p;

    assert_int_equal(eventcount_create(&p.fd, &p.host), 0);
    assert_int_equal(eventcount_map(p.fd, &p.guest), 0);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct pages *p = *state;

    eventcount_unmap(p->host);
    eventcount_unmap(p->guest);
    eventcount_unmap(NULL);
    close(p->fd);
    return 0;
}

static void test_counts(void **state)
{
    struct pages *p = *state;
    uint32_t seen = eventcount_read(p->guest);

    eventcount_signal(p->host);
    assert_int_equal(eventcount_read(p->guest), seen + 1);
    assert_false(eventcount_is_wanted(p->host));
    /* There was one since. */
    eventcount_wait(p->guest, seen, FOREVER_NS);
    assert_true(eventcount_is_wanted(p->host));
    eventcount_signal(p->host);
    assert_false(eventcount_is_wanted(p->host));
    assert_int_equal(eventcount_lost(p->guest), 0);
    seen = eventcount_read(p->guest);
    eventcount_lose(p->host);
    assert_int_equal(eventcount_lost(p->guest), 1);
    eventcount_wait(p->guest, seen, FOREVER_NS);
}

static void test_wraps(void **state)
{
    struct pages *p = *state;

    p->host->count = UINT32_MAX;
    uint32_t seen = eventcount_read(p->guest);
    eventcount_signal(p->host);
    assert_int_equal(eventcount_read(p->guest), 0);
    eventcount_wait(p->guest, seen, FOREVER_NS);
}

static void test_time_is_over(void **state)
{
    struct pages *p = *state;

    eventcount_wait(p->guest, eventcount_read(p->guest), 1000000);
    eventcount_wait(p->guest, eventcount_read(p->guest), 0);
    eventcount_wait(p->guest, eventcount_read(p->guest), -1);
}

static void *wait_once(void *opaque)
{
    struct pages *p = opaque;

    eventcount_wait(p->guest, eventcount_read(p->guest), FOREVER_NS);
    return NULL;
}

/* Each signal, all who wait. */
static void test_wakes_all(void **state)
{
    struct pages *p = *state;
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, wait_once, p);
    /* They may not all have begun at the first. */
    for (int i = 0; i < 4; i++) {
        while (pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
            eventcount_signal(p->host);
            sched_yield();
        }
    }
}

static void *rest_once(void *opaque)
{
    struct pages *p = opaque;

    eventcount_rest(p->host, FOREVER_US);
    return NULL;
}

/* Who is going to signal hears that somebody has begun to wait. */
static void test_rest_ends(void **state)
{
    struct pages *p = *state;
    pthread_t host, guest;

    pthread_create(&host, NULL, rest_once, p);
    pthread_create(&guest, NULL, wait_once, p);
    pthread_join(host, NULL);
    assert_true(eventcount_is_wanted(p->host));
    rest_once(p);
    eventcount_signal(p->host);
    pthread_join(guest, NULL);
    eventcount_rest(p->host, 1);
}

static void test_killed_while_waiting(void **state)
{
    struct pages *p = *state;
    pid_t child = fork();

    if (child == 0) {
        wait_once(p);
        _exit(1);
    }
    rest_once(p); /* until it waits */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    eventcount_signal(p->host);
    assert_false(eventcount_is_wanted(p->host));
}

static void test_bad_files(void **state)
{
    struct pages *p = *state;
    struct eventcount *e = NULL;
    int fd = memfd_create("short", MFD_CLOEXEC), pair[2];

    assert_int_equal(ftruncate(fd, EVENTCOUNT_BYTES - 1), 0);
    assert_int_equal(eventcount_map(fd, &e), -EINVAL);
    assert_int_equal(eventcount_map(-1, &e), -EBADF);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(eventcount_map(pair[0], &e), -EINVAL);
    assert_null(e);
    close(fd);
    close(pair[0]);
    close(pair[1]);
    /* Nobody makes the others fault. */
    assert_int_equal(ftruncate(p->fd, 0), -1);
    assert_int_equal(ftruncate(p->fd, 2 * EVENTCOUNT_BYTES), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_counts),    TEST(test_wraps),     TEST(test_time_is_over),
        TEST(test_wakes_all), TEST(test_rest_ends), TEST(test_killed_while_waiting),
        TEST(test_bad_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
