/* SPDX-License-Identifier: MIT */
/*
 * What the files of the device model (gpu_*.c) share, and nobody else sees. gpu_device.c takes
 * requests apart and answers; the handlers of commands are in gpu_2d.c, gpu_3d.c, gpu_blob.c,
 * gpu_scanout.c and gpu_query.c; gpu_fence.c holds back what waits for the GPU, gpu_gate.c what may
 * not use it yet.
 */
#ifndef ALIQUOT_RENDERER_GPU_INTERNAL_H
#define ALIQUOT_RENDERER_GPU_INTERNAL_H

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/renderer/gate.h"
#include "mediator/renderer/gpu_device.h"
#include "mediator/renderer/gpu_format.h"
#include "mediator/renderer/gpu_resource.h"
#include "mediator/renderer/id_table.h"
#include "mediator/renderer/latency.h"
#include "protocol/iov.h"

#define GPU_CAPSETS_MAX 16
/* Upper bound of gpu_limits.max_dimension: arithmetic on rows counts on it. */
#define GPU_MAX_DIMENSION 16384
/* Blobs that are mapped at a time. To QEMU each is a piece of the guest's memory, and at its 513th
 * piece QEMU aborts; the rest is for the guest's RAM. */
#define GPU_MAPPINGS_MAX 480
#define GPU_PAGE_BYTES 4096u /* blobs and their places are multiples of it */

/* ---- commands -------------------------------------------------------------------------------- */

/* The fixed part of a request, copied out of guest memory. */
union gpu_request {
    struct virtio_gpu_ctrl_hdr hdr;
    struct virtio_gpu_update_cursor cursor;
    struct virtio_gpu_resource_create_2d create_2d;
    struct virtio_gpu_resource_unref unref;
    struct virtio_gpu_set_scanout set_scanout;
    struct virtio_gpu_resource_flush flush;
    struct virtio_gpu_transfer_to_host_2d transfer_2d;
    struct virtio_gpu_resource_attach_backing attach;
    struct virtio_gpu_resource_detach_backing detach;
    struct virtio_gpu_get_capset_info capset_info;
    struct virtio_gpu_get_capset capset;
    struct virtio_gpu_cmd_get_edid get_edid;
    struct virtio_gpu_resource_assign_uuid uuid;
    struct virtio_gpu_ctx_create ctx_create;
    struct virtio_gpu_ctx_resource ctx_resource;
    struct virtio_gpu_resource_create_3d create_3d;
    struct virtio_gpu_transfer_host_3d transfer_3d;
    struct virtio_gpu_cmd_submit submit;
    struct virtio_gpu_resource_create_blob create_blob;
    struct virtio_gpu_resource_map_blob map_blob;
    struct virtio_gpu_resource_unmap_blob unmap_blob;
    struct virtio_gpu_set_scanout_blob set_scanout_blob;
};

struct gpu_call {
    struct gpu_cmd *cmd;
    union gpu_request req;
    struct iov_cursor rest; /* what follows the fixed part */
};

/* Runs a command. Returns the response type, which the caller sends without data, or GPU_ANSWERED
 * if it has called gpu_answer() itself, or GPU_WAITS if cmd is now dev->blocked, or kept elsewhere
 * until somebody answers; only the former holds up the queue. */
typedef uint32_t gpu_handler(struct gpu_device *dev, struct gpu_call *call);
#define GPU_ANSWERED 0u
#define GPU_WAITS 1u

gpu_handler gpu_cmd_resource_create_2d, gpu_cmd_resource_unref, gpu_cmd_transfer_to_host_2d,
    gpu_cmd_attach_backing, gpu_cmd_detach_backing, gpu_cmd_assign_uuid;
gpu_handler gpu_cmd_get_capset_info, gpu_cmd_get_capset, gpu_cmd_ctx_create, gpu_cmd_ctx_destroy,
    gpu_cmd_ctx_attach, gpu_cmd_ctx_detach, gpu_cmd_resource_create_3d, gpu_cmd_transfer_to_host_3d,
    gpu_cmd_transfer_from_host_3d, gpu_cmd_submit_3d;
gpu_handler gpu_cmd_get_display_info, gpu_cmd_get_edid, gpu_cmd_set_scanout, gpu_cmd_resource_flush,
    gpu_cmd_update_cursor, gpu_cmd_move_cursor, gpu_cmd_set_scanout_blob;
gpu_handler gpu_cmd_resource_create_blob, gpu_cmd_resource_map_blob, gpu_cmd_resource_unmap_blob;

/* A row of the table of commands. */
struct gpu_cmd_row {
    const struct virtio_gpu_cmd_info *info; /* NULL: no such command */
    gpu_handler *handler;                   /* NULL: known, not offered */
    bool needs_ctx;                         /* hdr.ctx_id must name a context */
    bool uses_gpu;                          /* runs under the lease */
    uint64_t features;                      /* that must be negotiated */
};
#define GPU_CMD_GROUPS 3 /* 0x01xx 2D, 0x02xx 3D, 0x03xx cursor */
#define GPU_CMD_GROUP_ROWS 16

