/* SPDX-License-Identifier: MIT */
/*
 * A vtest session over the null backend, with fences that the test completes, and its client's
 * socket. For unit tests of vtest_*.c: one session at a time.
 */
#ifndef ALIQUOT_TESTS_VTEST_FIXTURE_H
#define ALIQUOT_TESTS_VTEST_FIXTURE_H

#include "mediator/renderer/vtest_session.h"
#include "protocol/vtest.h"
#include "protocol/work_ring.h"

struct vtest_server {
    sd_event *event;
    struct gpu_fence_queue *queue;
    struct backend *backend;
    struct backend_ops ops; /* the null backend's, with these */
    struct broker_stats stats;
    struct work_ring ring;
    struct vtest_session *session;
    struct gate *gate; /* NULL = work needs no lease */
    int sock;
    bool ended, broken;
    char reason[BROKER_TEXT_MAX];

    unsigned n_fences;
    uint64_t last_fence; /* asked for */
    bool last_per_context;
    uint32_t last_ctx_id, last_ring_idx;
    int fence_result;
    unsigned n_finish;
    int finish_result;
};

extern struct vtest_server server;

/* For cmocka. */
int vtest_set_up(void **state);
/* The same under a lease, whose broker is the test (gate_fixture.h). */
int vtest_set_up_gated(void **state);
int vtest_tear_down(void **state);

/* Turns the loop until the session has nothing left to do, which must be soon. */
void turn(void);
/* Sends, and turns. */
void say(const void *data, size_t size);
/* No answer is there. */
void assert_silent(void);

#endif
