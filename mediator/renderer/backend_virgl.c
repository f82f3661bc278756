/* SPDX-License-Identifier: MIT */
/*
 * The virgl backend: virglrenderer on an EGL of our own.
 *
 * virglrenderer gets its GL contexts through callbacks of version 3. With version 4, which adds the
 * EGL display, it makes the context of its fence thread by itself, by other rules than ours; what
 * it gives for that, import of dma-bufs, is for blob resources of GL contexts. For Venus version 3
 * has all that is needed: per-context fences and a render server of ours.
 */
#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/renderer/gpu_probe.h"
#include "mediator/renderer/virgl_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define CALLBACKS_VERSION 3

/* How long destroy waits for the GPU. virglrenderer's own cleanup would wait for ever. */
#define DRAIN_MS 2000

/* virglrenderer is one for each process. */
static struct virgl *instance;

/* ---- callbacks of virglrenderer -------------------------------------------------------------- */

static void on_fence(void *cookie, uint32_t number)
{
    struct virgl *v = cookie;

    virgl_fences_retire(&v->fences, number);
}

/*
 * Making a GL context is the most of a renderer's start (llvmpipe: 10 to 15 ms each). virglrenderer
 * makes one to see what the GPU can do, drops it, and makes its own and one for its fence thread.
 * The first is kept for the fence thread, to which it does not matter what was done in it before;
 * for that its own shares with the first.
 */
static void *on_create_context(void *cookie, int scanout, struct virgl_renderer_gl_ctx_param *param)
{
    struct virgl *v = cookie;
    bool shared = param->shared || v->spare;

    if (param->shared && v->spare)
        return TAKE_PTR(v->spare);
    return egl_gpu_create_context(v->gpu, param->major_ver, param->minor_ver, shared,
                                  param->compat_ctx != 0);
}

static void on_destroy_context(void *cookie, void *context)
{
    struct virgl *v = cookie;

    if (!v->initialized && !v->spare)
        v->spare = context;
    else
        egl_gpu_destroy_context(v->gpu, context);
}

static int on_make_current(void *cookie, int scanout, void *context)
{
    struct virgl *v = cookie;

    return egl_gpu_make_current(v->gpu, context);
}

/* Of any thread. A guest can cause these lines without end. */
static void on_log(enum virgl_log_level_flags level, const char *message, void *opaque)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct log_limit limit = {.burst = 10, .window_s = 10};
    int len = (int)strcspn(message, "\n");

    if (level < VIRGL_LOG_LEVEL_WARNING) {
        log_debug("virglrenderer: %.*s", len, message);
        return;
    }
    pthread_mutex_lock(&lock);
    if (log_allowed(&limit))
        log_warning("virglrenderer: %.*s", len, message);
    pthread_mutex_unlock(&lock);
}

/* ---- events -----------------------------------------------------------------------------------
 */

static int event_fd(struct backend *b)
{
    return virgl_from_backend(b)->event_fd;
}

static void dispatch(struct backend *b)
{
    struct virgl *v = virgl_from_backend(b);

    virgl_check_queries(v);
    if (v->venus.server)
        virgl_venus_dispatch(v);
}

/* ---- capsets --------------------------------------------------------------------------------- */

static const uint32_t capsets[] = {CAPSET_VIRGL, CAPSET_VIRGL2, CAPSET_VENUS};

static uint32_t capset_count(struct backend *b)
{
    return virgl_from_backend(b)->venus.server ? 3 : 2;
}

static int capset_info(struct backend *b, uint32_t index, uint32_t *ret_id,
                       uint32_t *ret_max_version, uint32_t *ret_max_size)
{
    if (index >= capset_count(b))
        return -EINVAL;
    *ret_id = capsets[index];
    virgl_renderer_get_cap_set(*ret_id, ret_max_version, ret_max_size);
    return 0;
}

