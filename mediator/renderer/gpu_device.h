/* SPDX-License-Identifier: MIT */
/*
 * The virtio-gpu device model: commands in, responses out, over any backend.
 *
 * It knows neither virtqueues nor sockets. Whoever owns the transport (vhost_backend.c) pops
 * requests, wraps each in a struct gpu_cmd and hands it to gpu_device_handle(); the device answers
 * through ops->complete, at once or later (a fence; a display that has to be asked). The display is
 * a second peer behind struct gpu_display_ops, absent when no front-end gave one.
 *
 * One thread. fence_done of the backend may come from another: gpu_device.c puts it into a queue
 * and raises gpu_device_event_fd(), and the owner calls gpu_device_dispatch() when it is readable.
 */
#ifndef ALIQUOT_RENDERER_GPU_DEVICE_H
#define ALIQUOT_RENDERER_GPU_DEVICE_H

#include "mediator/renderer/backend.h"
#include "protocol/broker.h"
#include "protocol/virtio_gpu.h"
#include "protocol/vring.h"

#include <stdbool.h>
#include <stdint.h>

struct gate;
struct gpu_device;
struct gpu_display;

/* One request on its way. Made by the transport, which owns it and frees it in complete(). */
struct gpu_cmd {
    enum virtio_gpu_queue queue;
    struct vring_chain chain;       /* owned */
    struct virtio_gpu_ctrl_hdr hdr; /* the device's copy of the request's header */
    /* for the device alone: */
    struct gpu_cmd *next;  /* owned by the device's list of waiting fences */
    uint32_t response_len; /* bytes written to the chain's writable part */
    uint64_t fence_seq;
    bool succeeded;    /* what its answer says */
    bool on_vulkan;    /* its fence is on a timeline of a Vulkan context */
    uint64_t taken_ns; /* SUBMIT_3D of OpenGL: when it was taken up (latency.h); else 0 */
};

/* Memory to be shown in the host-visible region. */
struct gpu_shmem_map {
    int fd; /* borrowed for the call */
    uint64_t fd_offset;
    uint64_t offset; /* in the region */
    uint64_t bytes;
};

struct gpu_device_ops {
    /* The command is answered: give the chain back with cmd->response_len, free cmd. */
    void (*complete)(void *opaque, struct gpu_cmd *cmd);
    /* The GPU is about to be given to others: tell the driver now of what has been completed. NULL:
     * it has been told. */
    void (*flush)(void *opaque);
    /* Configuration space (events_read) has changed: tell the driver. */
    void (*config_changed)(void *opaque);
    /* A control-queue command that was blocked is done: go on popping. */
    void (*resume)(void *opaque);
    /* Guest memory. The region under a translated pointer stays mapped until guest_unref: backing
     * outlives a table update. Translates like vring_translate_fn and takes a reference that
     * *ret_ref names. NULL: not mapped. */
    void *(*guest_ref)(void *opaque, uint64_t gpa, uint64_t *len, void **ret_ref);
    void (*guest_unref)(void *opaque, void *ref);
    /* The host-visible region; all NULL where there is none. Ask for memory to be shown in it, or
     * not to be shown any more: 1, it is done; 0, and gpu_device_shmem_done(cmd) comes later and
     * not from inside; or a negative errno, and nothing has changed (an unmap may leave the memory
     * shown, where nobody can be asked any more). What was asked for first is done first. */
    int (*shmem_map)(void *opaque, const struct gpu_shmem_map *map, struct gpu_cmd *cmd);
    int (*shmem_unmap)(void *opaque, uint64_t offset, uint64_t bytes, struct gpu_cmd *cmd);
    /* Nothing is to be shown any more, and the device waits for no answer. */
    void (*shmem_clear)(void *opaque);
};

/* Bounds, each with a default that suits a desktop guest (gpu_limits_default). */
struct gpu_limits {
    uint32_t max_resources;       /* 65 536 */
    uint32_t max_contexts;        /* 1 024 */
    uint32_t max_backing_entries; /* of one resource: 262 144 (1 GiB of single pages) */
    uint32_t max_submit_bytes;    /* of one SUBMIT_3D: 16 MiB */
    uint32_t max_dimension;       /* texels on a side: 16 384 */
    uint64_t max_resource_bytes;  /* of one resource: 1 GiB */
    uint64_t max_total_bytes;     /* of all: 4 GiB */
};
extern const struct gpu_limits gpu_limits_default;

struct layer_memory;

struct gpu_device_config {
    const struct gpu_device_ops *ops; /* borrowed */
    void *opaque;
    struct backend *backend; /* borrowed; its events must be gpu_device_backend_events */
    struct gpu_limits limits;
    uint32_t scanouts;      /* 0 … VIRTIO_GPU_MAX_SCANOUTS */
    bool dmabuf;            /* scan-outs by dma-buf where backend and display can; else by copy */
    uint32_t width, height; /* of scan-out 0 where no display says */
    uint64_t hostmem_bytes; /* of the host-visible region; 0 = there is none */
    struct broker_stats *stats; /* borrowed, never NULL */
    struct work_ring *ring;     /* of the trace; borrowed; NULL = there is none */
    struct gate *gate;          /* the lease; borrowed; NULL = work needs none */
    /* What this device takes of the vGPU's memory is counted there too; borrowed; NULL = it is all
     * that the vGPU has. */
    struct layer_memory *memory;
};

int gpu_device_create(const struct gpu_device_config *config, struct gpu_device **ret);
void gpu_device_destroy(struct gpu_device *dev);

