/* SPDX-License-Identifier: MIT */
/*
 * What the virtio-gpu device model asks of whoever draws.
 *
 * Two implementations: `virgl` (virglrenderer on an EGL of our own) and `null` (keeps 2D pixels in
 * plain memory, accepts all 3D, draws nothing; needs no GPU stack). The device model has checked
 * what virtio-gpu itself defines before it calls: ids exist, sizes are within limits, boxes of
 * classic resources lie inside them, command buffers are private 8-byte-aligned copies. What only
 * the backend can know (formats, stream contents) the backend checks, and answers with an errno.
 *
 * All calls come from the renderer's main thread. The one event, fence_done, may be called from any
 * thread, also inside fence().
 */
#ifndef ALIQUOT_RENDERER_BACKEND_H
#define ALIQUOT_RENDERER_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct backend;
struct eventcount;

/* Classic resource, as RESOURCE_CREATE_3D has it; RESOURCE_CREATE_2D is target 2 (2D texture),
 * depth, array_size 1, bind render target, flags Y_0_TOP. Formats are virtio-gpu/virgl formats. */
struct backend_resource_args {
    uint32_t id;
    uint32_t target, format, bind;
    uint32_t width, height, depth, array_size;
    uint32_t last_level, nr_samples, flags;
};

struct backend_box {
    uint32_t x, y, z, w, h, d; /* texels; bytes for buffers */
};

struct backend_transfer {
    uint32_t ctx_id; /* 0 = none */
    uint32_t resource_id;
    uint32_t level;
    uint32_t stride, layer_stride; /* bytes, in the backing; 0 = tight */
    uint64_t offset;               /* bytes, into the backing */
    struct backend_box box;
};

/* RESOURCE_CREATE_BLOB. The device model has checked mem and flags (VIRTIO_GPU_BLOB_MEM_…,
 * VIRTIO_GPU_BLOB_FLAG_…), that bytes is a multiple of pages and within limits, and that the
 * context exists; which blob_id means what, only the backend knows. */
struct backend_blob_args {
    uint32_t id;
    uint32_t ctx_id; /* 0 = none: guest memory alone */
    uint32_t mem, flags;
    uint64_t blob_id;
    uint64_t bytes;
    struct iovec *iov; /* guest memory; borrowed until resource_unback or resource_destroy */
    uint32_t iov_count;
};

/* How another process sees a blob's memory. */
struct backend_blob_map {
    int fd;            /* the caller's to close; at least offset + the blob's bytes long */
    uint64_t offset;   /* where the blob begins in it, a multiple of pages */
    uint32_t map_info; /* VIRTIO_GPU_MAP_CACHE_… */
};

struct backend_dmabuf {
    int fd; /* the caller's to close */
    uint32_t width, height, stride, offset;
    uint32_t fourcc;
    uint64_t modifier;
    bool y_0_top;
};

struct backend_events {
    /* The work behind fence(…, fence_id) is complete; on one (ctx_id, ring) so is all that was
     * fenced before it. ctx_id and ring are those given to fence(). */
    void (*fence_done)(void *opaque, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id);
};

/* Which of the processes that use a GPU its driver lets go first, where it can. */
enum backend_priority { BACKEND_PRIORITY_LOW, BACKEND_PRIORITY_MEDIUM, BACKEND_PRIORITY_HIGH };
#define BACKEND_PRIORITIES (BACKEND_PRIORITY_HIGH + 1)
/* "low", "medium", "high". */
static inline const char *backend_priority_name(enum backend_priority priority)
{
    static const char *const names[BACKEND_PRIORITIES] = {
        [BACKEND_PRIORITY_LOW] = "low",
        [BACKEND_PRIORITY_MEDIUM] = "medium",
        [BACKEND_PRIORITY_HIGH] = "high",
    };
    return names[priority];
}

enum backend_vulkan {
    BACKEND_VULKAN_OFF,
    BACKEND_VULKAN_AUTO, /* where it works */
    BACKEND_VULKAN_ON,   /* or nothing works */
};

struct backend_config {
    const char *gpu;                     /* "software", or a render node's path, "auto" */
    const struct backend_events *events; /* borrowed for the backend's life */
    void *opaque;
    enum backend_priority priority;
    enum backend_vulkan vulkan;
    int layer_fd;          /* with Vulkan: for its layer (protocol/layer.h); borrowed for the
                              backend's life; -1 = none */
    bool vulkan_must_gate; /* no Vulkan without the layer */
    /* Likewise: is told of contexts whose worker has ended; borrowed; NULL = nobody is. */
    struct eventcount *completions;
};

/* What things cost in host memory besides their texels, measured on llvmpipe; it is charged to the
 * vGPU. Drivers differ, so it is an estimate, and the process has a hard limit behind it. */
