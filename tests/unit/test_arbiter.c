/* SPDX-License-Identifier: MIT */
/*
 * The arbiter with its real thread; the test is the renderers.
 */
#include "tests/unit/arbiter_parts.h"

#include "mediator/base/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

/* ---- who has the GPU ------------------------------------------------------------------------ */

static void test_alone(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    assert_int_equal(part_state(&a), LEASE_IDLE);
    part_enter(&a);
    part_end(&a, true);
    struct arbiter_stats s = part_stats(&a);
    assert_int_equal(s.submits, 1);
    assert_int_equal(s.completions, 1);
    assert_true(s.busy_ns > 0);
    assert_int_equal(s.wait.count, 1);
    assert_int_equal(s.faults, 0);
}

static void test_drained_before_the_next(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    assert_false(part_ask(&a)); /* no more work */
    assert_int_equal(part_state(&b), LEASE_IDLE);
    part_end(&a, false);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_wait_for_state(&b, LEASE_YIELDING); /* a asks again */
    part_end(&b, true);
    part_wait_for_state(&a, LEASE_GRANTED);
    assert_true(part_try_to_enter(&a));
    part_end(&a, true);
    assert_true(part_stats(&a).sched.gpu_ns > 0);
    assert_true(part_stats(&a).sched.waiting_ns > 0);
}

static void test_preempted_at_once(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_CPU, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    part_enter(&b); /* although a's work has not ended */
    /* Its work waits for the processor; it gets its next slice without asking. */
    part_wait_for_state(&a, LEASE_GRANTED);
    part_end(&b, true);
    part_end(&a, true);
}

static void test_taken_from_who_does_not_use_it(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    for (unsigned i = 0; i < 20; i++) {
        part_enter(&a);
        part_end(&a, true);
        part_enter(&b); /* no doorbell of a's is needed: it was idle before b came */
        part_end(&b, true);
    }
    assert_int_equal(part_stats(&a).completions, 20);
    assert_int_equal(part_stats(&b).completions, 20);
}

/* The GPU is kept for a millisecond for who has just become idle, though nobody waited then. */
static void test_kept_for_who_has_just_finished(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    knobs.slice_ns = SCHED_SLICE_MAX_NS; /* else it may be over before we are */
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    part_enter(&a);
    uint64_t before_ns = part_now_ns();
    part_end(&a, true);
    part_enter(&b);
    assert_true(part_now_ns() - before_ns >= 1000000);
    part_end(&b, true);
}

static void test_exclusive(void **state)
{
    struct arbiter_vgpu *other;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_EXCLUSIVE, 0);
    part_join(&a, "a");
    assert_int_equal(arbiter_add(arbiter, "b", &SCHED_KNOBS_DEFAULT, NULL, &other), -EBUSY);
    part_enter(&a);
    assert_true(lease_word(&a.lease) & LEASE_UNGATED);
    part_end(&a, true);
    assert_int_equal(part_state(&a), LEASE_GRANTED);
}

/* ---- renderers that end --------------------------------------------------------------------- */

static void test_gone_while_granted(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    assert_false(part_ask(&b));
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
    /* The next renderer of the same vGPU begins with nothing. */
    part_attach(&a);
    part_enter(&a);
    part_end(&a, true);
    assert_int_equal(part_stats(&a).submits, 2);
}

/* Nor with what the first one did to the descriptors that they share. */
static void test_gone_with_a_full_doorbell(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    assert_int_equal(eventfd_write(a.fds.doorbell, UINT64_MAX - 1), 0);
    assert_int_equal(eventfd_write(a.fds.doorbell, 1), -1);
    for (int i = 1; i <= 2; i++) {
        part_detach(&a);
        part_attach(&a);
        part_enter(&a);
        part_end(&a, true);
        assert_int_equal(part_stats(&a).completions, i);
        assert_int_equal(fcntl(a.fds.doorbell, F_SETFL, 0), 0); /* reads of it may block now */
    }
}

static void test_gone_while_yielding(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
}

static void test_gone_while_waiting(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    assert_false(part_ask(&b));
    part_detach(&b);
    part_end(&a, true);
    for (unsigned i = 0; i < 20; i++) { /* nobody else waits for it */
        part_enter(&a);
        part_end(&a, true);
    }
}

