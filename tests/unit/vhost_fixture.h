/* SPDX-License-Identifier: MIT */
/*
 * A front-end and guest driver for tests of the vhost-user back-end, with the null backend behind
 * it. It turns the back-end's event loop itself, so nothing here waits for time. Used by
 * test_vhost_backend.c.
 */
#ifndef ALIQUOT_TESTS_VHOST_FIXTURE_H
#define ALIQUOT_TESTS_VHOST_FIXTURE_H

#include "mediator/renderer/vhost_backend.h"
#include "protocol/vhost_user.h"

#define MEM_BYTES 0x100000u
#define MEM_GPA 0x40000000ull
#define RING_NUM 256u
#define RING_AT(i) (0x10000u * (i)) /* offsets in guest memory */
#define REQUEST_AT 0x40000u
#define RESPONSE_AT 0x80000u
#define SLOT_BYTES 64u

struct front_end {
    sd_event *event;
    struct broker_stats stats;
    struct gpu_fence_queue *fences;
    struct backend *backend;
    struct vhost_backend *be;
    uint64_t hostmem_bytes; /* for the next connection; 0 = no region */
    int completions_fd;     /* likewise; -1 = nothing ends there */
    int sock;
    bool ended;
    char reason[BROKER_TEXT_MAX];

    int mem_fd;
    uint8_t *mem;
    struct vring_drv rings[VIRTIO_GPU_QUEUES];
    size_t avail_at[VIRTIO_GPU_QUEUES], used_at[VIRTIO_GPU_QUEUES];
    int kick[VIRTIO_GPU_QUEUES], call[VIRTIO_GPU_QUEUES];
    unsigned fds_before;
};

#define FE_PROTOCOL_FEATURES                                                                       \
    (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1ull << VHOST_USER_PROTOCOL_F_CONFIG |              \
     1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)

/* Set-up and tear-down of a test; state is a struct front_end *. The tear-down fails if the
 * back-end keeps a descriptor or a mapping. */
int fe_set_up(void **state);
int fe_tear_down(void **state);
/* A new connection, after the old one has ended. */
void fe_connect_back_end(struct front_end *fe);
/* Turns the event loop until the back-end has nothing left to do. */
void fe_turn(struct front_end *fe);
/* Of guest memory in this process, the test's own mapping of MEM_BYTES included. */
uint64_t fe_mapped_bytes(void);

/* ---- messages: sent, and handled by the back-end on return ---- */

void fe_send_raw(struct front_end *fe, uint32_t request, uint32_t flags, const void *payload,
                 uint32_t size, const int *fds, size_t n_fds);
/* The well-formed ones, with one descriptor or -1. */
void fe_send_msg(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
                 int fd);
void fe_send_u64(struct front_end *fe, uint32_t request, uint64_t value, int fd);
void fe_send_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num);
/* Reads an answer; returns the bytes of its payload. */
uint32_t fe_get_answer(struct front_end *fe, uint32_t request, void *payload, uint32_t size);
uint64_t fe_ask_u64(struct front_end *fe, uint32_t request);
/* Sends with NEED_REPLY and returns the acknowledgement. */
uint64_t fe_ask_ack(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
                    int fd);

/* ---- steps of the start and stop ---- */

void fe_negotiate(struct front_end *fe);
struct vhost_user_mem_reg fe_whole_memory(struct front_end *fe);
void fe_add_memory(struct front_end *fe);
/* As a driver does it: zeroed memory, and a ring in it. */
void fe_make_ring(struct front_end *fe, uint32_t i);
struct vhost_user_vring_addr fe_ring_addr(struct front_end *fe, uint32_t i);
void fe_start_ring(struct front_end *fe, uint32_t i, uint16_t base);
/* Returns the ring's base. */
uint32_t fe_stop_ring(struct front_end *fe, uint32_t i);
/* Makes and starts both. */
void fe_start_rings(struct front_end *fe);
/* All of it, from negotiation to two running rings. */
void fe_start_driver(struct front_end *fe);

/* ---- requests on the control queue; a slot is a buffer for a request and one for its response
 * ---- */

void fe_queue_request(struct front_end *fe, uint32_t slot, const void *request, uint32_t size,
                      uint32_t response_size);
void fe_kick(struct front_end *fe);
/* Takes finished chains off the ring; returns how many. */
unsigned fe_take_used(struct front_end *fe);
/* Type of a slot's response. */
uint32_t fe_response(const struct front_end *fe, uint32_t slot);
extern const struct virtio_gpu_resource_create_2d fe_create_1;
/* Creates resource 1 and returns the response: an error if it is there. */
uint32_t fe_create_resource(struct front_end *fe);
/* True if the driver was notified since the last call. */
bool fe_called(struct front_end *fe);

#endif
