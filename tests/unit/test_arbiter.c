/* SPDX-License-Identifier: MIT */
/*
 * The arbiter with its real thread; the test is the renderers.
 */
#include "mediator/base/util.h"
#include "mediator/daemon/arbiter.h"
#include "protocol/lease_wait.h"

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

#define TIMEOUT_MS 20000

struct part {
    struct arbiter_vgpu *vgpu;
    struct arbiter_fds fds;
    const struct lease_grant_page *grant;
    struct lease_ack_page *ack;
    struct lease_participant lease;
    uint64_t entered_ns;
    bool waiting;
    pid_t pid; /* of a child that stands for the renderer; 0 = none */
};

static struct arbiter *arbiter;
static struct part a, b;

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void open_arbiter(enum arbiter_preempt preempt, enum sched_policy policy,
                         uint64_t reset_after_ns)
{
    const struct arbiter_config config = {.gpu = "test",
                                          .policy = policy,
                                          .preempt = preempt,
                                          .parallelism = 1,
                                          .reset_after_ns = reset_after_ns};
    assert_int_equal(arbiter_create(&config, &arbiter), 0);
}

static void open_early_arbiter(uint64_t reset_after_ns)
{
    const struct arbiter_config config = {.gpu = "test",
                                          .policy = SCHED_POLICY_FAIR,
                                          .preempt = ARBITER_PREEMPT_DRAIN,
                                          .parallelism = 1,
                                          .early = true,
                                          .reset_after_ns = reset_after_ns};
    assert_int_equal(arbiter_create(&config, &arbiter), 0);
}

static void attach(struct part *p)
{
    assert_int_equal(arbiter_attach(p->vgpu, LEASE_SLOTS_MAX, &p->fds), 0);
    assert_int_equal(lease_grant_page_map(p->fds.grant, &p->grant), 0);
    assert_int_equal(lease_ack_page_map(p->fds.ack, &p->ack), 0);
    assert_int_equal(lease_attach(&p->lease, p->grant, p->ack, LEASE_SLOT_GL), 0);
}

static void join(struct part *p, const char *name)
{
    *p = (struct part){0};
    assert_int_equal(arbiter_add(arbiter, name, &SCHED_KNOBS_DEFAULT, NULL, &p->vgpu), 0);
    attach(p);
}

/* The renderer is gone: nothing of it is left, whatever it was doing. */
static void detach(struct part *p)
{
    arbiter_detach(p->vgpu);
    lease_page_unmap(TAKE_PTR(p->grant));
    lease_page_unmap(TAKE_PTR(p->ack));
    p->waiting = false;
}

static void leave(struct part *p)
{
    if (!p->vgpu)
        return;
    detach(p);
    arbiter_remove(TAKE_PTR(p->vgpu));
}

static int tear_down(void **state)
{
    leave(&a);
    leave(&b);
    arbiter_destroy(TAKE_PTR(arbiter));
    return 0;
}

/* ---- what renderers do ---------------------------------------------------------------------- */

static bool try_to_enter(struct part *p)
{
    uint32_t duties = 0;
    enum lease_verdict verdict = lease_enter(&p->lease, 0, &duties);

    lease_do(&p->lease, p->fds.doorbell, duties);
    if (verdict != LEASE_OPEN)
        return false;
    p->entered_ns = now_ns();
    lease_note_start(&p->lease, p->entered_ns);
    if (p->waiting) {
        p->waiting = false;
        lease_wait_end(&p->lease, LEASE_BY_EVENT, false, &duties);
    }
    return true;
}

/* Asks for the GPU; true if it has it already. */
static bool ask(struct part *p)
{
    uint32_t duties = 0;

    if (try_to_enter(p))
        return true;
    p->waiting = lease_wait_begin(&p->lease, LEASE_BY_EVENT, &duties) != LEASE_LOST;
    lease_do(&p->lease, p->fds.doorbell, duties);
    return false;
}

static void enter(struct part *p)
{
    if (ask(p))
        return;
    do {
        struct pollfd wake = {.fd = p->fds.wake, .events = POLLIN};
        eventfd_t count;
        assert_int_equal(poll(&wake, 1, TIMEOUT_MS), 1);
        assert_int_equal(eventfd_read(p->fds.wake, &count), 0);
    } while (!try_to_enter(p));
}

static void end(struct part *p, bool idle)
{
    lease_release(&p->lease, p->fds.doorbell, 0, p->entered_ns, now_ns(), idle);
}

