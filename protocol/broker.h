/* SPDX-License-Identifier: MIT */
/*
 * What aliquotd and a renderer say to each other.
 *
 * A SOCK_SEQPACKET pair, made by the broker and inherited by the renderer as the descriptor that
 * --broker-fd names. One packet is one message: struct broker_msg, cut after the fixed part and the
 * text that the type has. The broker trusts nothing in it but the type and the bounded text and
 * slot, and a packet that breaks a rule gets the renderer killed.
 *
 *   renderer → broker   BROKER_READY    the backend is up; text = one line about the GPU in use
 *   broker → renderer   BROKER_SERVE    one descriptor: a connection, accepted, not a byte read
 *   renderer → broker   BROKER_DONE     that connection has ended; text = why, one line; the
 *                                       renderer exits after it
 *   renderer → broker   BROKER_SLOT_TAKEN  between READY and the end: a process of the Vulkan layer
 *                                       is about to attach to this slot of the lease; pid = which
 *   renderer → broker   BROKER_SLOT_GONE   it has ended: what it had in flight no longer counts
 * The end of the socket means that the other one is gone: the renderer exits, the broker reaps.
 *
 * Counters need no message: the renderer writes them into a page that the broker made
 * (struct broker_stats, --stats-fd), and the broker reads them when somebody asks. A renderer that
 * hangs can not hang a query. The values are shown to the operator and used for nothing else. So is
 * what the broker reads of the vGPU's memory (struct layer_memory, --memory-fd).
 */
#ifndef ALIQUOT_PROTOCOL_BROKER_H
#define ALIQUOT_PROTOCOL_BROKER_H

#include <stdatomic.h>
#include <stdint.h>

enum broker_msg_type {
    BROKER_READY = 1,
    BROKER_SERVE = 2,
    BROKER_DONE = 3,
    BROKER_SLOT_TAKEN = 4,
    BROKER_SLOT_GONE = 5,
};

#define BROKER_VERSION 2
#define BROKER_TEXT_MAX 256 /* bytes, final NUL not counted and not sent */

struct broker_msg {
    uint16_t version; /* BROKER_VERSION; program and daemon come from one build */
    uint16_t type;    /* enum broker_msg_type */
    uint32_t text_len;
    uint32_t slot; /* SLOT_…: 1 … LEASE_SLOTS_MAX - 1; else 0 */
    uint32_t pid;  /* likewise */
    char text[BROKER_TEXT_MAX];
};
#define BROKER_MSG_HEADER 16

#define BROKER_LATENCY_BUCKETS 28

/* One page, written by the renderer with relaxed stores, read by the broker. */
struct broker_stats {
    _Atomic uint32_t connected;       /* 1 while a front-end is being served */
    _Atomic uint32_t driver_ok;       /* 1 while the guest driver has its rings running */
    _Atomic uint64_t resources;       /* that exist now */
    _Atomic uint64_t resource_bytes;  /* host bytes they are charged with */
    _Atomic uint64_t contexts;        /* that exist now */
    _Atomic uint64_t commands;        /* virtio-gpu commands answered, since the start */
    _Atomic uint64_t submits;         /* SUBMIT_3D executed */
    _Atomic uint64_t fences;          /* fences completed */
    _Atomic uint64_t rejected;        /* inputs refused: bad commands, bad messages */
    _Atomic uint64_t flushes;         /* scan-out updates sent */
    _Atomic uint64_t mapped_blobs;    /* in the host-visible region now */
    _Atomic uint64_t vulkan_contexts; /* of the contexts */
    /* Command streams of OpenGL from being taken up to their completion, as far as a fence tells:
     * bucket i counts what took less than 2^i µs (and not less than 2^(i-1)), the last one all
     * above. */
    _Atomic uint64_t latency[BROKER_LATENCY_BUCKETS];
    _Atomic uint64_t latency_sum_ns, latency_max_ns;
};
#define BROKER_STATS_BYTES 4096
_Static_assert(sizeof(struct broker_stats) <= BROKER_STATS_BYTES, "one page");

#endif
