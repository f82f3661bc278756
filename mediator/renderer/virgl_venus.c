/* SPDX-License-Identifier: MIT */
/*
 * Vulkan of the virgl backend: contexts of Venus. virglrenderer only passes on what they are told;
 * each lives in a process of its own, a worker of the render server. So nothing here has to do with
 * GL contexts, and what is waited for are answers of that process.
 *
 * Fences are kept here until virglrenderer reports them, since it drops those of a context with the
 * context, while the guest's commands wait for them.
 */
#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/renderer/gpu_identity.h"
#include "mediator/renderer/virgl_internal.h"
#include "mediator/renderer/worker_watch.h"
#include "protocol/eventcount.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* Timelines of a context, as virtio-gpu has them. */
#define RINGS_MAX 64u
/* Number of a fence that nobody waits for. The guest's can be anything: it is told apart by what is
 * in the list. */
#define NOBODYS_FENCE 0

struct virgl_venus_fence {
    struct virgl_venus_fence *next; /* owned by struct virgl_venus */
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
};

/* ---- fences -----------------------------------------------------------------------------------
 */

static bool is_on(const struct virgl_venus_fence *f, uint32_t ctx_id, uint32_t ring_idx)
{
    return f->ctx_id == ctx_id && (ring_idx == RINGS_MAX || f->ring_idx == ring_idx);
}

/* Under lock. ring_idx RINGS_MAX = all of them. */
static void report(struct virgl *v, uint32_t ctx_id, uint32_t ring_idx,
                   const struct virgl_venus_fence *until)
{
    struct virgl_venus_fence **link = &v->venus.first;
    bool last = false;

    while (*link && !last) {
        struct virgl_venus_fence *f = *link;

        if (!is_on(f, ctx_id, ring_idx)) {
            link = &f->next;
            continue;
        }
        last = f == until;
        *link = f->next;
        v->fences.events->fence_done(v->fences.opaque, f->ctx_id, f->ring_idx, f->fence_id);
        free(f);
    }
    while (*link)
        link = &(*link)->next;
    v->venus.last = link;
}

/* From virglrenderer, of any thread. */
void virgl_venus_on_fence(void *cookie, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id)
{
    struct virgl *v = cookie;
    struct virgl_venus_fence *f;

    pthread_mutex_lock(&v->venus.lock);
    f = v->venus.first;
    while (f && !(is_on(f, ctx_id, ring_idx) && f->fence_id == fence_id))
        f = f->next;
    if (f)
        report(v, ctx_id, ring_idx, f);
    pthread_mutex_unlock(&v->venus.lock);
}

static struct virgl_venus_fence *add_fence(struct virgl *v, uint32_t ctx_id, uint32_t ring_idx,
                                           uint64_t fence_id)
{
    struct virgl_venus_fence *f = malloc(sizeof(*f));

    if (!f)
        return NULL;
    *f = (struct virgl_venus_fence){.ctx_id = ctx_id, .ring_idx = ring_idx, .fence_id = fence_id};
    pthread_mutex_lock(&v->venus.lock);
    *v->venus.last = f;
    v->venus.last = &f->next;
    pthread_mutex_unlock(&v->venus.lock);
    return f;
}

void virgl_venus_forget(struct virgl *v)
{
    struct virgl_venus_fence *f;

    pthread_mutex_lock(&v->venus.lock);
    f = v->venus.first;
    v->venus.first = NULL;
    v->venus.last = &v->venus.first;
    pthread_mutex_unlock(&v->venus.lock);
    while (f) {
        struct virgl_venus_fence *next = f->next;
        free(f);
        f = next;
    }
}

int virgl_venus_fence(struct virgl *v, struct virgl_ctx *ctx, uint32_t ring_idx, uint64_t fence_id)
{
    if (ring_idx >= RINGS_MAX)
        return -EINVAL;
    /* Before it can be reported. */
    if (!add_fence(v, ctx->id, ring_idx, fence_id))
        return -ENOMEM;
    if (!ctx->dead && virgl_renderer_context_create_fence(ctx->id, 0, ring_idx, fence_id) == 0)
        return 0;
    /* What was submitted to a context that is gone is as done as it will ever be. */
    virgl_venus_check(v, ctx);
    pthread_mutex_lock(&v->venus.lock);
    report(v, ctx->id, ring_idx, NULL);
    pthread_mutex_unlock(&v->venus.lock);
    return 0;
}

/* ---- contexts ---------------------------------------------------------------------------------
 */

/* virglrenderer's part. Joins the thread that reports fences, so never under lock. */
static void drop(struct virgl *v, struct virgl_ctx *ctx)
{
    if (!ctx->dead)
        virgl_renderer_context_destroy(ctx->id);
    ctx->dead = true;
    pthread_mutex_lock(&v->venus.lock);
    report(v, ctx->id, RINGS_MAX, NULL);
    pthread_mutex_unlock(&v->venus.lock);
}

void virgl_venus_check(struct virgl *v, struct virgl_ctx *ctx)
{
    /* It has a socket for each context, where the least is to send a fence. */
    if (ctx->dead || virgl_renderer_context_create_fence(
                         ctx->id, VIRGL_RENDERER_FENCE_FLAG_MERGEABLE, 0, NOBODYS_FENCE) == 0)
        return;
    log_warning("the process of Vulkan context %u has ended", ctx->id);
    if (v->venus.completions)
        eventcount_lose(v->venus.completions);
    drop(v, ctx);
}