static int capset(struct backend *b, uint32_t id, uint32_t version, void *buf, size_t size)
{
    struct virgl *v = virgl_from_backend(b);
    uint32_t max_version, max_size;

    if (id != CAPSET_VIRGL && id != CAPSET_VIRGL2 && (id != CAPSET_VENUS || !v->venus.server))
        return -EINVAL;
    virgl_renderer_get_cap_set(id, &max_version, &max_size);
    if (version > max_version || size < max_size)
        return -EINVAL;
    memset(buf, 0, size);
    /* Who asks for it is about to make a context. */
    if (id == CAPSET_VENUS)
        render_server_start(v->venus.server);
    else
        virgl_use_own_context(v);
    virgl_renderer_fill_caps(id, version, buf);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Waits until virglrenderer's thread has no fence left, so that cleanup can join it. */
static bool drain(struct virgl *v)
{
    for (int waited_ms = 0; waited_ms < DRAIN_MS; waited_ms += 10) {
        /* The thread may wait for us to look at queries. */
        virgl_renderer_poll();
        if (virgl_fences_idle(&v->fences))
            return true;
        virgl_fences_wait(&v->fences, 10);
    }
    return false;
}

/*
 * True if virglrenderer is up. Without USE_EXTERNAL_BLOB it would offer guests that see blobs GL
 * buffers in memory of our process, which nobody else can map.
 */
static bool init_virglrenderer(struct virgl *v)
{
    int flags = VIRGL_RENDERER_THREAD_SYNC | VIRGL_RENDERER_ASYNC_FENCE_CB |
                VIRGL_RENDERER_USE_EXTERNAL_BLOB | virgl_venus_flags(v);
    int r = virgl_renderer_init(v, flags, &v->callbacks);

    if (r != 0 && !egl_gpu_gles(v->gpu) && egl_gpu_set_gles(v->gpu, true)) {
        egl_gpu_destroy_context(v->gpu, TAKE_PTR(v->spare));
        r = virgl_renderer_init(v, flags | VIRGL_RENDERER_USE_GLES, &v->callbacks);
    }
    egl_gpu_destroy_context(v->gpu, TAKE_PTR(v->spare));
    return r == 0;
}

static int start_virglrenderer(struct virgl *v, const char **ret_error)
{
    struct epoll_event event = {.events = EPOLLIN};
    bool up;

    virgl_set_log_callback(on_log, NULL, NULL);
    up = init_virglrenderer(v);
    if (!up && v->venus.server) {
        log_warning("virglrenderer does not start with Vulkan, trying without");
        virgl_venus_give_up(v);
        up = init_virglrenderer(v);
    }
    if (!up) {
        *ret_error = "virglrenderer does not start on this GPU (it needs OpenGL 3.1 or ES 3.0)";
        return -ENODEV;
    }
    v->initialized = true;
    v->current = VIRGL_CURRENT_UNKNOWN;
    virgl_use_own_context(v);
    event.data.fd = virgl_renderer_get_poll_fd();
    if (event.data.fd < 0 || epoll_ctl(v->event_fd, EPOLL_CTL_ADD, event.data.fd, &event) < 0) {
        *ret_error = "virglrenderer has no fence thread (is VIRGL_DISABLE_MT set?)";
        return -ENODEV;
    }
    return egl_gpu_renderer_fits(v->gpu, ret_error) ? 0 : -ENODEV;
}

static void stop_virglrenderer(struct virgl *v)
{
    if (!v->initialized)
        return;
    virgl_fences_forget(&v->fences);
    virgl_venus_forget(v);
    virgl_context_destroy_all(v);
    virgl_resource_destroy_all(v);
    if (drain(v))
        virgl_renderer_cleanup(v);
    else
        log_warning("the GPU does not finish its work, virglrenderer is left as it is");
    v->initialized = false;
    v->current = VIRGL_CURRENT_UNKNOWN;
    virgl_note_covered(v, &v->own);
}

static void virgl_destroy(struct backend *b)
{
    struct virgl *v = virgl_from_backend(b);

    if (!b)
        return;
    stop_virglrenderer(v);
    egl_gpu_close(v->gpu);
    virgl_venus_finish(v);
    close_fd_p(&v->event_fd);
    virgl_fences_finish(&v->fences);
    instance = NULL;
    free(v);
}

/* Fails only where there has to be Vulkan. */
static int find_vulkan(struct virgl *v, const struct backend_config *config, const char **ret_error)
{
    const char *why = NULL;
    int r;

    if (config->vulkan == BACKEND_VULKAN_OFF)
        return 0;
    r = virgl_venus_find(v, config, &why);
    if (r < 0 && config->vulkan == BACKEND_VULKAN_ON)
        *ret_error = why;
    else if (r < 0)
        log_info("no Vulkan: %s", why);
    return config->vulkan == BACKEND_VULKAN_ON ? r : 0;
}

static int virgl_create(const struct backend_config *config, struct backend **ret,
                        const char **ret_error)
{
    struct gpu_choice choice;
    const char *why;
    struct virgl *v;
    int r;

    if (instance) {
        *ret_error = "virglrenderer is already in use by this process";
        return -EBUSY;
    }
    r = gpu_choose(config->gpu, &choice, &why);
    if (r < 0) {
        *ret_error = why;
        return r;
    }
    log_info("GPU %s: %s", choice.id, why);

    v = calloc(1, sizeof(*v));
    if (!v) {
        *ret_error = "out of memory";
        return -ENOMEM;
    }
    v->base.ops = &backend_virgl;
    v->callbacks = (struct virgl_renderer_callbacks){
        .version = CALLBACKS_VERSION,
        .write_fence = on_fence,
        .create_gl_context = on_create_context,
        .destroy_gl_context = on_destroy_context,
        .make_current = on_make_current,
        .write_context_fence = virgl_venus_on_fence,
        .get_server_fd = virgl_venus_get_server_fd,
    };
    virgl_fences_init(&v->fences, config->events, config->opaque);
    virgl_venus_init(v);
    v->software = strcmp(choice.id, EGL_GPU_SOFTWARE) == 0;
    id_table_init(&v->contexts);
    id_table_init(&v->resources);
    instance = v;

    /* virglrenderer's own descriptor is another one after a restart. */
    v->event_fd = epoll_create1(EPOLL_CLOEXEC);
    if (v->event_fd < 0) {
        *ret_error = "no epoll descriptor";
        r = -errno;
    } else {
        r = egl_gpu_open(choice.id, &v->gpu, ret_error);
    }
    if (r == 0)
        r = find_vulkan(v, config, ret_error);
    if (r == 0) {
        egl_gpu_set_priority(v->gpu, config->priority);
        r = start_virglrenderer(v, ret_error);
    }
    if (r == 0 && config->vulkan == BACKEND_VULKAN_ON && !v->venus.server) {
        *ret_error = "virglrenderer does not start with Vulkan";
        r = -ENODEV;
    }
    if (r < 0) {
        virgl_destroy(&v->base);
        return r;
    }
    snprintf(v->text, sizeof(v->text), "virgl on %s, OpenGL%s by %s (%s%s%s)%s", choice.id,
             egl_gpu_gles(v->gpu) ? " ES" : "", egl_gpu_renderer(v->gpu), egl_gpu_platform(v->gpu),
             egl_gpu_driver(v->gpu)[0] ? ", " : "", egl_gpu_driver(v->gpu),
             v->venus.server ? ", Vulkan" : "");
    *ret = &v->base;
    return 0;
}

static void virgl_reset(struct backend *b)
{
    struct virgl *v = virgl_from_backend(b);
    const char *error = NULL;

    if (v->lost || (v->venus.server && render_server_ended(v->venus.server))) {
        /* New GL contexts are the way out of a GPU reset, and so is a new render server. */
        stop_virglrenderer(v);
        if (start_virglrenderer(v, &error) < 0)
            log_error("the GPU does not come back: %s", error);
        else
            v->lost = false;
        return;
    }
    /* Not virgl_renderer_reset(): it stops the fence thread for good. */
    virgl_fences_forget(&v->fences);
    virgl_venus_forget(v);
    virgl_context_destroy_all(v);
    virgl_resource_destroy_all(v);
    virgl_note_covered(v, &v->own);
}

static const char *describe(struct backend *b)
{
    return virgl_from_backend(b)->text;
}

const struct backend_ops backend_virgl = {
    .name = "virgl",
    .has_3d = true,
    .memory = {.row_align = 64, .resource_bytes = 8 << 10, .context_bytes = 12 << 20},
    .create = virgl_create,
    .destroy = virgl_destroy,
    .reset = virgl_reset,
    .describe = describe,
    .capset_count = capset_count,
    .capset_info = capset_info,
    .capset = capset,
    .ctx_create = virgl_context_create,
    .ctx_destroy = virgl_context_destroy,
    .ctx_attach = virgl_context_attach,
    .ctx_detach = virgl_context_detach,
    .resource_create = virgl_resource_create,
    .resource_destroy = virgl_resource_destroy,
    .resource_back = virgl_resource_back,
    .resource_unback = virgl_resource_unback,
    .transfer_to_host = virgl_transfer_to_host,
    .transfer_from_host = virgl_transfer_from_host,
    .blob_create = virgl_blob_create,
    .blob_map = virgl_blob_map,
    .submit = virgl_context_submit,
    .stream_piece = virgl_stream_piece,
    .fence = virgl_context_fence,
    .finish = virgl_context_finish,
    .read_pixels = virgl_read_pixels,
    .export_dmabuf = virgl_export_dmabuf,
    .event_fd = event_fd,
    .dispatch = dispatch,
};