static void test_a_page_that_lies(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    part_enter(&a);
    a.ack->slots[LEASE_SLOT_GL].completions = 1000; /* of one submission */
    assert_false(part_ask(&b));
    part_assert_killed(&a);
    part_detach(&a); /* as the daemon does then */
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
    assert_int_equal(part_stats(&a).faults, 1);
}

/* Who reads the log may be stuck; those on the GPU are not. */
static void test_nobody_reads_the_log(void **state)
{
    static char junk[1 << 16], text[1 << 16];
    int pipe_fds[2], log_fd = dup(STDERR_FILENO);
    ssize_t n = 0;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    int size = fcntl(pipe_fds[1], F_SETPIPE_SZ, 4096);
    assert_true(size > 0 && (size_t)size <= sizeof(junk));
    assert_int_equal(write(pipe_fds[1], junk, (size_t)size), size);
    assert_int_equal(dup2(pipe_fds[1], STDERR_FILENO), STDERR_FILENO);
    close(pipe_fds[1]);

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    part_enter(&a);
    a.ack->slots[LEASE_SLOT_GL].completions = 1000;
    assert_false(part_ask(&b));
    part_assert_killed(&a);
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);

    struct pollfd said = {.fd = arbiter_message_fd(arbiter), .events = POLLIN};
    assert_int_equal(poll(&said, 1, TIMEOUT_MS), 1);
    assert_int_equal(read(pipe_fds[0], junk, sizeof(junk)), size);
    arbiter_write_messages(arbiter);
    assert_int_equal(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
    close(log_fd);
    n = read(pipe_fds[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "vGPU 'a': the page of its renderer"));
    close(pipe_fds[0]);
}

/* Nobody to kill yet: it is done when there is. */
static void test_a_page_that_lies_early(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_enter(&a);
    a.ack->slots[LEASE_SLOT_GL].completions = 1000;
    assert_int_equal(part_stats(&a).faults, 1);
    assert_int_equal(part_stats(&a).faults, 1); /* told once */
    a.ack->slots[LEASE_SLOT_GL].completions = 0;
    part_start_child(&a);
    part_assert_killed(&a);
}

/* While it leaves, others wait for it, whatever it says: it has to be done with all in time. */
static void test_pretends_progress_while_it_leaves(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 100000000);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    struct pollfd child = {.fd = pidfd_open(a.pid, 0), .events = POLLIN};
    for (unsigned i = 0; i < TIMEOUT_MS && poll(&child, 1, 1) == 0; i++) {
        __atomic_add_fetch(&a.ack->slots[LEASE_SLOT_GL].submits, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&a.ack->slots[LEASE_SLOT_GL].completions, 1, __ATOMIC_SEQ_CST);
        eventfd_write(a.fds.doorbell, 1);
    }
    assert_int_equal(child.revents, POLLIN);
    close(child.fd);
    part_assert_killed(&a);
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
}

/* One that has drained and does not say so keeps nobody off for long. */
static void test_does_not_ring_when_it_has_left(void **state)
{
    uint32_t duties = 0;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 100000000);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    lease_exit(&a.lease, 0, a.entered_ns, part_now_ns(), true, &duties);
    part_assert_killed(&a);
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
}

static void test_holds_the_gpu_for_ever(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 100000000);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    part_enter(&a);
    assert_false(part_ask(&b));
    part_assert_killed(&a);
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
    assert_int_equal(part_stats(&a).resets, 1);
}

/* ---- processes of the Vulkan layer ----------------------------------------------------------- */

static void test_workers_count(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    struct part first = part_worker(&a, 1), last = part_worker(&a, LEASE_SLOTS_MAX - 1);
    part_enter(&a);
    assert_true(part_try_to_enter(&first));
    assert_true(part_try_to_enter(&last));
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    assert_int_equal(part_stats(&a).in_flight, 3);
    part_end(&a, true);
    part_end(&first, true);
    assert_int_equal(part_state(&a), LEASE_YIELDING); /* one is left */
    assert_int_equal(part_state(&b), LEASE_IDLE);
    part_end(&last, true);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    struct arbiter_stats s = part_stats(&a);
    assert_int_equal(s.submits, 3);
    assert_int_equal(s.completions, 3);
    assert_int_equal(s.in_flight, 0);
    assert_true(s.vulkan_ns > 0 && s.vulkan_ns < UINT64_C(60000000000));
    assert_int_equal(part_stats(&b).vulkan_ns, 0);
    part_end(&b, true);
}