/*
 * virglrenderer has a thread for each context, which polls without end from when the worker's
 * socket is closed until the context is destroyed. The guest does that when its program ends, and
 * that can be never.
 */
static void drop_ended(struct virgl *v)
{
    struct virgl_ctx *ctx;
    uint32_t pos = 0;

    while ((ctx = id_table_next(&v->contexts, &pos)))
        if (ctx->venus)
            virgl_venus_check(v, ctx);
}

void virgl_venus_dispatch(struct virgl *v)
{
    render_server_dispatch(v->venus.server);
    if (worker_watch_take(v->venus.watch_fd))
        drop_ended(v);
}

/* The worker may have ended by now: its socket is there all the same. */
static void watch_worker(struct virgl *v, const struct virgl_ctx *ctx)
{
    static struct log_limit limit = {.burst = 1, .window_s = 60};

    if (worker_watch_add(v->venus.watch_fd, render_server_pid(v->venus.server)) <= 0 &&
        log_allowed(&limit))
        log_warning("the end of the process of Vulkan context %u will not be noticed", ctx->id);
}

int virgl_venus_ctx_create(struct virgl *v, struct virgl_ctx *ctx, const char *name,
                           size_t name_len)
{
    if (!v->venus.server)
        return -EINVAL;
    render_server_start(v->venus.server);
    if (virgl_renderer_context_create_with_flags(ctx->id, CAPSET_VENUS, (uint32_t)name_len, name) !=
        0)
        return -ENOMEM;
    watch_worker(v, ctx);
    return 0;
}

void virgl_venus_ctx_destroy(struct virgl *v, struct virgl_ctx *ctx)
{
    drop(v, ctx);
}

/*
 * A context has its own blobs already. Of others virglrenderer can give it dma-bufs, and must not
 * be asked for anything else: it counts on it.
 */
int virgl_venus_ctx_attach(struct virgl *v, struct virgl_ctx *ctx, const struct virgl_res *res)
{
    uint32_t type = 0;
    int fd = -1;

    if (res->blob == BLOB_GUEST || (res->blob == BLOB_HOST && res->blob_ctx_id == ctx->id))
        return 0;
    if (ctx->dead)
        return -EIO;
    if (res->blob != BLOB_HOST || virgl_renderer_resource_export_blob(res->id, &type, &fd) != 0)
        return -EINVAL;
    close(fd);
    if (type != VIRGL_RENDERER_BLOB_FD_TYPE_DMABUF)
        return -EINVAL;
    virgl_renderer_ctx_attach_resource((int)ctx->id, (int)res->id);
    return 0;
}

int virgl_venus_submit(struct virgl *v, struct virgl_ctx *ctx, void *buf, size_t bytes)
{
    if (ctx->dead)
        return -EIO;
    if (bytes % 4 || bytes / 4 > INT32_MAX)
        return -EINVAL;
    if (virgl_renderer_submit_cmd(buf, (int)ctx->id, (int)(bytes / 4)) == 0)
        return 0;
    virgl_venus_check(v, ctx);
    return -EIO;
}

/* ---- life -------------------------------------------------------------------------------------
 */

int virgl_venus_flags(const struct virgl *v)
{
    return v->venus.server ? VIRGL_RENDERER_VENUS | VIRGL_RENDERER_RENDER_SERVER : 0;
}

/* Without an answer virglrenderer would start a server of its own, with an environment of its own.
 * So one whose other end is closed is better than none. */
int virgl_venus_get_server_fd(void *cookie, uint32_t version)
{
    struct virgl *v = cookie;
    int fd = -1;

    return v->venus.server && render_server_connect(v->venus.server, &fd) == 0 ? fd : -1;
}

void virgl_venus_give_up(struct virgl *v)
{
    if (v->venus.server)
        epoll_ctl(v->event_fd, EPOLL_CTL_DEL, render_server_event_fd(v->venus.server), NULL);
    close_fd_p(&v->venus.watch_fd);
    v->venus.watch_fd = -1;
    render_server_destroy(TAKE_PTR(v->venus.server));
}

void virgl_venus_finish(struct virgl *v)
{
    virgl_venus_forget(v);
    virgl_venus_give_up(v);
    pthread_mutex_destroy(&v->venus.lock);
}

void virgl_venus_init(struct virgl *v)
{
    v->venus.last = &v->venus.first;
    v->venus.watch_fd = -1;
    pthread_mutex_init(&v->venus.lock, NULL);
}

int virgl_venus_find(struct virgl *v, const struct backend_config *config, const char **ret_error)
{
    char gpu[GPU_IDENTITY_MAX];
    const struct render_server_config server = {
        .software = v->software,
        .gpu = gpu,
        .priority = config->priority,
        .layer_fd = config->layer_fd,
        .must_gate = config->vulkan_must_gate,
    };
    struct epoll_event event = {.events = EPOLLIN};

    gpu_identity(v->gpu, gpu);
    int r = render_server_create(&server, &v->venus.server, ret_error);

    if (r < 0)
        return r;
    v->venus.completions = config->completions;
    v->venus.watch_fd = worker_watch_create();
    event.data.fd = render_server_event_fd(v->venus.server);
    if (v->venus.watch_fd < 0 || epoll_ctl(v->event_fd, EPOLL_CTL_ADD, event.data.fd, &event) < 0 ||
        epoll_ctl(v->event_fd, EPOLL_CTL_ADD, v->venus.watch_fd, &event) < 0) {
        *ret_error = "the render server can't be listened to";
        virgl_venus_give_up(v);
        return -ENODEV;
    }
    return 0;
}