static enum lease_state state_of(const struct part *p)
{
    return LEASE_STATE(lease_word(&p->lease));
}

static void wait_for_state(const struct part *p, enum lease_state state)
{
    uint64_t deadline = now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (state_of(p) != state) {
        assert_true(now_ns() < deadline);
        sched_yield();
    }
}

static struct arbiter_stats stats(const struct part *p)
{
    struct arbiter_stats s;
    arbiter_read_stats(p->vgpu, &s);
    return s;
}

/* ---- who has the GPU ------------------------------------------------------------------------ */

static void test_alone(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    assert_int_equal(state_of(&a), LEASE_IDLE);
    enter(&a);
    end(&a, true);
    struct arbiter_stats s = stats(&a);
    assert_int_equal(s.submits, 1);
    assert_int_equal(s.completions, 1);
    assert_true(s.busy_ns > 0);
    assert_int_equal(s.wait.count, 1);
    assert_int_equal(s.faults, 0);
}

static void test_drained_before_the_next(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    assert_false(ask(&a)); /* no more work */
    assert_int_equal(state_of(&b), LEASE_IDLE);
    end(&a, false);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    wait_for_state(&b, LEASE_YIELDING); /* a asks again */
    end(&b, true);
    wait_for_state(&a, LEASE_GRANTED);
    assert_true(try_to_enter(&a));
    end(&a, true);
    assert_true(stats(&a).sched.gpu_ns > 0);
    assert_true(stats(&a).sched.waiting_ns > 0);
}

static void test_preempted_at_once(void **state)
{
    open_arbiter(ARBITER_PREEMPT_CPU, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    enter(&b); /* although a's work has not ended */
    /* Its work waits for the processor; it gets its next slice without asking. */
    wait_for_state(&a, LEASE_GRANTED);
    end(&b, true);
    end(&a, true);
}

static void test_taken_from_who_does_not_use_it(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    for (unsigned i = 0; i < 20; i++) {
        enter(&a);
        end(&a, true);
        enter(&b); /* no doorbell of a's is needed: it was idle before b came */
        end(&b, true);
    }
    assert_int_equal(stats(&a).completions, 20);
    assert_int_equal(stats(&b).completions, 20);
}

static void test_exclusive(void **state)
{
    struct arbiter_vgpu *other;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_EXCLUSIVE, 0);
    join(&a, "a");
    assert_int_equal(arbiter_add(arbiter, "b", &SCHED_KNOBS_DEFAULT, NULL, &other), -EBUSY);
    enter(&a);
    assert_true(lease_word(&a.lease) & LEASE_UNGATED);
    end(&a, true);
    assert_int_equal(state_of(&a), LEASE_GRANTED);
}

/* ---- renderers that end --------------------------------------------------------------------- */

static void test_gone_while_granted(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    assert_false(ask(&b));
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
    /* The next renderer of the same vGPU begins with nothing. */
    attach(&a);
    enter(&a);
    end(&a, true);
    assert_int_equal(stats(&a).submits, 2);
}

/* Nor with what the first one did to the descriptors that they share. */
static void test_gone_with_a_full_doorbell(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    assert_int_equal(eventfd_write(a.fds.doorbell, UINT64_MAX - 1), 0);
    assert_int_equal(eventfd_write(a.fds.wake, UINT64_MAX - 1), 0);
    assert_int_equal(eventfd_write(a.fds.doorbell, 1), -1);
    detach(&a);
    attach(&a);
    enter(&a);
    end(&a, true);
    assert_int_equal(stats(&a).completions, 1);
}

static void test_gone_while_yielding(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
}

static void test_gone_while_waiting(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    assert_false(ask(&b));
    detach(&b);
    end(&a, true);
    for (unsigned i = 0; i < 20; i++) { /* nobody else waits for it */
        enter(&a);
        end(&a, true);
    }
}

static void start_child(struct part *p)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    _cleanup_close_ int pidfd = pidfd_open(pid, 0);
    assert_true(pidfd >= 0);
    assert_int_equal(arbiter_set_process(p->vgpu, pidfd, pid), 0);
    p->pid = pid;
}

