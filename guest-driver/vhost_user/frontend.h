/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user front-end: the conversation that hands our memory and rings to the server and
 * starts the device. After it nothing is said on the socket any more; its end means that the server
 * is gone. Used by transport.c alone. Answers are checked for type, size and sense: a server that
 * talks garbage gets -EPROTO, never trust.
 */
#ifndef ALIQUOT_GUEST_FRONTEND_H
#define ALIQUOT_GUEST_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the device sees our memory. Not 0, so that a null pointer is no address. */
#define FRONTEND_MEMORY_GPA (1ull << 32)

#define FRONTEND_RINGS 2
#define FRONTEND_ERROR_BYTES 200

struct frontend_ring {
    uint32_t num;
    uint64_t desc_gpa, avail_gpa, used_gpa;
};

struct frontend {
    int sock;    /* owned */
    int memfd;   /* owned: the shared memory, of fixed size */
    int kick_fd; /* owned: control queue, to the device */
    int call_fd; /* owned: control queue, from the device */
    int err_fd;  /* owned: the device found a ring broken */
    int channel; /* owned: what the server has to say of the host-visible region; does not block;
                    -1 = there is no such region */
    uint64_t host_visible_bytes;
    bool has_completions; /* the channel will show an eventcount */
    uint64_t memory_bytes;
    bool reply_ack;    /* messages can ask for an ack */
    uint64_t features; /* negotiated, without the vhost-user bit */
    uint32_t num_scanouts, num_capsets;
    char error[FRONTEND_ERROR_BYTES]; /* why the last call failed, one line */
};

/* All descriptors -1. */
void frontend_init(struct frontend *f);
void frontend_finish(struct frontend *f);

/* Connects to a path, by deadline_ns on CLOCK_MONOTONIC. Returns 0 or a negative errno. */
int frontend_connect(struct frontend *f, const char *path, int64_t deadline_ns);

/* Makes the shared memory: sealed against growing and shrinking, so that neither side can make the
 * other fault. */
int frontend_make_memory(struct frontend *f, uint64_t bytes);

/* Agrees on features and reads the configuration. */
int frontend_negotiate(struct frontend *f, int64_t deadline_ns);

/* Hands over memory and rings (control, cursor) and starts them. */
int frontend_start(struct frontend *f, const struct frontend_ring rings[FRONTEND_RINGS],
                   int64_t deadline_ns);

#endif
