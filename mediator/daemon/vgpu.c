/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/vgpu.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/arbiter_set.h"
#include "mediator/daemon/error_text.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int vgpu_create(const struct vgpu_config *config, const char *gpu, enum vgpu_kind kind,
                const char *socket_path, const struct vgpu_env *env, const struct vgpu *with,
                struct vgpu **ret, char **ret_error)
{
    struct vgpu *v = malloc(sizeof(*v));
    if (!v)
        return error_text(ret_error, -ENOMEM, "vGPU '%s': %s", config->name, strerror(ENOMEM));
    *v = (struct vgpu){.config = *config,
                       .kind = kind,
                       .socket_path = strdup(socket_path),
                       .env = env,
                       .connection = -1,
                       .pending = -1};
    v->config.gpu = strdup(gpu);
    int r = v->socket_path && v->config.gpu
                ? arbiter_set_add(env->arbiters, gpu, config->name, &config->knobs,
                                  with ? with->lease : NULL, &v->lease, ret_error)
                : error_text(ret_error, -ENOMEM, "vGPU '%s': %s", config->name, strerror(ENOMEM));
    if (r < 0) {
        vgpu_destroy(v);
        return r;
    }
    *ret = v;
    return 0;
}

/* Lets go of our copy, whereupon the peer sees the end if the renderer has closed its own. */
static void drop_connection(struct vgpu *v)
{
    v->hangup = sd_event_source_disable_unref(v->hangup);
    if (v->connection >= 0)
        close(take_fd(&v->connection));
}

void vgpu_destroy(struct vgpu *v)
{
    if (!v)
        return;
    renderer_destroy(v->renderer);
    arbiter_remove(v->lease);
    drop_connection(v);
    if (v->pending >= 0)
        close(v->pending);
    free(v->config.gpu);
    free(v->socket_path);
    free(v);
}

static void on_ready(void *opaque, const char *text)
{
    struct vgpu *v = opaque;
    v->ready = true;
    snprintf(v->description, sizeof(v->description), "%s", text);
    log_info("vGPU '%s': ready after %" PRIu64 " ms: %s", v->config.name,
             (now_ns(CLOCK_MONOTONIC) - v->started_ns) / 1000000, text);
}

static void on_done(void *opaque, const char *text)
{
    struct vgpu *v = opaque;
    log_info("vGPU '%s': connection of %s (pid %d) ended: %s", v->config.name, v->peer.comm,
             v->peer.pid, text);
    drop_connection(v);
}

static int serve(struct vgpu *v, int connection, const struct peer *peer);

static void log_usage(const struct vgpu *v)
{
    struct arbiter_stats s;
    arbiter_read_stats(v->lease, &s);
    log_info("vGPU '%s': has had %.3f s of GPU time in %" PRIu64 " slices, and waited %.3f s",
             v->config.name, (double)s.busy_ns / 1e9, s.sched.slices,
             (double)s.sched.waiting_ns / 1e9);
}

static void on_exited(void *opaque, const char *how, bool clean)
{
    struct vgpu *v = opaque;
    uint64_t ran_ms = (now_ns(CLOCK_MONOTONIC) - v->started_ns) / 1000000;
    pid_t pid = renderer_pid(v->renderer);
    renderer_latency_add(v->renderer, &v->latency);
    vgpu_take_work(v);
    renderer_destroy(TAKE_PTR(v->renderer));
    drop_connection(v);
    log_line(clean ? LOG_INFO : LOG_WARNING,
             "vGPU '%s': renderer %d %s after %" PRIu64 ".%03" PRIu64 " s", v->config.name, pid,
             how, ran_ms / 1000, ran_ms % 1000);
    log_usage(v);
    if (v->pending >= 0 && serve(v, take_fd(&v->pending), &v->pending_peer) == 0)
        return;
    v->env->idle(v->env->opaque, v);
}

static const struct renderer_ops renderer_ops = {on_ready, on_done, on_exited};

/* The peer is gone: the renderer notices for itself, but not for ever. */
static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    struct vgpu *v = opaque;
    renderer_finish(v->renderer);
    drop_connection(v);
    return 0;
}