/* ---- the device ------------------------------------------------------------------------------ */

struct gpu_capset {
    uint32_t id, max_version, max_size;
};

struct gpu_context {
    uint32_t id;
    /* Venus: other processes work for it. The Vulkan layer in them takes the lease and counts their
     * memory, and nothing that the backend finishes says anything about them. */
    bool vulkan;
};

/* A blob in the host-visible region. */
struct gpu_mapping {
    uint32_t resource_id, map_info;
    uint64_t offset, bytes;
    struct gpu_cmd *cmd; /* owned; the MAP_BLOB that waits for the mapping to be there; NULL = is */
};

/* Half-open; empty while x0 == x1. */
struct gpu_damage {
    uint32_t x0, y0, x1, y1;
};

struct gpu_scanout {
    uint32_t resource_id;     /* 0 = off */
    struct virtio_gpu_rect r; /* part of the resource that is shown */
    bool dmabuf;              /* the display shows it by itself and only hears of changes */
    struct {
        uint32_t width, height, format, stride;
        uint64_t offset; /* of the first row, in bytes */
    } blob;              /* how the resource is to be read, if it is a blob; width 0 = it is none */
    struct gpu_damage damage; /* not sent yet, relative to r */
    uint32_t cursor_resource; /* 0 = hidden */
    bool cursor_due;          /* its picture is to be read when the lease is there */
    uint32_t cursor_x, cursor_y, hot_x, hot_y;
};

struct gpu_device {
    const struct gpu_device_ops *ops; /* borrowed */
    void *opaque;
    struct backend *backend; /* borrowed */
    struct gpu_limits limits;
    struct broker_stats *stats; /* borrowed */
    struct work_ring *ring;     /* borrowed; NULL = there is no trace */

    struct gpu_cmd_row rows[GPU_CMD_GROUPS][GPU_CMD_GROUP_ROWS];
    struct gpu_capset capsets[GPU_CAPSETS_MAX];
    uint32_t n_capsets;
    uint64_t features; /* negotiated */
    uint32_t events_read;

    struct id_table resources;   /* of struct gpu_resource, owned */
    struct id_table contexts;    /* of struct gpu_context, owned */
    uint64_t total_bytes;        /* charged for resources and their backing */
    struct layer_memory *memory; /* borrowed; where it counts with Vulkan's; NULL = nowhere */
    uint32_t n_vulkan;           /* contexts that are */
    uint64_t hostmem_bytes;      /* of the host-visible region */
    struct gpu_mapping mappings[GPU_MAPPINGS_MAX]; /* in no order */
    uint32_t n_mappings;
    struct gpu_cmd *unmapping; /* owned list: UNMAP_BLOBs that wait for their end */
    uint8_t *submit_buf;       /* owned; copy of a SUBMIT_3D, kept for the next one */
    size_t submit_capacity;

    uint32_t n_scanouts;
    bool dmabuf;            /* of the configuration: scan-outs by dma-buf are allowed */
    uint32_t width, height; /* of scan-out 0 by our own tables */
    struct gpu_scanout scanouts[VIRTIO_GPU_MAX_SCANOUTS];
    struct gpu_display *display; /* borrowed, NULL = none */
    uint8_t *band;               /* owned; pixels on their way to the display */
    uint32_t next_scanout;       /* the first to be served when the display has room */
    struct gpu_cmd *blocked;     /* owned; waits for the display's answer, or the gate (gated) */
    uint32_t blocked_scanout;    /* that a blocked GET_EDID asks about */
    bool asking;                 /* inside the display's get_…: no resume is due */
    bool told_own_info;          /* the driver knows the modes of our own tables */

    struct gpu_fence_queue *fence_queue; /* borrowed */
    struct gpu_cmd *pending;             /* owned; wait for a fence, oldest first */
    struct gpu_cmd **pending_tail;
    uint32_t in_flight; /* length of pending */
    uint32_t on_vulkan; /* of them, on timelines of Vulkan contexts */
    uint64_t fence_seq; /* the last one given out */
    bool defer_fences;
    struct gpu_cmd *unasked; /* the first of pending that the backend was not asked for */
    unsigned settle_skip;    /* how often not to wait in gpu_device_settle() */

    struct gate *gate;    /* borrowed; NULL = none */
    bool gated;           /* blocked waits for the gate */
    bool dirty;           /* work was submitted that the backend was asked for no fence of */
    bool covering;        /* cover is pending */
    struct gpu_cmd cover; /* a fence without a command: all work of the burst is complete */
    uint64_t draw_ns;     /* what a draw takes in streams that are cut */
    struct {
        uint8_t *buf; /* owned; NULL = none */
        size_t bytes, done;
    } partial; /* the stream of blocked, halfway */
};

/* Counters have one writer, so a relaxed load and store make an addition. */
static inline void gpu_stat_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void gpu_stat_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline bool gpu_has_feature(const struct gpu_device *dev, unsigned bit)
{
    return dev->features >> bit & 1;
}

