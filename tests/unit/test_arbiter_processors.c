/* SPDX-License-Identifier: MIT */
/* The arbiter where processors are the GPU, and what it does with caps there. The renderers are
 * children that use a processor without end. */
#include "tests/unit/arbiter_parts.h"

#include "mediator/base/util.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/pidfd.h>
#include <time.h>

#include <cmocka.h>

#define CAP_PERCENT 20

static void set_cap(const struct part *p, unsigned percent)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    knobs.cap_ppm = percent * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(p->vgpu, &knobs), 0);
}

static void start_burning(struct part *p)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            ;
    _cleanup_close_ int pidfd = pidfd_open(pid, 0);
    assert_true(pidfd >= 0);
    assert_int_equal(arbiter_set_process(p->vgpu, pidfd, pid), 0);
    p->pid = pid;
}

static void stop_burning(struct part *p)
{
    part_detach(p);
    kill(p->pid, SIGKILL);
    part_assert_killed(p);
    p->pid = 0;
}

static uint64_t burnt_ns(const struct part *p)
{
    struct timespec ts;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(p->pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void wait_for_stops(const struct part *p, uint64_t stops)
{
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);

    while (part_stats(p).stops < stops) {
        assert_true(part_now_ns() < deadline);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static uint64_t both_burnt_ns(void)
{
    return burnt_ns(&a) + (b.pid > 0 ? burnt_ns(&b) : 0);
}

/* Waits for the end of a stop: all is paid for then. Returns when. */
static uint64_t wait_for_end(uint64_t stops)
{
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);

    wait_for_stops(&a, stops);
    uint64_t burnt = both_burnt_ns();
    while (both_burnt_ns() < burnt + 5000000) { /* it need not stand still at once */
        assert_true(part_now_ns() < deadline);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return part_now_ns();
}

/* Twice the cap is far from what they would have. */
static void assert_held(void)
{
    uint64_t from_ns = wait_for_end(part_stats(&a).stops + 1), burnt = both_burnt_ns();
    uint64_t to_ns = wait_for_end(part_stats(&a).stops + 2);

    burnt = both_burnt_ns() - burnt;
    assert_true(burnt * 100 <= (to_ns - from_ns) * 2 * CAP_PERCENT);
    assert_int_equal(part_stats(&a).busy_ns, 0); /* nothing was reported */
}

static void burn(enum arbiter_preempt preempt, bool ask)
{
    uint32_t duties = 0;

    part_open_software_arbiter(preempt);
    part_join(&a, "a");
    set_cap(&a, CAP_PERCENT);
    start_burning(&a);
    if (ask) { /* for ever: it is granted, and there is nothing in flight */
        lease_wait_begin(&a.lease, LEASE_BY_EVENT, &duties);
        lease_do(&a.lease, a.fds.doorbell, duties);
        part_wait_for_state(&a, LEASE_GRANTED);
    }
    assert_held();
    stop_burning(&a);
}

static void test_burns_beside_its_cap(void **state)
{
    burn(ARBITER_PREEMPT_CPU, false);
}

static void test_burns_and_holds_the_gpu(void **state)
{
    burn(ARBITER_PREEMPT_DRAIN, true);
}

static void burn_on(struct part *p, uint64_t ns)
{
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);

    while (burnt_ns(p) < ns) {
        assert_true(part_now_ns() < deadline);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* What is reported is charged, at its cap or below; it is not counted twice. */
static void test_reports_what_it_burns(void **state)
{
    part_open_software_arbiter(ARBITER_PREEMPT_CPU);
    part_join(&a, "a");
    set_cap(&a, CAP_PERCENT);
    part_enter(&a);
    start_burning(&a);
    burn_on(&a, UINT64_C(1200000000));
    assert_int_equal(part_stats(&a).stops, 0);
    assert_true(part_stats(&a).sched.gpu_ns >= UINT64_C(1100000000));
    stop_burning(&a);
}

/* And one that has no cap can have all that nobody else wants; until it gets one. */
static void test_burns_without_a_cap(void **state)
{
    part_open_software_arbiter(ARBITER_PREEMPT_CPU);
    part_join(&a, "a");
    start_burning(&a);
    burn_on(&a, UINT64_C(1200000000));
    assert_int_equal(part_stats(&a).stops, 0);
    set_cap(&a, CAP_PERCENT);
    wait_for_stops(&a, 1);
    set_cap(&a, 100);
    burn_on(&a, burnt_ns(&a) + UINT64_C(200000000));
    stop_burning(&a);
}

/* Those that share an entitlement have one allowance. */
static void test_burn_together(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    part_open_software_arbiter(ARBITER_PREEMPT_CPU);
    part_join(&a, "a");
    set_cap(&a, CAP_PERCENT);
    b = (struct part){0};
    assert_int_equal(arbiter_add(arbiter, "b", &knobs, a.vgpu, &b.vgpu), 0);
    part_attach(&b);
    start_burning(&a);
    wait_for_stops(&a, 1);
    start_burning(&b);
    wait_for_stops(&b, 1);
    assert_held();
    stop_burning(&b);
    stop_burning(&a);
}

/* ---- who waits for its frames --------------------------------------------------------------- */

static void spin_until(uint64_t ns)
{
    while (part_now_ns() < ns)
        ;
}

/* One piece of b's after the other. */
static void draw_until(uint64_t ns)
{
    while (part_now_ns() < ns) {
        spin_until(part_now_ns() + 500000);
        part_end(&b, false);
        assert_true(part_try_to_enter(&b));
    }
}

/* A frame of a's, which is on the GPU before and afterwards. Returns whether it came back soon and
 * the GPU had been kept for it; else it comes back when b's pieces let it, and waits for a frame of
 * b's. */
static bool draw_frame(bool soon)
{
    assert_false(part_ask(&b));
    part_end(&a, true);
    uint64_t idle_ns = part_now_ns();
    if (soon)
        spin_until(idle_ns + 1500000);
    if (soon && part_try_to_enter(&a))
        return true;
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    draw_until(idle_ns + 5500000);
    assert_false(part_ask(&a));
    spin_until(part_now_ns() + 33000000);
    part_end(&b, true);
    part_wait_for_state(&a, LEASE_GRANTED);
    assert_true(part_try_to_enter(&a));
    return false;
}

/* That b's pieces make a's pauses long is not held against it: the GPU is kept for it again. */
static void test_pieces_make_pauses_long(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    part_open_software_arbiter(ARBITER_PREEMPT_DRAIN);
    part_join(&a, "a");
    part_join(&b, "b");
    knobs.slice_ns = SCHED_SLICE_MAX_NS; /* else they may be over before we are */
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    assert_int_equal(arbiter_set_knobs(b.vgpu, &knobs), 0);
    part_enter(&a);
    for (unsigned i = 0; i < 5; i++)
        draw_frame(false);
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (!draw_frame(true))
        assert_true(part_now_ns() < deadline);
    part_end(&a, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, part_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_burns_beside_its_cap),  TEST(test_burns_and_holds_the_gpu),
        TEST(test_reports_what_it_burns), TEST(test_burns_without_a_cap),
        TEST(test_burn_together),         TEST(test_pieces_make_pauses_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
