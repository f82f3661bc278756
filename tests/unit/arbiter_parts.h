/* SPDX-License-Identifier: MIT */
/*
 * The arbiter with its real thread, and two vGPUs whose renderers the test is. Used by the tests of
 * the arbiter; they end with part_tear_down().
 */
#ifndef ALIQUOT_TESTS_ARBITER_PARTS_H
#define ALIQUOT_TESTS_ARBITER_PARTS_H

#include "mediator/daemon/arbiter.h"
#include "protocol/lease_wait.h"

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

extern struct arbiter *arbiter;
extern struct part a, b;

uint64_t part_now_ns(void);
void part_open_arbiter(enum arbiter_preempt preempt, enum sched_policy policy,
                       uint64_t reset_after_ns);
void part_open_early_arbiter(uint64_t reset_after_ns);
/* Of a GPU that is one processor. */
void part_open_software_arbiter(enum arbiter_preempt preempt);
void part_attach(struct part *p);
void part_join(struct part *p, const char *name);
/* The renderer is gone: nothing of it is left, whatever it was doing. */
void part_detach(struct part *p);
void part_leave(struct part *p);
int part_tear_down(void **state);
bool part_try_to_enter(struct part *p);
/* Asks for the GPU; true if it has it already. */
bool part_ask(struct part *p);
void part_enter(struct part *p);
void part_end(struct part *p, bool idle);
enum lease_state part_state(const struct part *p);
void part_wait_for_state(const struct part *p, enum lease_state state);
struct arbiter_stats part_stats(const struct part *p);
void part_start_child(struct part *p);
void part_assert_killed(const struct part *p);
/* Another participant of p's vGPU. */
struct part part_worker(const struct part *p, uint32_t slot);

#endif