/* Writes the response: header with the fence's fields, then len bytes of data. A response area that
 * is too small gets nothing. To be followed by gpu_finish(), which the dispatcher does. */
void gpu_answer(struct gpu_device *dev, struct gpu_cmd *cmd, uint32_t type, const void *data,
                size_t len);

/* The answer is written: completes the command now, or when its fence is done. */
void gpu_finish(struct gpu_device *dev, struct gpu_cmd *cmd, bool succeeded);
/* The same where the backend took no fence. */
void gpu_finish_unfenced(struct gpu_device *dev, struct gpu_cmd *cmd);
void gpu_complete(struct gpu_device *dev, struct gpu_cmd *cmd);

/* Counts an input that was refused for which there is no response. */
void gpu_reject(struct gpu_device *dev, const char *what, const char *why);

/* The response type that says what a backend's errno means. */
uint32_t gpu_response_from_errno(int r);

/* ---- fences (gpu_fence.c) -------------------------------------------------------------------- */

/* The command's fence, if it has one, belongs on a timeline of its context. */
static inline bool gpu_fence_is_per_context(const struct gpu_device *dev, const struct gpu_cmd *cmd)
{
    const uint32_t both = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;

    return (cmd->hdr.flags & both) == both && gpu_has_feature(dev, VIRTIO_GPU_F_CONTEXT_INIT);
}

/* Holds cmd until the work submitted so far is done; cmd may be complete on return. On error the
 * device still owns it. */
int gpu_fence_start(struct gpu_device *dev, struct gpu_cmd *cmd);
/* Before more work is submitted: asks the backend for the fences that were deferred. */
void gpu_fence_ask(struct gpu_device *dev);
/* Completes what waits on a context's timelines: the context goes away. */
void gpu_fence_context_gone(struct gpu_device *dev, uint32_t ctx_id);
/* Completes all in order and forgets what the backend has reported. */
void gpu_fence_reset(struct gpu_device *dev);

/* ---- blobs (gpu_blob.c) ---------------------------------------------------------------------- */

/* Answers what waits for the front-end, and forgets all mappings. */
void gpu_mappings_clear(struct gpu_device *dev);

/* ---- the lease (gpu_gate.c) ------------------------------------------------------------------ */

void gpu_gate_attach(struct gpu_device *dev, struct gate *gate); /* borrowed; NULL = none */
void gpu_gate_detach(struct gpu_device *dev);
/* Whether work may be put on the GPU now. False: ops->resume, or the blocked command with gated,
 * gets its turn later. */
bool gpu_gate_enter(struct gpu_device *dev);
/* Work may have ended: gives the lease back if all has. */
void gpu_gate_check(struct gpu_device *dev);
/* There is nothing more to handle now, or may not be: sees to it that the end of what is under way
 * is heard of. */
void gpu_gate_cover(struct gpu_device *dev);
/* True if cmd is the device's own fence and needs no answer. */
bool gpu_gate_fence_done(struct gpu_device *dev, const struct gpu_cmd *cmd);
void gpu_gate_reset(struct gpu_device *dev);
/* Submits the stream from *done on, cut where others wait, and moves *done: 0, or -EAGAIN if the
 * rest has to wait (as gpu_gate_enter()), or the backend's error. */
int gpu_submit(struct gpu_device *dev, uint32_t ctx_id, uint8_t *stream, size_t bytes,
               size_t *done);
/* The same for the command whose stream is dev->partial; answers it if all is submitted. */
void gpu_submit_continue(struct gpu_device *dev, struct gpu_cmd *cmd);

/* ---- contexts (gpu_3d.c) --------------------------------------------------------------------- */

static inline struct gpu_context *gpu_context_get(const struct gpu_device *dev, uint32_t id)
{
    return id_table_get(&dev->contexts, id);
}
void gpu_contexts_clear(struct gpu_device *dev);
/* True if id names a context of Vulkan. */
static inline bool gpu_context_is_vulkan(const struct gpu_device *dev, uint32_t id)
{
    const struct gpu_context *ctx = gpu_context_get(dev, id);

    return ctx && ctx->vulkan;
}

/* ---- scan-outs (gpu_scanout.c) --------------------------------------------------------------- */

void gpu_scanouts_clear(struct gpu_device *dev);
/* The resource goes away: what shows it is switched off. */
void gpu_scanout_resource_gone(struct gpu_device *dev, struct gpu_resource *res);
/* The lease is there: reads what waited for it. */
void gpu_scanouts_opened(struct gpu_device *dev);
/* The display has been replaced: tells it what is shown. */
void gpu_scanouts_announce(struct gpu_device *dev);

/* True if the rectangle lies inside width × height; never wraps. */
static inline bool gpu_rect_inside(const struct virtio_gpu_rect *r, uint32_t width, uint32_t height)
{
    return range_inside(r->x, r->width, width) && range_inside(r->y, r->height, height);
}

#endif