/* What a worker had in flight when it ended keeps nobody from the GPU. */
static void test_worker_gone(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    struct part w = part_worker(&a, 7);
    part_enter(&a);
    assert_true(part_try_to_enter(&w));
    part_end(&a, true);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    arbiter_slot_gone(a.vgpu, LEASE_SLOT_GL); /* not theirs to say */
    arbiter_slot_gone(a.vgpu, LEASE_SLOTS_MAX);
    assert_int_equal(part_state(&a), LEASE_YIELDING);
    arbiter_slot_gone(a.vgpu, 7);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
    w = part_worker(&a, 7); /* its slot is free for another one */
    part_enter(&a);
    part_end(&a, true);
    assert_int_equal(part_stats(&a).faults, 0);
}

static void test_worker_that_lies(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_start_child(&a);
    struct part w = part_worker(&a, 3);
    part_enter(&a);
    assert_true(part_try_to_enter(&w));
    a.ack->slots[3].busy_ns = UINT64_MAX;
    assert_false(part_ask(&b));
    part_assert_killed(&a);
    part_detach(&a);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_int_equal(part_stats(&a).faults, 1);
}

static pid_t start_in_group(pid_t group)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    assert_int_equal(setpgid(pid, group), 0);
    return pid;
}

static void wait_for_class(pid_t pid, int class)
{
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (sched_getscheduler(pid) != class) {
        assert_true(part_now_ns() < deadline);
        sched_yield();
    }
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Where slices end by taking the processors away, workers lose them too; but nobody else's. */
static void test_workers_are_preempted(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;
    struct part w = {0};

    part_open_arbiter(ARBITER_PREEMPT_CPU, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    knobs.slice_ns = SCHED_SLICE_MAX_NS; /* it does not use it, and a is next */
    assert_int_equal(arbiter_set_knobs(b.vgpu, &knobs), 0);
    part_start_child(&a);
    assert_int_equal(setpgid(a.pid, a.pid), 0);
    pid_t ours = start_in_group(a.pid), late = start_in_group(a.pid), other = start_in_group(0);
    arbiter_slot_taken(a.vgpu, 1, ours);
    unsigned fds = open_fds();
    for (int i = 0; i < 10; i++) /* a renderer that lies costs us nothing */
        arbiter_slot_taken(a.vgpu, 1, ours);
    assert_int_equal(open_fds(), fds);
    arbiter_slot_taken(a.vgpu, 2, other);
    arbiter_slot_taken(a.vgpu, 99, other);
    part_enter(&a);
    assert_false(part_ask(&b));
    wait_for_class(ours, SCHED_IDLE);
    wait_for_class(a.pid, SCHED_IDLE);
    arbiter_slot_taken(a.vgpu, 3, late); /* and it comes while it is not its vGPU's turn */
    assert_int_equal(sched_getscheduler(late), SCHED_IDLE);
    assert_int_equal(sched_getscheduler(other), SCHED_OTHER);
    part_end(&a, true);
    wait_for_class(ours, SCHED_OTHER);
    wait_for_class(late, SCHED_OTHER);

    /* Who is said to be gone is gone, and who is no worker is left alone. */
    w.pid = ours;
    arbiter_slot_gone(a.vgpu, 1);
    part_assert_killed(&w);
    arbiter_slot_gone(a.vgpu, 2);
    assert_int_equal(waitpid(other, NULL, WNOHANG), 0);
    const pid_t rest[] = {late, other, a.pid};
    for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
        w.pid = rest[i];
        kill(w.pid, SIGKILL);
        part_assert_killed(&w);
    }
}

/* ---- knobs and what is seen ----------------------------------------------------------------- */

/* What was counted of a piece while it ran is taken off its own report alone: of one that always
 * has something in flight, all is counted. */
static void test_always_in_flight(void **state)
{
    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_enter(&a);
    for (int i = 0; i < 20; i++) {
        uint64_t begun_ns = a.entered_ns;
        do
            part_stats(&a); /* accounts */
        while (part_now_ns() < begun_ns + 500000);
        /* The next one, while this one runs; it is said to begin when this one is reported. */
        uint32_t duties = 0;
        assert_int_equal(lease_enter(&a.lease, 0, &duties), LEASE_OPEN);
        a.entered_ns = part_now_ns();
        lease_release(&a.lease, a.fds.doorbell, 0, begun_ns, a.entered_ns, false);
        lease_note_start(&a.lease, a.entered_ns);
    }
    part_end(&a, true);
    uint64_t reported_ns = a.ack->slots[LEASE_SLOT_GL].busy_ns;
    assert_true(reported_ns >= UINT64_C(20) * 500000);
    uint64_t busy_ns = part_stats(&a).busy_ns;
    assert_true(busy_ns <= reported_ns + reported_ns / 50);
    assert_true(busy_ns >= reported_ns - reported_ns / 50);
}

static void test_admission(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;
    struct arbiter_vgpu *other;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    knobs.reservation_ppm = 60 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 60 * SCHED_PERCENT);
    assert_int_equal(arbiter_add(arbiter, "b", &knobs, NULL, &other), -ENOSPC);
    knobs.reservation_ppm = 35 * SCHED_PERCENT;
    assert_int_equal(arbiter_add(arbiter, "b", &knobs, NULL, &other), 0);
    knobs.weight = 0;
    assert_int_equal(arbiter_set_knobs(other, &knobs), -ERANGE);
    arbiter_remove(other);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 60 * SCHED_PERCENT);
}