/* fence_done of the backend, with the device as opaque: set these in backend_config. The device is
 * made after the backend, so the backend gets a struct gpu_fence_queue first. */
struct gpu_fence_queue;
int gpu_fence_queue_create(struct gpu_fence_queue **ret);
void gpu_fence_queue_destroy(struct gpu_fence_queue *q);
extern const struct backend_events gpu_fence_queue_events; /* opaque = struct gpu_fence_queue * */
void gpu_device_set_fence_queue(struct gpu_device *dev, struct gpu_fence_queue *q); /* borrowed */

/* virtio-gpu feature bits this device offers (VIRGL, EDID, RESOURCE_UUID, RESOURCE_BLOB,
 * CONTEXT_INIT), and what the driver took. */
uint64_t gpu_device_features(const struct gpu_device *dev);
void gpu_device_set_features(struct gpu_device *dev, uint64_t features);

/* Configuration space. Offset and length are checked: false = outside. Writes reach events_clear
 * alone. */
bool gpu_device_config_read(struct gpu_device *dev, uint32_t offset, void *dst, uint32_t len);
bool gpu_device_config_write(struct gpu_device *dev, uint32_t offset, const void *src,
                             uint32_t len);

/*
 * Handles one request; ownership of cmd passes to the device until ops->complete.
 * Returns true if the control queue may go on at once, false if it has to wait for ops->resume
 * (the display was asked, or the GPU is another vGPU's): the command is then blocked.
 */
bool gpu_device_handle(struct gpu_device *dev, struct gpu_cmd *cmd);

/* What ops->shmem_map or shmem_unmap was asked for with cmd is done, or failed (negative errno). */
void gpu_device_shmem_done(struct gpu_device *dev, struct gpu_cmd *cmd, int result);

/* Takes back the command that is blocked, unanswered (the ring is being stopped; it will be popped
 * again); NULL if none is, or it is halfway done. */
struct gpu_cmd *gpu_device_take_blocked(struct gpu_device *dev);
bool gpu_device_is_halfway(const struct gpu_device *dev);
/* For who waits for commands without the event loop: gpu_device_gate_dispatch() before each look at
 * the descriptor (-1 = none), which becomes readable. */
int gpu_device_gate_fd(const struct gpu_device *dev);
void gpu_device_gate_dispatch(struct gpu_device *dev);

/* Readable when fences are done. gpu_device_dispatch() completes their commands. */
int gpu_device_event_fd(const struct gpu_device *dev);
void gpu_device_dispatch(struct gpu_device *dev);

/* For a transport that knows when the driver has nothing more to do: from now on the backend is not
 * asked for fences at once, but before the next command, or by gpu_device_settle(). */
void gpu_device_defer_fences(struct gpu_device *dev);
/* Ends that. Nothing more is there to handle, so it waits itself for the GPU, for a millisecond at
 * most and until more(opaque) says that there is something: a fence that another thread reports
 * takes two wake-ups more. more = NULL: does not wait. */
void gpu_device_settle(struct gpu_device *dev, bool (*more)(void *opaque), void *opaque);

/* Nobody else waits for the GPU, and all that was submitted is done: a transport may use the
 * processor to look for more. */
bool gpu_device_is_at_leisure(const struct gpu_device *dev);

/* Commands that wait for a fence. */
uint32_t gpu_device_in_flight(const struct gpu_device *dev);

/* The driver started anew: all contexts, resources, scan-outs are dropped. Commands in flight are
 * completed first, in order, without effect on the guest beyond the ring. */
void gpu_device_reset(struct gpu_device *dev);

/* ---- the display ---------------------------------------------------------------------------- */

/*
 * The vhost-user-gpu display socket, or a fake one in unit tests. Calls never block: what can't be
 * sent is kept (bounded; updates of one scan-out merge).
 */
struct gpu_display_ops {
    /* Ask; the answer comes by gpu_device_display_info()/_edid(). False: no way to ask, answer
     * from the device's own tables. */
    bool (*get_display_info)(struct gpu_display *d);
    bool (*get_edid)(struct gpu_display *d, uint32_t scanout_id);
    void (*scanout)(struct gpu_display *d, uint32_t scanout_id, uint32_t w, uint32_t h);
    /* Pixels as backend read_pixels gives them, rows tight. Copied before it returns. */
    void (*update)(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y, uint32_t w,
                   uint32_t h, const void *pixels);
    /* True if a dma-buf can be shown; fd is borrowed. */
    bool (*dmabuf_scanout)(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                           uint32_t w, uint32_t h, const struct backend_dmabuf *buf);
    void (*dmabuf_update)(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                          uint32_t w, uint32_t h);
    void (*cursor_update)(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                          uint32_t hot_x, uint32_t hot_y, const uint32_t *argb_64x64);
    void (*cursor_move)(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                        bool visible);
    /* Room for another update? If not, the device collects damage and sends it after
     * gpu_device_display_ready(). */
    bool (*ready)(struct gpu_display *d);
};

struct gpu_display {
    const struct gpu_display_ops *ops;
};

/* Borrowed until replaced; NULL = none. */
void gpu_device_set_display(struct gpu_device *dev, struct gpu_display *display);
/* Answers of the display; info and edid are its answers, already bounded copies; NULL = it failed,
 * answer from the device's own tables. */
void gpu_device_display_info(struct gpu_device *dev,
                             const struct virtio_gpu_resp_display_info *info);
void gpu_device_display_edid(struct gpu_device *dev, const struct virtio_gpu_resp_edid *edid);
void gpu_device_display_ready(struct gpu_device *dev);

#endif