static void assert_killed(const struct part *p)
{
    int status;
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_a_page_that_lies(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    enter(&a);
    a.ack->slots[LEASE_SLOT_GL].completions = 1000; /* of one submission */
    assert_false(ask(&b));
    assert_killed(&a);
    detach(&a); /* as the daemon does then */
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
    assert_int_equal(stats(&a).faults, 1);
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

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    enter(&a);
    a.ack->slots[LEASE_SLOT_GL].completions = 1000;
    assert_false(ask(&b));
    assert_killed(&a);
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);

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
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    enter(&a);
    a.ack->slots[LEASE_SLOT_GL].completions = 1000;
    assert_int_equal(stats(&a).faults, 1);
    assert_int_equal(stats(&a).faults, 1); /* told once */
    a.ack->slots[LEASE_SLOT_GL].completions = 0;
    start_child(&a);
    assert_killed(&a);
}

/* While it leaves, others wait for it, whatever it says: it has to be done with all in time. */
static void test_pretends_progress_while_it_leaves(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 100000000);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    struct pollfd child = {.fd = pidfd_open(a.pid, 0), .events = POLLIN};
    for (unsigned i = 0; i < TIMEOUT_MS && poll(&child, 1, 1) == 0; i++) {
        __atomic_add_fetch(&a.ack->slots[LEASE_SLOT_GL].submits, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&a.ack->slots[LEASE_SLOT_GL].completions, 1, __ATOMIC_SEQ_CST);
        eventfd_write(a.fds.doorbell, 1);
    }
    assert_int_equal(child.revents, POLLIN);
    close(child.fd);
    assert_killed(&a);
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
}

/* One that has drained and does not say so keeps nobody off for long. */
static void test_does_not_ring_when_it_has_left(void **state)
{
    uint32_t duties = 0;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 100000000);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    lease_exit(&a.lease, 0, a.entered_ns, now_ns(), true, &duties);
    assert_killed(&a);
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
}

static void test_holds_the_gpu_for_ever(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 100000000);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    enter(&a);
    assert_false(ask(&b));
    assert_killed(&a);
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
    assert_int_equal(stats(&a).resets, 1);
}

/* ---- doorbells ------------------------------------------------------------------------------ */

struct ringer {
    pthread_t thread;
    int doorbell;
    bool stop;
};

static void *ring_on(void *opaque)
{
    struct ringer *r = opaque;

    while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
        eventfd_write(r->doorbell, 1);
    return NULL;
}

static void start_ringing(struct ringer *r, const struct part *p)
{
    *r = (struct ringer){.doorbell = p->fds.doorbell};
    assert_int_equal(pthread_create(&r->thread, NULL, ring_on, r), 0);
}

static void stop_ringing(struct ringer *r)
{
    __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
    pthread_join(r->thread, NULL);
}

/* One who rings in a loop is not heard more often than anybody may be, and others have the GPU. */
static void test_rings_in_a_loop(void **state)
{
    struct ringer ringer;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    uint64_t from_ns = now_ns();
    start_ringing(&ringer, &a);
    for (unsigned i = 0; i < 300 || stats(&a).floods == 0; i++) {
        assert_true(now_ns() - from_ns < TIMEOUT_MS * UINT64_C(1000000));
        enter(&b);
        end(&b, true);
    }
    uint64_t rings = stats(&a).rings, passed_ns = now_ns() - from_ns;
    stop_ringing(&ringer);
    assert_true(rings <= 64 + passed_ns / 250000 + 1);
    assert_int_equal(stats(&b).floods, 0);
    /* It is heard all the same when it wants something. */
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    end(&a, true);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
}

/* And while it rings: whom others wait for, and who wants the GPU. */
static void test_works_and_rings_in_a_loop(void **state)
{
    struct ringer ringer;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    start_ringing(&ringer, &a);
    for (unsigned i = 0; i < 20; i++) {
        enter(&a);
        assert_false(ask(&b));
        wait_for_state(&a, LEASE_YIELDING);
        end(&a, true);
        wait_for_state(&b, LEASE_GRANTED);
        assert_true(try_to_enter(&b));
        end(&b, true);
    }
    stop_ringing(&ringer);
    assert_true(stats(&a).floods > 0);
    leave(&a); /* deaf to it or not */
    enter(&b);
    end(&b, true);
}

/* ---- early hand-over ------------------------------------------------------------------------ */

static uint32_t bound_of(const struct part *p)
{
    return __atomic_load_n(&p->grant->max_in_flight, __ATOMIC_ACQUIRE);
}

static void wait_for_full_bounds(const struct part *p)
{
    uint64_t deadline = now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (bound_of(p) == 1) {
        assert_true(now_ns() < deadline);
        sched_yield();
    }
}

/* Another participant of p's vGPU. */
static struct part worker_of(const struct part *p, uint32_t slot)
{
    struct part w = {.vgpu = p->vgpu, .grant = p->grant, .ack = p->ack, .fds = p->fds};

