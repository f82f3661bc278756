/* SPDX-License-Identifier: MIT */
/*
 * Contexts of the virgl backend: their life, which one is current in GL, the streams that they are
 * given, and the fences behind those. What is Vulkan's goes on to virgl_venus.c.
 */
#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/renderer/virgl_internal.h"

#include <errno.h>
#include <stdlib.h>

void virgl_use_own_context(struct virgl *v)
{
    if (v->current == 0)
        return;
    virgl_renderer_force_ctx_0();
    v->current = 0;
}

static struct virgl_ctx *context_get(struct virgl *v, uint32_t ctx_id)
{
    return ctx_id == 0 ? &v->own : id_table_get(&v->contexts, ctx_id);
}

void virgl_note_work(struct virgl *v, uint32_t ctx_id)
{
    struct virgl_ctx *ctx = context_get(v, ctx_id);

    v->current = ctx_id;
    if (ctx && !ctx->dirty) {
        ctx->dirty = true;
        v->dirty++;
    }
}

void virgl_note_covered(struct virgl *v, struct virgl_ctx *ctx)
{
    if (ctx->dirty) {
        ctx->dirty = false;
        v->dirty--;
    }
}

/* False: the context is in error, nothing of it can be waited for. */
static bool context_use(struct virgl *v, struct virgl_ctx *ctx)
{
    uint32_t nothing[2] = {0};

    if (v->current == ctx->id)
        return true;
    if (ctx->id == 0) {
        virgl_use_own_context(v);
        return true;
    }
    /* An empty stream makes its context current and does nothing else. */
    if (virgl_renderer_submit_cmd(nothing, (int)ctx->id, 0) != 0) {
        v->current = VIRGL_CURRENT_UNKNOWN;
        return false;
    }
    v->current = ctx->id;
    return true;
}

static int gl_ctx_create(struct virgl *v, struct virgl_ctx *ctx, uint32_t capset, const char *name,
                         size_t name_len)
{
    int r = virgl_renderer_context_create_with_flags(ctx->id, capset, (uint32_t)name_len, name);

    /* It leaves the new context current without knowing so. */
    v->current = VIRGL_CURRENT_UNKNOWN;
    virgl_use_own_context(v);
    return r == 0 ? 0 : -ENOMEM;
}

int virgl_context_create(struct backend *b, uint32_t ctx_id, uint32_t capset_id, const char *name,
                         size_t name_len)
{
    struct virgl *v = virgl_from_backend(b);
    uint32_t capset = capset_id ? capset_id : CAPSET_VIRGL2;
    struct virgl_ctx *ctx;
    int r;

    if (v->lost)
        return -EIO;
    if (ctx_id == 0 || ctx_id == VIRGL_CURRENT_UNKNOWN || ctx_id > INT32_MAX ||
        (capset != CAPSET_VIRGL && capset != CAPSET_VIRGL2 && capset != CAPSET_VENUS))
        return -EINVAL;
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    ctx->id = ctx_id;
    ctx->venus = capset == CAPSET_VENUS;
    r = id_table_put(&v->contexts, ctx_id, ctx);
    if (r == 0) {
        r = ctx->venus ? virgl_venus_ctx_create(v, ctx, name, name_len)
                       : gl_ctx_create(v, ctx, capset, name, name_len);
        if (r < 0)
            id_table_remove(&v->contexts, ctx_id);
    }
    if (r < 0)
        free(ctx);
    return r;
}

static void destroy_context(struct virgl *v, struct virgl_ctx *ctx)
{
    if (ctx->venus) {
        virgl_venus_ctx_destroy(v, ctx);
        free(ctx);
        return;
    }
    /* A later fence covers its last work too. */
    if (ctx->dirty && context_use(v, ctx))
        virgl_fences_create_marker(&v->fences);
    virgl_note_covered(v, ctx);
    virgl_renderer_context_destroy(ctx->id);
    v->current = VIRGL_CURRENT_UNKNOWN;
    virgl_use_own_context(v);
    free(ctx);
}

void virgl_context_destroy(struct backend *b, uint32_t ctx_id)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_ctx *ctx = id_table_remove(&v->contexts, ctx_id);

    if (ctx)
        destroy_context(v, ctx);
}

