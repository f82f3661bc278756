/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the virgl backend share: backend_virgl.c (life),
 * virgl_context.c (contexts, streams, fences), virgl_resource.c (resources, transfers, pixels),
 * virgl_blob.c (blobs) and virgl_venus.c (contexts of Vulkan, which live in other processes).
 * Nobody else includes this.
 */
#ifndef ALIQUOT_RENDERER_VIRGL_INTERNAL_H
#define ALIQUOT_RENDERER_VIRGL_INTERNAL_H

#include "mediator/renderer/backend.h"
#include "mediator/renderer/egl_context.h"
#include "mediator/renderer/id_table.h"
#include "mediator/renderer/render_server.h"
#include "mediator/renderer/virgl_fence.h"
#include "mediator/renderer/virgl_stream.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <virgl/virglrenderer.h>

/* Value of struct virgl's current, besides the guest's ids and 0 for virglrenderer's own. */
#define VIRGL_CURRENT_UNKNOWN UINT32_MAX

#define CAPSET_VIRGL 1u
#define CAPSET_VIRGL2 2u
#define CAPSET_VENUS 4u

struct virgl_ctx {
    uint32_t id;
    bool venus; /* no GL context: never current, never dirty */
    bool dead;  /* of Venus: its worker is gone, and virglrenderer has forgotten it */
    bool dirty; /* was given work that no fence covers yet */
    struct virgl_stream_notes notes;
};

struct virgl_res {
    uint32_t id;
    uint32_t format;
    uint32_t width, height;
    uint32_t row_bytes; /* of level 0, tight */
    bool backed;
    bool plain; /* memory, not a GL object */
    enum { BLOB_NONE, BLOB_GUEST, BLOB_HOST } blob;
    uint32_t blob_ctx_id; /* whose memory it is, of a BLOB_HOST */
    uint64_t blob_bytes;
};

/* A fence on a timeline of Venus. */
struct virgl_venus_fence;

struct virgl_venus {
    struct render_server *server;   /* owned; NULL = there is no Vulkan */
    int watch_fd;                   /* owned; of worker_watch.h; -1 = none */
    struct eventcount *completions; /* borrowed, or NULL */
    pthread_mutex_t lock;           /* also held during fence_done: after a forget there is none */
    struct virgl_venus_fence *first, **last; /* under lock: asked for, oldest first */
};

struct virgl {
    struct backend base;                       /* first: the device model knows this part */
    struct egl_gpu *gpu;                       /* owned */
    struct virgl_renderer_callbacks callbacks; /* virglrenderer borrows it until cleanup */
    struct virgl_fences fences;
    struct virgl_venus venus;
    struct id_table contexts;  /* of struct virgl_ctx, owned; the guest's */
    struct id_table resources; /* of struct virgl_res, owned */
    struct virgl_ctx own;      /* context 0 */
    uint32_t dirty;            /* contexts that are, own included */
    uint32_t current;
    bool queries;     /* results may be pending in virglrenderer */
    void *spare;      /* owned: a GL context, while virglrenderer starts */
    int event_fd;     /* owned: an epoll descriptor on virglrenderer's */
    bool initialized; /* virglrenderer is */
    bool lost;        /* the GPU was reset: nothing is drawn until reset() */
    bool software;    /* the GPU is the CPU */
    char text[256];   /* describe() */
};

static inline struct virgl *virgl_from_backend(struct backend *b)
{
    return (struct virgl *)b;
}

/* ---- virgl_context.c ------------------------------------------------------------------------- */

int virgl_context_create(struct backend *b, uint32_t ctx_id, uint32_t capset_id, const char *name,
                         size_t name_len);
