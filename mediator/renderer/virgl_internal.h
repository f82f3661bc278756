/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the virgl backend share: backend_virgl.c (life, contexts, streams, fences) and
 * virgl_resource.c (resources, transfers, pixels). Nobody else includes this.
 */
#ifndef ALIQUOT_RENDERER_VIRGL_INTERNAL_H
#define ALIQUOT_RENDERER_VIRGL_INTERNAL_H

#include "mediator/renderer/backend.h"
#include "mediator/renderer/egl_context.h"
#include "mediator/renderer/id_table.h"
#include "mediator/renderer/virgl_fence.h"
#include "mediator/renderer/virgl_stream.h"

#include <stdbool.h>
#include <stdint.h>
#include <virgl/virglrenderer.h>

/* Value of struct virgl's current, besides the guest's ids and 0 for virglrenderer's own. */
#define VIRGL_CURRENT_UNKNOWN UINT32_MAX

struct virgl_ctx {
    uint32_t id;
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
};

struct virgl {
    struct backend base;                       /* first: the device model knows this part */
    struct egl_gpu *gpu;                       /* owned */
    struct virgl_renderer_callbacks callbacks; /* virglrenderer borrows it until cleanup */
    struct virgl_fences fences;
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
    char text[256];   /* describe() */
};

static inline struct virgl *virgl_from_backend(struct backend *b)
{
    return (struct virgl *)b;
}

/* Makes virglrenderer's own GL context current. Anything that is not a context's own business
 * happens there, so that it does not disturb what the context has bound. */
void virgl_use_own_context(struct virgl *v);

/* Notes that a context (0 = own) is current, and was given work that a fence has to cover. */
void virgl_note_work(struct virgl *v, uint32_t ctx_id);

/* Has virglrenderer write the results of queries that were not known when they were asked for, but
 * are now. It does so by itself before it reports a fence, and at no other time. */
void virgl_check_queries(struct virgl *v);

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

#endif