    assert_int_equal(lease_attach(&w.lease, w.grant, w.ack, slot), 0);
    arbiter_slot_taken(p->vgpu, slot, 0); /* it has no process of its own */
    return w;
}

/* a leaves with one job on the GPU, and b has submitted one. */
static void hand_over_early(uint64_t reset_after_ns)
{
    open_early_arbiter(reset_after_ns);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
}

static void test_early(void **state)
{
    uint32_t duties = 0;
    struct arbiter_totals totals;

    hand_over_early(0);
    assert_int_equal(bound_of(&b), 1);
    assert_int_equal(lease_enter(&b.lease, 0, &duties), LEASE_FULL);
    assert_int_equal(stats(&b).busy_ns, 0);
    assert_int_equal(stats(&b).sched.gpu_ns, 0);
    assert_int_equal(stats(&b).sched.state, SCHED_RUNNING);
    uint64_t left_ns = now_ns();
    end(&a, true);
    wait_for_full_bounds(&b);
    assert_int_equal(state_of(&b), LEASE_GRANTED);
    end(&b, true);
    assert_true(stats(&b).busy_ns <= now_ns() - left_ns); /* a's time is not b's */
    arbiter_read_totals(arbiter, &totals);
    assert_int_equal(totals.handoff.buckets[0], 1); /* the GPU went on at once */
    detach(&a);
    kill(a.pid, SIGKILL);
    assert_killed(&a);
}

/* Who is quick beside the one that leaves has not had that for nothing. */
static void test_early_and_done(void **state)
{
    hand_over_early(0);
    uint64_t from_ns = now_ns();
    while (now_ns() - from_ns < 2000000)
        ;
    end(&b, false);
    assert_true(stats(&b).sched.gpu_ns >= 2000000);
    end(&a, true);
    enter(&b);
    end(&b, true);
    detach(&a);
    kill(a.pid, SIGKILL);
    assert_killed(&a);
}

/* More than a last job is too much. */
static void test_not_early_before_the_last_job(void **state)
{
    open_early_arbiter(0);
    join(&a, "a");
    join(&b, "b");
    struct part w = worker_of(&a, 1);
    enter(&a);
    assert_true(try_to_enter(&w));
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    assert_int_equal(stats(&a).in_flight, 2); /* and the arbiter has decided by now */
    assert_int_equal(state_of(&b), LEASE_IDLE);
    end(&w, true);
    end(&a, true);
    wait_for_state(&b, LEASE_GRANTED);
    wait_for_full_bounds(&b);
    assert_true(try_to_enter(&b));
    end(&b, true);
}

/* It is the one who leaves that keeps the GPU, and is killed for it. */
static void test_early_beside_one_that_hangs(void **state)
{
    hand_over_early(100000000);
    assert_killed(&a);
    assert_int_equal(stats(&b).resets, 0);
    assert_int_equal(stats(&b).sched.state, SCHED_RUNNING);
    detach(&a);
    wait_for_full_bounds(&b);
    end(&b, true);
    assert_int_equal(stats(&a).resets, 1);
}

static void test_early_and_gone(void **state)
{
    hand_over_early(0);
    detach(&b); /* a may have the GPU again */
    end(&a, true);
    attach(&b);
    enter(&b);
    wait_for_full_bounds(&b);
    end(&b, true);
    detach(&a);
    kill(a.pid, SIGKILL);
    assert_killed(&a);
}

/* What was counted of a piece while it ran is taken off its own report alone: of one that always has
 * something in flight, all is counted. */
static void test_always_in_flight(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    enter(&a);
    for (int i = 0; i < 20; i++) {
        uint64_t begun_ns = a.entered_ns;
        do
            stats(&a); /* accounts */
        while (now_ns() < begun_ns + 500000);
        assert_true(try_to_enter(&a)); /* the next one, while this one runs */
        lease_release(&a.lease, a.fds.doorbell, 0, begun_ns, a.entered_ns, false);
    }
    end(&a, true);
    uint64_t reported_ns = a.ack->slots[LEASE_SLOT_GL].busy_ns;
    assert_true(reported_ns >= UINT64_C(20) * 500000);
    uint64_t busy_ns = stats(&a).busy_ns;
    assert_true(busy_ns <= reported_ns + reported_ns / 50);
    assert_true(busy_ns >= reported_ns - reported_ns / 50);
}

/* ---- processes of the Vulkan layer ----------------------------------------------------------- */