int virgl_context_attach(struct backend *b, uint32_t ctx_id, uint32_t resource_id)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_ctx *ctx = id_table_get(&v->contexts, ctx_id);
    const struct virgl_res *res = id_table_get(&v->resources, resource_id);

    if (!ctx || !res)
        return -ENOENT;
    if (ctx->venus)
        return virgl_venus_ctx_attach(v, ctx, res);
    virgl_renderer_ctx_attach_resource((int)ctx_id, (int)resource_id);
    return 0;
}

void virgl_context_detach(struct backend *b, uint32_t ctx_id, uint32_t resource_id)
{
    virgl_renderer_ctx_detach_resource((int)ctx_id, (int)resource_id);
}

void virgl_context_destroy_all(struct virgl *v)
{
    struct virgl_ctx *ctx;
    uint32_t pos = 0;

    while ((ctx = id_table_next(&v->contexts, &pos)))
        destroy_context(v, ctx);
    id_table_finish(&v->contexts);
}

/* ---- streams and fences ---------------------------------------------------------------------- */

static void check_lost(struct virgl *v)
{
    if (v->lost || !egl_gpu_lost(v->gpu))
        return;
    v->lost = true;
    log_error("the GPU was reset, all GL contexts of this vGPU are lost");
}

int virgl_context_submit(struct backend *b, uint32_t ctx_id, void *buf, size_t bytes)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_ctx *ctx = id_table_get(&v->contexts, ctx_id);
    int r;

    if (v->lost)
        return -EIO;
    if (!ctx)
        return -ENOENT;
    if (ctx->venus)
        return virgl_venus_submit(v, ctx, buf, bytes);
    if (bytes % 4 || bytes / 4 > INT32_MAX)
        return -EINVAL;
    r = virgl_stream_check(buf, bytes, &ctx->notes);
    if (r < 0)
        return r;
    v->queries |= ctx->notes.asks_query;
    ctx->notes.asks_query = false;
    r = virgl_renderer_submit_cmd(buf, (int)ctx_id, (int)(bytes / 4));
    /* Also if it failed: what came before the wrong command is under way. */
    virgl_note_work(v, ctx_id);
    if (r != 0)
        v->current = VIRGL_CURRENT_UNKNOWN;
    check_lost(v);
    return r != 0 || v->lost ? -EIO : 0;
}

/* GL fences are per GL context, so each that has new work gets one; the last of them is ours. */
int virgl_context_fence(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                        uint64_t fence_id)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_ctx *current = context_get(v, v->current), *ctx;
    uint32_t pos = 0;

    if (v->lost)
        return -EIO;
    if (!per_context)
        ctx_id = ring_idx = 0;
    ctx = id_table_get(&v->contexts, ctx_id);
    if (ctx && ctx->venus)
        return virgl_venus_fence(v, ctx, ring_idx, fence_id);
    if (v->dirty > (current && current->dirty)) {
        /* Several: a rare case, so the common one has no list to keep. */
        if (v->own.dirty && context_use(v, &v->own))
            virgl_fences_create_marker(&v->fences);
        virgl_note_covered(v, &v->own);
        while ((ctx = id_table_next(&v->contexts, &pos))) {
            if (ctx->dirty && context_use(v, ctx))
                virgl_fences_create_marker(&v->fences);
            virgl_note_covered(v, ctx);
        }
        return virgl_fences_create_idle(&v->fences, ctx_id, ring_idx, fence_id);
    }
    if (v->dirty == 0)
        return virgl_fences_create_idle(&v->fences, ctx_id, ring_idx, fence_id);
    virgl_note_covered(v, current);
    return virgl_fences_create(&v->fences, ctx_id, ring_idx, fence_id);
}

void virgl_check_queries(struct virgl *v)
{
    virgl_renderer_poll();
    v->current = VIRGL_CURRENT_UNKNOWN;
}

int virgl_context_finish(struct backend *b, unsigned timeout_us)
{
    struct virgl *v = virgl_from_backend(b);
    struct virgl_ctx *current = context_get(v, v->current);

    /* What a fence is under way for may be another context's. */
    if (v->lost || !virgl_fences_idle(&v->fences))
        return -EAGAIN;
    if (v->dirty == 0)
        return 1;
    if (v->dirty > 1 || !current || !current->dirty)
        return -EAGAIN;
    if (!virgl_fences_wait_current(timeout_us))
        return 0;
    virgl_note_covered(v, current);
    /* A look makes the context current anew, which costs more than a small frame. */
    if (v->queries)
        virgl_check_queries(v);
    v->queries = false;
    return 1;
}
