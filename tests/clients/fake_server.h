/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user GPU that obeys the test: it answers each message and command as it should, but for
 * the one fault it was told to commit. One thread, one connection. Used by the library's fault
 * tests, where a real renderer would be too well-behaved.
 */
#ifndef ALIQUOT_TESTS_FAKE_SERVER_H
#define ALIQUOT_TESTS_FAKE_SERVER_H

#include "tests/clients/fake_shmem.h"

#include <stdint.h>

/* In the answer to a message of the start-up conversation. */
enum fake_message_fault {
    MESSAGE_FINE,
    MESSAGE_SILENT,        /* no answer */
    MESSAGE_CLOSE,         /* hangs up instead */
    MESSAGE_CUT,           /* hangs up in the middle of the answer */
    MESSAGE_GARBAGE,       /* bytes without sense */
    MESSAGE_WRONG_REQUEST, /* answers another message */
    MESSAGE_NO_REPLY_FLAG,
    MESSAGE_HUGE,       /* announces a payload of 2 GiB */
    MESSAGE_DESCRIPTOR, /* adds a descriptor */
    MESSAGE_VALUE,      /* answers with fake_options.value */
};

/* In the answer to commands, from the fake_options.after-th on. */
enum fake_ring_fault {
    RING_FINE,
    RING_SILENT,      /* takes commands and never answers */
    RING_CLOSE,       /* hangs up instead of answering */
    RING_HOLD_FENCES, /* answers fenced commands only after fake_server_release() */
    RING_BAD_HEAD,    /* gives back a chain it never got */
    RING_TWICE,       /* gives each chain back twice */
    RING_AHEAD,       /* publishes a used index far ahead */
    RING_LONG,        /* claims to have written more than there is room for */
    RING_SHORT,       /* claims to have written less than a header */
    RING_UNWRITTEN,   /* claims to have written, and has not */
    RING_NO_FENCE,    /* forgets the fence in the answer */
    RING_REFUSE,      /* answers with the response fake_options.value */
    RING_SPEAK,       /* sends bytes on the socket */
    RING_ERROR,       /* signals the error descriptor */
};

struct fake_options {
    uint32_t message; /* vhost-user request with the fault */
    enum fake_message_fault message_fault;
    enum fake_ring_fault ring_fault;
    uint32_t after; /* commands that are answered well before the ring's fault begins */
    uint64_t value;
    uint64_t shmem_bytes; /* 0 = no blobs; else of the host-visible region */
    bool no_region;       /* has blobs all the same */
    enum fake_shmem_fault shmem_fault;
    enum fake_completions completions; /* with SHMEM_UNSAID */
};

struct fake_server;

/* Starts the thread; *ret_fd is the client's end of the connection, the caller's. */
struct fake_server *fake_server_start(const struct fake_options *options, int *ret_fd);
/* Answers the fenced commands that are held, and stops holding. */
void fake_server_release(struct fake_server *server);
/* Hangs up, as a killed server does. */
void fake_server_kill(struct fake_server *server);
/* Ends the thread and frees all; returns the commands seen. */
uint32_t fake_server_stop(struct fake_server *server);

#endif