static void test_workers_count(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    struct part first = worker_of(&a, 1), last = worker_of(&a, LEASE_SLOTS_MAX - 1);
    enter(&a);
    assert_true(try_to_enter(&first));
    assert_true(try_to_enter(&last));
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    assert_int_equal(stats(&a).in_flight, 3);
    end(&a, true);
    end(&first, true);
    assert_int_equal(state_of(&a), LEASE_YIELDING); /* one is left */
    assert_int_equal(state_of(&b), LEASE_IDLE);
    end(&last, true);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    struct arbiter_stats s = stats(&a);
    assert_int_equal(s.submits, 3);
    assert_int_equal(s.completions, 3);
    assert_int_equal(s.in_flight, 0);
    assert_true(s.vulkan_ns > 0 && s.vulkan_ns < UINT64_C(60000000000));
    assert_int_equal(stats(&b).vulkan_ns, 0);
    end(&b, true);
}

/* What a worker had in flight when it ended keeps nobody from the GPU. */
static void test_worker_gone(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    struct part w = worker_of(&a, 7);
    enter(&a);
    assert_true(try_to_enter(&w));
    end(&a, true);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    arbiter_slot_gone(a.vgpu, LEASE_SLOT_GL); /* not theirs to say */
    arbiter_slot_gone(a.vgpu, LEASE_SLOTS_MAX);
    assert_int_equal(state_of(&a), LEASE_YIELDING);
    arbiter_slot_gone(a.vgpu, 7);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    end(&b, true);
    w = worker_of(&a, 7); /* its slot is free for another one */
    enter(&a);
    end(&a, true);
    assert_int_equal(stats(&a).faults, 0);
}

static void test_worker_that_lies(void **state)
{
    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    struct part w = worker_of(&a, 3);
    enter(&a);
    assert_true(try_to_enter(&w));
    a.ack->slots[3].busy_ns = UINT64_MAX;
    assert_false(ask(&b));
    assert_killed(&a);
    detach(&a);
    wait_for_state(&b, LEASE_GRANTED);
    assert_int_equal(stats(&a).faults, 1);
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
    uint64_t deadline = now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (sched_getscheduler(pid) != class) {
        assert_true(now_ns() < deadline);
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
    struct part w = {0};

    open_arbiter(ARBITER_PREEMPT_CPU, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    start_child(&a);
    assert_int_equal(setpgid(a.pid, a.pid), 0);
    pid_t ours = start_in_group(a.pid), late = start_in_group(a.pid), other = start_in_group(0);
    arbiter_slot_taken(a.vgpu, 1, ours);
    unsigned fds = open_fds();
    for (int i = 0; i < 10; i++) /* a renderer that lies costs us nothing */
        arbiter_slot_taken(a.vgpu, 1, ours);
    assert_int_equal(open_fds(), fds);
    arbiter_slot_taken(a.vgpu, 2, other);
    arbiter_slot_taken(a.vgpu, 99, other);
    enter(&a);
    assert_false(ask(&b));
    wait_for_class(ours, SCHED_IDLE);
    wait_for_class(a.pid, SCHED_IDLE);
    arbiter_slot_taken(a.vgpu, 3, late); /* and it comes while it is not its vGPU's turn */
    assert_int_equal(sched_getscheduler(late), SCHED_IDLE);
    assert_int_equal(sched_getscheduler(other), SCHED_OTHER);
    end(&a, true);
    wait_for_class(ours, SCHED_OTHER);
    wait_for_class(late, SCHED_OTHER);

    /* Who is said to be gone is gone, and who is no worker is left alone. */
    w.pid = ours;
    arbiter_slot_gone(a.vgpu, 1);
    assert_killed(&w);
    arbiter_slot_gone(a.vgpu, 2);
    assert_int_equal(waitpid(other, NULL, WNOHANG), 0);
    const pid_t rest[] = {late, other, a.pid};
    for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
        w.pid = rest[i];
        kill(w.pid, SIGKILL);
        assert_killed(&w);
    }
}

/* ---- knobs and what is seen ----------------------------------------------------------------- */

static void test_admission(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;
    struct arbiter_vgpu *other;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
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

    open_arbiter(ARBITER_PREEMPT_CPU, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    knobs.cap_ppm = 10 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    enter(&a);
    wait_for_state(&a, LEASE_YIELDING);
    while (now_ns() - a.entered_ns < 40000000)
        ;
    end(&a, true);
    wait_for_state(&a, LEASE_IDLE);
    assert_true(stats(&a).busy_ns >= 35000000);
    assert_true(stats(&a).sched.gpu_ns >= 35000000);
    assert_int_equal(stats(&a).sched.state, SCHED_ASLEEP);
}

/* What shares an entitlement needs no admission, takes turns, and goes one by one. */
static void test_shared_entitlement(void **state)
{
    struct sched_knobs knobs = SCHED_KNOBS_DEFAULT;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    knobs.reservation_ppm = 60 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(a.vgpu, &knobs), 0);
    enter(&a);
    b = (struct part){0};
    assert_int_equal(arbiter_add(arbiter, "b", &knobs, a.vgpu, &b.vgpu), 0);
    attach(&b);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 60 * SCHED_PERCENT);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    end(&a, true);
    wait_for_state(&b, LEASE_GRANTED);
    assert_true(try_to_enter(&b));
    knobs.reservation_ppm = 30 * SCHED_PERCENT;
    assert_int_equal(arbiter_set_knobs(b.vgpu, &knobs), 0);
    assert_int_equal(stats(&a).knobs.reservation_ppm, 30 * SCHED_PERCENT);
    leave(&a);
    end(&b, true);
    enter(&b);
    end(&b, true);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 30 * SCHED_PERCENT);
    leave(&b);
    assert_int_equal(arbiter_reserved_ppm(arbiter), 0);
}