struct backend_memory {
    uint32_t row_align;      /* bytes, a power of two: rows of textures are rounded up to it */
    uint32_t resource_bytes; /* of each resource */
    uint32_t context_bytes;  /* of each context */
};

struct backend_ops {
    const char *name;
    bool has_3d; /* offers VIRTIO_GPU_F_VIRGL, has capsets */
    struct backend_memory memory;

    /* Brings the GPU up. On failure *ret_error is a sentence for the operator (static or leaked
     * once), and the result a negative errno. */
    int (*create)(const struct backend_config *config, struct backend **ret,
                  const char **ret_error);
    void (*destroy)(struct backend *b);
    /* Drops all contexts and resources and forgets fences, without calling fence_done for them:
     * the driver starts anew. */
    void (*reset)(struct backend *b);
    /* One line that says what draws, for list and log: "virgl on llvmpipe (…)". */
    const char *(*describe)(struct backend *b);

    /* index 0 … count-1. */
    uint32_t (*capset_count)(struct backend *b);
    int (*capset_info)(struct backend *b, uint32_t index, uint32_t *ret_id,
                       uint32_t *ret_max_version, uint32_t *ret_max_size);
    /* Fills buf, of the max_size that capset_info gave. -EINVAL: unknown id or version. */
    int (*capset)(struct backend *b, uint32_t id, uint32_t version, void *buf, size_t size);

    /* capset_id 0 = the default (virgl). */
    int (*ctx_create)(struct backend *b, uint32_t ctx_id, uint32_t capset_id, const char *name,
                      size_t name_len);
    void (*ctx_destroy)(struct backend *b, uint32_t ctx_id);
    int (*ctx_attach)(struct backend *b, uint32_t ctx_id, uint32_t resource_id);
    void (*ctx_detach)(struct backend *b, uint32_t ctx_id, uint32_t resource_id);

    int (*resource_create)(struct backend *b, const struct backend_resource_args *args);
    void (*resource_destroy)(struct backend *b, uint32_t resource_id);
    /* The iovecs are borrowed until resource_unback or resource_destroy. */
    int (*resource_back)(struct backend *b, uint32_t resource_id, struct iovec *iov,
                         uint32_t iov_count);
    void (*resource_unback)(struct backend *b, uint32_t resource_id);

    /* Blobs are resources for all of the above. -EINVAL: no such blob_id, or not of that context or
     * size. NULL: the backend has no blobs. */
    int (*blob_create)(struct backend *b, const struct backend_blob_args *args);
    /* -EOPNOTSUPP: this blob can't be mapped. */
    int (*blob_map)(struct backend *b, uint32_t resource_id, struct backend_blob_map *ret);

    /* Between the resource and its backing. -EINVAL where the box or strides do not fit. */
    int (*transfer_to_host)(struct backend *b, const struct backend_transfer *t);
    int (*transfer_from_host)(struct backend *b, const struct backend_transfer *t);

    /* buf: private copy, 4-byte aligned, a multiple of 4 bytes. */
    int (*submit)(struct backend *b, uint32_t ctx_id, void *buf, size_t bytes);

    /* How much of a stream, in bytes, is a piece with that many draws: submitting one piece after
     * the other is the same as the whole. NULL: streams can't be cut. */
    size_t (*stream_piece)(const void *buf, size_t bytes, uint32_t draws);

    /* Asks for fence_done(ctx_id, ring_idx, fence_id) when all work submitted so far is complete
     * on the GPU. per_context: on the timeline (ctx_id, ring_idx), else the one of the device, for
     * which fence_id grows with each call and stays below 2^31. */
    int (*fence)(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                 uint64_t fence_id);

    /* Starts what was submitted, and waits for it for no longer than timeout_us: 1 if all of it is
     * complete on the GPU, 0 if not yet, -EAGAIN if only a fence can tell just now. The shorter way
     * than fence() for who has nothing else to do meanwhile. NULL: the backend has none. */
    int (*finish)(struct backend *b, unsigned timeout_us);

    /* Copies level 0 of a 2D resource, as 32 bits a pixel in memory order B G R X, top row first,
     * to dst with stride bytes a row. The rectangle lies inside. */
    int (*read_pixels)(struct backend *b, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w,
                       uint32_t h, void *dst, uint32_t stride);
    /* A dma-buf of the resource for the display; -EOPNOTSUPP where the GPU can't. */
    int (*export_dmabuf)(struct backend *b, uint32_t resource_id, struct backend_dmabuf *ret);

    /* Whenever event_fd is readable the main thread has to call dispatch, or fences stop: results
     * of queries are fetched there. The descriptor is the backend's and stays the same for its
     * life. Both NULL where the backend needs no such help. */
    int (*event_fd)(struct backend *b);
    void (*dispatch)(struct backend *b);
};

/* Every implementation starts with this. */
struct backend {
    const struct backend_ops *ops;
};

extern const struct backend_ops backend_null;
extern const struct backend_ops backend_virgl;

#endif