/* At its cap, alone on a GPU that preempts, it goes on: that is charged and counted, too. */
static void test_what_goes_on_is_charged(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    part_open_arbiter(ARBITER_PREEMPT_CPU, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    knobs.cap_ppm = 10 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    part_enter(&a);
    part_wait_for_state(&a, LEASE_YIELDING);
    while (part_now_ns() - a.entered_ns < 40000000)
        ;
    part_end(&a, true);
    part_wait_for_state(&a, LEASE_IDLE);
    assert_true(part_stats(&a).busy_ns >= 35000000);
    assert_true(part_stats(&a).sched.gpu_ns >= 35000000);
    assert_int_equal(part_stats(&a).sched.state, SCHED_ASLEEP);
}

/* What shares an entitlement needs no admission, takes turns, and goes one by one. */
static void test_shared_entitlement(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    knobs.reservation_ppm = 60 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    part_enter(&a);
    b = (struct part){0};
    assert_int_equal(arbiter_add(arbiter, "b", &knobs, a.vgpu, &b.vgpu), 0);
    part_attach(&b);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 60 * SCHED_PERCENT);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    part_end(&a, true);
    part_wait_for_state(&b, LEASE_GRANTED);
    assert_true(part_try_to_enter(&b));
    knobs.reservation_ppm = 30 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(b.vgpu, &knobs), 0);
    assert_int_equal(part_stats(&a).knobs.reservation_ppm, 30 * SCHED_PERCENT);
    part_leave(&a);
    part_end(&b, true);
    part_enter(&b);
    part_end(&b, true);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 30 * SCHED_PERCENT);
    part_leave(&b);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 0);
}