void virgl_context_destroy(struct backend *b, uint32_t ctx_id);
void virgl_context_destroy_all(struct virgl *v);
int virgl_context_attach(struct backend *b, uint32_t ctx_id, uint32_t resource_id);
void virgl_context_detach(struct backend *b, uint32_t ctx_id, uint32_t resource_id);
int virgl_context_submit(struct backend *b, uint32_t ctx_id, void *buf, size_t bytes);
int virgl_context_fence(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                        uint64_t fence_id);
int virgl_context_finish(struct backend *b, unsigned timeout_us);

/* Makes virglrenderer's own GL context current. Anything that is not a context's own business
 * happens there, so that it does not disturb what the context has bound. */
void virgl_use_own_context(struct virgl *v);

/* Notes that a context (0 = own) is current, and was given work that a fence has to cover. */
void virgl_note_work(struct virgl *v, uint32_t ctx_id);
/* A fence covers what the context was given so far. */
void virgl_note_covered(struct virgl *v, struct virgl_ctx *ctx);

/* Has virglrenderer write the results of queries that were not known when they were asked for, but
 * are now. It does so by itself before it reports a fence, and at no other time. */
void virgl_check_queries(struct virgl *v);

/* ---- virgl_resource.c ------------------------------------------------------------------------ */

int virgl_resource_create(struct backend *b, const struct backend_resource_args *args);
void virgl_resource_destroy(struct backend *b, uint32_t resource_id);
void virgl_resource_destroy_all(struct virgl *v);
int virgl_resource_back(struct backend *b, uint32_t resource_id, struct iovec *iov,
                        uint32_t iov_count);
void virgl_resource_unback(struct backend *b, uint32_t resource_id);
int virgl_transfer_to_host(struct backend *b, const struct backend_transfer *t);
int virgl_transfer_from_host(struct backend *b, const struct backend_transfer *t);
int virgl_read_pixels(struct backend *b, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w,
                      uint32_t h, void *dst, uint32_t stride);
int virgl_export_dmabuf(struct backend *b, uint32_t resource_id, struct backend_dmabuf *ret);

/* ---- virgl_blob.c ---------------------------------------------------------------------------- */

int virgl_blob_create(struct backend *b, const struct backend_blob_args *args);
int virgl_blob_map(struct backend *b, uint32_t resource_id, struct backend_blob_map *ret);

/* ---- virgl_venus.c --------------------------------------------------------------------------- */

void virgl_venus_init(struct virgl *v);
/* After virglrenderer is gone. */
void virgl_venus_finish(struct virgl *v);
/* Finds what Vulkan needs, before virglrenderer is initialised. On failure there is none, and
 * *ret_error says why. */
int virgl_venus_find(struct virgl *v, const struct backend_config *config, const char **ret_error);
/* Does without Vulkan. */
void virgl_venus_give_up(struct virgl *v);
/* Flags and callbacks of virglrenderer. */
int virgl_venus_flags(const struct virgl *v);
int virgl_venus_get_server_fd(void *cookie, uint32_t version);
void virgl_venus_on_fence(void *cookie, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id);

/* Those whose ctx->venus is set. The context stays in the table of the caller, who frees it. */
int virgl_venus_ctx_create(struct virgl *v, struct virgl_ctx *ctx, const char *name,
                           size_t name_len);
void virgl_venus_ctx_destroy(struct virgl *v, struct virgl_ctx *ctx);
int virgl_venus_ctx_attach(struct virgl *v, struct virgl_ctx *ctx, const struct virgl_res *res);
int virgl_venus_submit(struct virgl *v, struct virgl_ctx *ctx, void *buf, size_t bytes);
int virgl_venus_fence(struct virgl *v, struct virgl_ctx *ctx, uint32_t ring_idx, uint64_t fence_id);
/* Something with it has failed: if its worker is gone, it is dead from now on, and its fences are
 * done. */
void virgl_venus_check(struct virgl *v, struct virgl_ctx *ctx);
/* To be called when event_fd is readable. */
void virgl_venus_dispatch(struct virgl *v);
/* No fence_done for fences asked for before this. */
void virgl_venus_forget(struct virgl *v);

#endif