static void test_events(void **state)
{
    static const enum arbiter_event_kind expected[] = {ARBITER_EVENT_WAIT,    ARBITER_EVENT_GRANT,
                                                       ARBITER_EVENT_WAIT,    ARBITER_EVENT_YIELD,
                                                       ARBITER_EVENT_RELEASE, ARBITER_EVENT_GRANT};
    struct arbiter_event events[ARRAY_SIZE(expected)] = {0};
    uint64_t cursor = 0, lost;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING);
    end(&a, true);
    wait_for_state(&b, LEASE_GRANTED);
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
    assert_true(try_to_enter(&b));
    end(&b, true);
}

/* Whatever becomes of a renderer, its wait has an end. */
static void test_waits_end(void **state)
{
    struct arbiter_event event, last = {.kind = ARBITER_N_EVENT_KINDS};
    uint64_t cursor = 0, lost;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    assert_false(ask(&b));
    wait_for_state(&a, LEASE_YIELDING); /* b's wait was seen */
    detach(&b);
    while (arbiter_read_events(arbiter, &cursor, &event, 1, &lost) == 1) {
        if (event.vgpu == arbiter_vgpu_number(b.vgpu))
            last = event;
    }
    assert_int_equal(last.kind, ARBITER_EVENT_RELEASE);
    assert_int_equal(last.value, 0);
    end(&a, true);
}

static void test_totals(void **state)
{
    struct arbiter_totals totals;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    for (unsigned i = 0; i < 10; i++) {
        enter(&a);
        end(&a, true);
        enter(&b);
        end(&b, true);
    }
    arbiter_read_totals(arbiter, &totals);
    assert_int_equal(totals.vgpus, 2);
    assert_int_equal(totals.policy, SCHED_POLICY_FAIR);
    assert_true(totals.grants >= 20);
    assert_true(totals.busy_ns == stats(&a).busy_ns + stats(&b).busy_ns);
    assert_true(totals.busy_ns <= totals.elapsed_ns);
}

/* The time that nobody wanted the GPU is no hand-over. */
static void test_handoff_of_an_idle_gpu(void **state)
{
    struct arbiter_totals totals;

    open_arbiter(ARBITER_PREEMPT_DRAIN, SCHED_POLICY_FAIR, 0);
    join(&a, "a");
    join(&b, "b");
    enter(&a);
    end(&a, true);
    wait_for_state(&a, LEASE_IDLE); /* it had a slice that it did not use */
    uint64_t idle_ns = now_ns();
    while (now_ns() - idle_ns < 20000000)
        ;
    uint64_t before_ns = now_ns();
    enter(&b);
    end(&b, true);
    arbiter_read_totals(arbiter, &totals);
    assert_true(totals.handoff.max_ns <= now_ns() - before_ns);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_alone),
        TEST(test_drained_before_the_next),
        TEST(test_preempted_at_once),
        TEST(test_taken_from_who_does_not_use_it),
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
        TEST(test_rings_in_a_loop),
        TEST(test_works_and_rings_in_a_loop),
        TEST(test_early),
        TEST(test_early_and_done),
        TEST(test_not_early_before_the_last_job),
        TEST(test_early_beside_one_that_hangs),
        TEST(test_early_and_gone),
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
