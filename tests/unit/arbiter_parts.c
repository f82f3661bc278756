/* SPDX-License-Identifier: MIT */
#include "tests/unit/arbiter_parts.h"

#include "mediator/base/util.h"

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

struct arbiter *arbiter;
struct part a, b;

uint64_t part_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void part_open_arbiter(enum arbiter_preempt preempt, enum sched_policy policy,
                       uint64_t reset_after_ns)
{
    const struct arbiter_config config = {.gpu = "test",
                                          .policy = policy,
                                          .preempt = preempt,
                                          .parallelism = 1,
                                          .reset_after_ns = reset_after_ns};
    assert_int_equal(arbiter_create(&config, &arbiter), 0);
}

void part_open_early_arbiter(uint64_t reset_after_ns)
{
    const struct arbiter_config config = {.gpu = "test",
                                          .policy = SCHED_POLICY_FAIR,
                                          .preempt = ARBITER_PREEMPT_DRAIN,
                                          .parallelism = 1,
                                          .early = true,
                                          .reset_after_ns = reset_after_ns};
    assert_int_equal(arbiter_create(&config, &arbiter), 0);
}

void part_open_software_arbiter(enum arbiter_preempt preempt)
{
    const struct arbiter_config config = {.gpu = "test",
                                          .policy = SCHED_POLICY_FAIR,
                                          .preempt = preempt,
                                          .parallelism = 1,
                                          .processors = 1};
    assert_int_equal(arbiter_create(&config, &arbiter), 0);
}

void part_attach(struct part *p)
{
    assert_int_equal(arbiter_attach(p->vgpu, LEASE_SLOTS_MAX, &p->fds), 0);
    assert_int_equal(lease_grant_page_map(p->fds.grant, &p->grant), 0);
    assert_int_equal(lease_ack_page_map(p->fds.ack, &p->ack), 0);
    assert_int_equal(lease_attach(&p->lease, p->grant, p->ack, LEASE_SLOT_GL), 0);
}

void part_join(struct part *p, const char *name)
{
    *p = (struct part){0};
    assert_int_equal(arbiter_add(arbiter, name, &SCHED_KNOBS_DEFAULT, NULL, &p->vgpu), 0);
    part_attach(p);
}

void part_detach(struct part *p)
{
    arbiter_detach(p->vgpu);
    lease_page_unmap(TAKE_PTR(p->grant));
    lease_page_unmap(TAKE_PTR(p->ack));
    p->waiting = false;
}

void part_leave(struct part *p)
{
    if (!p->vgpu)
        return;
    part_detach(p);
    arbiter_remove(TAKE_PTR(p->vgpu));
}

int part_tear_down(void **state)
{
    part_leave(&a);
    part_leave(&b);
    arbiter_destroy(TAKE_PTR(arbiter));
    return 0;
}

bool part_try_to_enter(struct part *p)
{
    uint32_t duties = 0;
    enum lease_verdict verdict = lease_enter(&p->lease, 0, &duties);

    lease_do(&p->lease, p->fds.doorbell, duties);
    if (verdict != LEASE_OPEN)
        return false;
    p->entered_ns = part_now_ns();
    lease_note_start(&p->lease, p->entered_ns);
    if (p->waiting) {
        p->waiting = false;
        lease_wait_end(&p->lease, LEASE_BY_EVENT, false, &duties);
    }
    return true;
}

bool part_ask(struct part *p)
{
    uint32_t duties = 0;

    if (part_try_to_enter(p))
        return true;
    p->waiting = lease_wait_begin(&p->lease, LEASE_BY_EVENT, &duties) != LEASE_LOST;
    lease_do(&p->lease, p->fds.doorbell, duties);
    return false;
}

void part_enter(struct part *p)
{
    if (part_ask(p))
        return;
    do {
        struct pollfd wake = {.fd = p->fds.wake, .events = POLLIN};
        eventfd_t count;
        assert_int_equal(poll(&wake, 1, TIMEOUT_MS), 1);
        assert_int_equal(eventfd_read(p->fds.wake, &count), 0);
    } while (!part_try_to_enter(p));
}

void part_end(struct part *p, bool idle)
{
    lease_release(&p->lease, p->fds.doorbell, 0, p->entered_ns, part_now_ns(), idle);
}

enum lease_state part_state(const struct part *p)
{
    return LEASE_STATE(lease_word(&p->lease));
}

void part_wait_for_state(const struct part *p, enum lease_state state)
{
    uint64_t deadline = part_now_ns() + TIMEOUT_MS * UINT64_C(1000000);
    while (part_state(p) != state) {
        assert_true(part_now_ns() < deadline);
        sched_yield();
    }
}

struct arbiter_stats part_stats(const struct part *p)
{
    struct arbiter_stats s;
    arbiter_read_stats(p->vgpu, &s);
    return s;
}

void part_start_child(struct part *p)
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

void part_assert_killed(const struct part *p)
{
    int status;
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

struct part part_worker(const struct part *p, uint32_t slot)
{
    struct part w = {.vgpu = p->vgpu, .grant = p->grant, .ack = p->ack, .fds = p->fds};

    assert_int_equal(lease_attach(&w.lease, w.grant, w.ack, slot), 0);
    return w;
}
