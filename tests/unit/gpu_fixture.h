/* SPDX-License-Identifier: MIT */
/*
 * A virtio-gpu device for unit tests: the device model over the null backend, with guest memory, a
 * display and fences that the test controls. Requests are written as wire structs and handed over
 * in pieces.
 */
#ifndef ALIQUOT_TESTS_GPU_FIXTURE_H
#define ALIQUOT_TESTS_GPU_FIXTURE_H

#include "mediator/renderer/gpu_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#define FIXTURE_GPA 0x10000ull        /* of the first region */
#define FIXTURE_REGION_BYTES 0x40000u /* two of them, next to each other in the guest only */
#define FIXTURE_RESPONSE_BYTES 2048u
#define NO_RESPONSE UINT32_MAX /* given back with length 0 */
#define NOT_COMPLETE (UINT32_MAX - 1)
#define FIXTURE_LOG 64
#define FIXTURE_HOSTMEM_BYTES 0x1000000u

struct fixture_fence {
    bool per_context;
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
};

enum fixture_display_call {
    CALL_INFO = 1,
    CALL_EDID,
    CALL_SCANOUT,
    CALL_UPDATE,
    CALL_DMABUF_SCANOUT,
    CALL_DMABUF_UPDATE,
    CALL_CURSOR_UPDATE,
    CALL_CURSOR_MOVE,
};

/* What the device asked the front-end for; to be answered by gpu_device_shmem_done(cmd). */
struct fixture_shmem_call {
    bool map;
    ino_t ino; /* of what is to be shown */
    uint64_t fd_offset, offset, bytes;
    struct gpu_cmd *cmd;
};

struct fixture_display_event {
    enum fixture_display_call call;
    uint32_t scanout_id, x, y, w, h; /* cursor: w, h = hot spot, or w = visible */
    uint32_t first_pixel, last_pixel;
};

struct fixture {
    struct gpu_device *dev;
    struct gpu_fence_queue *queue;
    struct backend *backend;
    struct backend_ops ops; /* the null backend's, for a test to change */
    struct broker_stats stats;

    uint8_t *regions[2];
    unsigned refs; /* references to guest memory that are held */

    _Alignas(8) uint8_t response[FIXTURE_RESPONSE_BYTES];
    uint32_t response_bytes; /* room that requests get; FIXTURE_RESPONSE_BYTES at first */
    enum virtio_gpu_queue queue_index;
    unsigned handled, completed;
    uint32_t last_len;
    uint64_t order[FIXTURE_LOG]; /* fence ids of the requests, as completed */
    unsigned resumed, config_changes;
    void (*on_flush)(struct fixture *f); /* NULL: nothing */
    bool go_on;                          /* what gpu_device_handle() said last */

    bool hold_fences; /* record fences instead of finishing them */
    struct fixture_fence fences[FIXTURE_LOG];
    unsigned n_fences;
    int fence_result, submit_result, create_result, back_result;
    int finish_result; /* what backend finish() says */
    unsigned n_finish;
    uint8_t submitted[64];
    size_t submitted_bytes;
    struct gate *gate;      /* borrowed, NULL = none; taken up by fixture_make_device() */
    struct work_ring *ring; /* likewise */
    bool by_copy;           /* taken up by fixture_make_device() */
    bool has_venus;         /* a capset more; taken up by fixture_make_device() */
    bool has_dmabuf;

    struct fixture_shmem_call shmem_calls[FIXTURE_LOG];
    unsigned n_shmem_calls, n_shmem_clears;
    int shmem_result; /* what the transport says at once */

    struct gpu_display display;
    struct fixture_display_event events[FIXTURE_LOG];
    unsigned n_events, room; /* updates that the display takes */
    bool can_ask, takes_dmabuf, answers_at_once;
    struct virtio_gpu_resp_display_info info; /* for answers_at_once */
};

/* cmocka's set-up and tear-down; the latter checks that nothing is left over. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_make_device(struct fixture *f, const struct gpu_limits *limits, uint32_t scanouts);

/* A pointer into guest memory. */
uint8_t *fixture_ram(struct fixture *f, uint64_t gpa);

/* Handles a request; its header is filled in but for flags, fence and context. Returns the type of
 * the response, NO_RESPONSE or NOT_COMPLETE. */
uint32_t fixture_send(struct fixture *f, uint32_t type, void *request, size_t len);
#define SEND(f, type, ptr) fixture_send((f), (type), (ptr), sizeof(*(ptr)))

/* Type of what is in f->response. */
uint32_t fixture_response(const struct fixture *f);

/* Usual steps; each checks that it succeeds. */
void fixture_create_2d(struct fixture *f, uint32_t id, uint32_t w, uint32_t h);
void fixture_attach(struct fixture *f, uint32_t id, uint64_t gpa, uint32_t len);
void fixture_fill(struct fixture *f, uint32_t id, uint32_t w, uint32_t h, uint32_t pixel);
void fixture_create_ctx(struct fixture *f, uint32_t id);
/* For Venus; has_venus must be. */
void fixture_create_vulkan_ctx(struct fixture *f, uint32_t id);
uint32_t fixture_flush(struct fixture *f, uint32_t id, uint32_t x, uint32_t y, uint32_t w,
                       uint32_t h);
uint32_t fixture_set_scanout(struct fixture *f, uint32_t scanout, uint32_t id, uint32_t x,
                             uint32_t y, uint32_t w, uint32_t h);
void fixture_fence_done(struct fixture *f, const struct fixture_fence *fence);

#define REJECTED(f) ((unsigned)atomic_load(&(f)->stats.rejected))

#endif