static void test_events(void **state)
{
    static const enum arbiter_event_kind expected[] = {ARBITER_EVENT_WAIT,    ARBITER_EVENT_GRANT,
                                                       ARBITER_EVENT_WAIT,    ARBITER_EVENT_YIELD,
                                                       ARBITER_EVENT_RELEASE, ARBITER_EVENT_GRANT};
    struct arbiter_event events[ARRAY_SIZE(expected)] = {0};
    uint64_t cursor = 0, lost;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING);
    part_end(&a, true);
    part_wait_for_state(&b, LEASE_GRANTED);
    /* A slice that nobody contests may have been renewed in between. */
    size_t n = 0;
    struct arbiter_event event;
    uint64_t last_ns = 0;
    while (n < ARRAY_SIZE(expected) &&
           arbiter_read_events(arbiter, &cursor, &event, 1, &lost) == 1) {
        assert_int_equal(lost, 0);
        assert_true(event.time_ns >= last_ns);
        last_ns = event.time_ns;
        if (event.kind != expected[n]) {
            assert_int_equal(event.kind, ARBITER_EVENT_GRANT);
            assert_int_equal(event.vgpu, arbiter_vgpu_number(a.vgpu));
            continue;
        }
        events[n++] = event;
    }
    assert_int_equal(n, ARRAY_SIZE(expected));
    assert_int_equal(events[0].vgpu, arbiter_vgpu_number(a.vgpu));
    assert_int_equal(events[5].vgpu, arbiter_vgpu_number(b.vgpu));
    assert_int_not_equal(arbiter_vgpu_number(a.vgpu), arbiter_vgpu_number(b.vgpu));
    assert_true(part_try_to_enter(&b));
    part_end(&b, true);
}

/* Whatever becomes of a renderer, its wait has an end. */
static void test_waits_end(void **state)
{
    struct arbiter_event event, last = {.kind = ARBITER_N_EVENT_KINDS};
    uint64_t cursor = 0, lost;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    assert_false(part_ask(&b));
    part_wait_for_state(&a, LEASE_YIELDING); /* b's wait was seen */
    part_detach(&b);
    while (arbiter_read_events(arbiter, &cursor, &event, 1, &lost) == 1) {
        if (event.vgpu == arbiter_vgpu_number(b.vgpu))
            last = event;
    }
    assert_int_equal(last.kind, ARBITER_EVENT_RELEASE);
    assert_int_equal(last.value, 0);
    part_end(&a, true);
}

static void test_totals(void **state)
{
    struct arbiter_totals totals;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    for (unsigned i = 0; i < 10; i++) {
        part_enter(&a);
        part_end(&a, true);
        part_enter(&b);
        part_end(&b, true);
    }
    arbiter_read_totals(arbiter, &totals);
    assert_int_equal(totals.vgpus, 2);
    assert_int_equal(totals.policy, SCHED_POLICY_FAIR);
    assert_true(totals.grants >= 20);
    assert_true(totals.busy_ns == part_stats(&a).busy_ns + part_stats(&b).busy_ns);
    assert_true(totals.busy_ns <= totals.elapsed_ns);
}

/* The time that nobody wanted the GPU is no hand-over. */
static void test_handoff_of_an_idle_gpu(void **state)
{
    struct arbiter_totals totals;

    part_open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    part_join(&a, "a");
    part_join(&b, "b");
    part_enter(&a);
    part_end(&a, true);
    part_wait_for_state(&a, LEASE_IDLE); /* it had a slice that it did not use */
    uint64_t idle_ns = part_now_ns();
    while (part_now_ns() - idle_ns < 20000000)
        ;
    uint64_t before_ns = part_now_ns();
    part_enter(&b);
    part_end(&b, true);
    arbiter_read_totals(arbiter, &totals);
    assert_true(totals.handoff.max_ns <= part_now_ns() - before_ns);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, part_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_alone),
        TEST(test_drained_before_the_next),
        TEST(test_preempted_at_once),
        TEST(test_taken_from_who_does_not_use_it),
        TEST(test_kept_for_who_has_just_finished),
        TEST(test_exclusive),
        TEST(test_gone_while_granted),
        TEST(test_gone_with_a_full_doorbell),
        TEST(test_gone_while_yielding),
        TEST(test_gone_while_waiting),
        TEST(test_a_page_that_lies),
        TEST(test_nobody_reads_the_log),
        TEST(test_a_page_that_lies_early),
        TEST(test_pretends_progress_while_it_leaves),
        TEST(test_does_not_ring_when_it_has_left),
        TEST(test_holds_the_gpu_for_ever),
        TEST(test_always_in_flight),
        TEST(test_workers_count),
        TEST(test_worker_gone),
        TEST(test_worker_that_lies),
        TEST(test_workers_are_preempted),
        TEST(test_admission),
        TEST(test_what_goes_on_is_charged),
        TEST(test_shared_entitlement),
        TEST(test_events),
        TEST(test_waits_end),
        TEST(test_totals),
        TEST(test_handoff_of_an_idle_gpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
