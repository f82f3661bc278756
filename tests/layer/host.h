/* SPDX-License-Identifier: MIT */
/*
 * The renderer and the broker of one vGPU, as far as a Vulkan client with the layer sees them; and
 * the client, a process of tests/layer/client.c. Everything happens when a test says so.
 */
#ifndef ALIQUOT_TESTS_LAYER_HOST_H
#define ALIQUOT_TESTS_LAYER_HOST_H

#include "protocol/layer.h"
#include "protocol/lease_wait.h"
#include "protocol/work_ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define HOST_SLOT 1u

struct host {
    struct lease_broker broker;
    struct lease_terms terms;
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    struct eventcount *completions;
    int grant_fd, ack_fd, doorbell_fd, memory_fd, work_fd, completions_fd;
    struct layer_memory *memory;
    const struct work_rings *work;
    struct lease_ack seen; /* of HOST_SLOT */

    bool validated; /* the Khronos validation layer is below ours; set before the start */
    FILE *errors;   /* then: what it had to say */
    int shared_fd;  /* the renderer's end of what all workers share */
    int channel_fd; /* to the client; -1 = none */
    pid_t pid;
    FILE *to, *from;
};

/* What the client finds when it starts. */
enum host_answer {
    HOST_WELCOME,
    HOST_WELCOME_UNGATED, /* limits, but no lease */
    HOST_REFUSED,
    HOST_ABSENT,   /* no LAYER_ENV at all */
    HOST_NO_LAYER, /* nor the layer */
    HOST_HANGS_UP, /* the renderer is gone */
};

void host_create(struct host *h);
void host_destroy(struct host *h);

/* Starts a client and returns its first line ("ready 0" or what failed); option: argv[1] or NULL.
 */
const char *host_start(struct host *h, enum host_answer answer, const char *option);
/* A validated client has broken no rule so far, nor has the layer. */
bool host_is_valid(struct host *h);
/* Kills it, if it still runs, and waits for it and for its channel's end. */
void host_stop(struct host *h);

/* Tells the client something; the answer is host_read()'s. */
void host_tell(struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next line without its end; good until the next call. "" at the end. */
const char *host_read(struct host *h);
/* Both. */
const char *host_ask(struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The client has said nothing. */
bool host_is_silent(struct host *h);

void host_grant(struct host *h);
/* Yields and waits until nothing is in flight. */
void host_drain(struct host *h);
/* Waits until somebody wants the GPU. */
void host_await_want(struct host *h);
/* Waits until nothing is in flight, whoever may say so. */
void host_await_idle(struct host *h);
void host_revoke(struct host *h);
/* A fresh copy, with nothing wrong in it. */
const struct lease_ack *host_ack(struct host *h);

#endif