static int serve(struct vgpu *v, int connection, const struct peer *peer)
{
    const struct renderer_config config = {
        .event = v->env->event,
        .program = v->env->renderer_program,
        .vgpu = &v->config,
        .gpu = strcmp(v->config.gpu, "none") ? v->config.gpu : NULL,
        .verbose = v->env->verbose,
        .lease = v->lease,
        .ops = &renderer_ops,
        .opaque = v,
    };
    v->ready = false;
    v->description[0] = '\0';
    v->started_ns = now_ns(CLOCK_MONOTONIC);
    v->connected_us = now_ns(CLOCK_REALTIME) / 1000;
    int r = renderer_spawn(&config, connection, &v->renderer);
    if (r < 0) {
        log_error("vGPU '%s': can't start a renderer (%s): %s", v->config.name, config.program,
                  strerror(-r));
        close(connection);
        return r;
    }
    v->peer = *peer;
    v->connection = connection;
    /* A hang-up is reported without being asked for. Failure costs only the early notice. */
    r = sd_event_add_io(v->env->event, &v->hangup, connection, 0, on_hangup, v);
    if (r < 0)
        log_warning("vGPU '%s': can't watch its connection: %s", v->config.name, strerror(-r));
    log_info("vGPU '%s': connection of %s (pid %d, uid %d), renderer %d", v->config.name,
             peer->comm, peer->pid, peer->uid, renderer_pid(v->renderer));
    return 0;
}

/* Whether the peer that is being served has hung up, perhaps before the event loop said so. */
static bool peer_gone(const struct vgpu *v)
{
    if (v->connection < 0)
        return true;
    struct pollfd p = {.fd = v->connection};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

bool vgpu_is_free(const struct vgpu *v)
{
    return !v->renderer || (v->pending < 0 && peer_gone(v));
}

int vgpu_connect(struct vgpu *v, int connection, const struct peer *peer)
{
    if (!v->renderer)
        return serve(v, connection, peer);
    if (vgpu_is_free(v)) {
        v->pending = connection;
        v->pending_peer = *peer;
        return 0;
    }

    static struct log_limit limit = {.burst = 10, .window_s = 60};
    if (log_allowed(&limit))
        log_warning("vGPU '%s': refused a second connection, of %s (pid %d, uid %d): it serves "
                    "%s (pid %d)",
                    v->config.name, peer->comm, peer->pid, peer->uid, v->peer.comm, v->peer.pid);
    close(connection);
    return -EBUSY;
}

void vgpu_stop(struct vgpu *v)
{
    if (v->pending >= 0)
        close(take_fd(&v->pending));
    if (v->renderer)
        renderer_stop(v->renderer);
}

int vgpu_set_knobs(struct vgpu *v, const struct sched_knobs *knobs, char **ret_error)
{
    const struct arbiter_set_entry *gpu = arbiter_set_find(v->env->arbiters, v->config.gpu);
    int r = arbiter_set_knobs(v->lease, knobs);

    if (r < 0) /* it is on a GPU of the set, or could not have been made */
        return gpu ? arbiter_set_explain(gpu->arbiter, r, knobs, v->config.name, ret_error) : r;
    v->config.knobs = *knobs;
    return 0;
}

void vgpu_read_latency(const struct vgpu *v, struct arbiter_histogram *ret)
{
    *ret = v->latency;
    if (v->renderer)
        renderer_latency_add(v->renderer, ret);
}

void vgpu_take_work(struct vgpu *v)
{
    const struct arbiter_set_entry *gpu = arbiter_set_find(v->env->arbiters, v->config.gpu);

    if (gpu && v->renderer)
        renderer_take_work(v->renderer, gpu->work, arbiter_vgpu_number(v->lease));
}

enum vgpu_state vgpu_state(const struct vgpu *v)
{
    if (!v->renderer)
        return VGPU_IDLE;
    if (!v->ready)
        return VGPU_STARTING;
    struct renderer_counters counters;
    renderer_counters_read(v->renderer, &counters);
    return counters.driver_ok ? VGPU_RUNNING : VGPU_CONNECTED;
}

const char *vgpu_kind_name(enum vgpu_kind kind)
{
    static const char *const names[] = {
        [VGPU_CONFIGURED] = "configured",
        [VGPU_ON_DEMAND] = "on-demand",
        [VGPU_CLAIMED] = "claimed",
    };
    return names[kind];
}

const char *vgpu_state_name(enum vgpu_state state)
{
    static const char *const names[] = {
        [VGPU_IDLE] = "idle",
        [VGPU_STARTING] = "starting",
        [VGPU_CONNECTED] = "connected",
        [VGPU_RUNNING] = "running",
    };
    return names[state];
}
