/* SPDX-License-Identifier: MIT */
/*
 * aliquot-renderer: one vGPU. Who I am: the device side of one guest's virtio-gpu, with the GPU's
 * driver libraries in my process; one of me for each vGPU, because virglrenderer is one for each
 * process and because I am the thing that breaks when a guest does its worst. Who talks to me: a
 * vhost-user front-end (QEMU, libaliquot-guest) or a vtest client (Mesa) over the connection that
 * aliquotd or --fd or --listen gives me, the guest through rings and memory that the front-end
 * shares with me, and the front-end's display over a socket of its own. What I trust: my command
 * line, aliquotd, and the GPU driver; of front-end, guest and client, nothing. What kills me:
 * aliquotd's end (its socket closes), SIGTERM and SIGINT, the end of the one connection of --fd
 * and --broker-fd (exit code 0), and a front-end that takes the guest's memory away under me
 * (SIGBUS, one line, exit code 1). What a front-end or guest does wrong otherwise ends its
 * connection, not me.
 */
#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/renderer/broker_link.h"
#include "mediator/renderer/connection.h"
#include "mediator/renderer/gate.h"
#include "mediator/renderer/gpu_probe.h"
#include "mediator/renderer/idle_watch.h"
#include "mediator/renderer/layer_link.h"
#include "mediator/renderer/listener.h"
#include "mediator/renderer/options.h"
#include "mediator/renderer/self_limit.h"
#include "mediator/renderer/sigbus.h"
#include "protocol/eventcount.h"
#include "protocol/layer_memory.h"
#include "protocol/work_ring.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define PROGRAM "aliquot-renderer"

/* Descriptors from --lease-fd on. */
#define LEASE_FDS 4

/* Without work for so long, memory that was kept for more of it is given back. */
#define IDLE_US UINT64_C(1000000)

struct renderer {
    struct renderer_options options;
    struct broker_stats *stats; /* for the life of the process */
    sd_event *event;
    struct gpu_fence_queue *fences;
    struct backend *backend;
    struct connection *connection; /* NULL between connections */
    struct listener *listener;     /* the one of the three that the mode has */
    struct broker_link *broker;
    struct idle_watch *idle;
    struct gate *gate; /* NULL = the GPU is not shared by leases */
    int memory_fd;
    struct layer_memory *memory; /* GL's and Vulkan's */
    int work_fd;
    struct work_rings *work; /* for the trace */
    int completions_fd;
    struct eventcount *completions; /* what Vulkan has done, for its guests; NULL without it */
    struct layer_link *layers;      /* NULL = without Vulkan */
};

static void stop(struct renderer *r, int exit_code)
{
    sd_event_exit(r->event, exit_code);
}

/* ---- connections ---------------------------------------------------------------------------- */

static void on_ended(void *opaque, bool broken, const char *reason)
{
    struct renderer *r = opaque;

    log_line(broken ? LOG_WARNING : LOG_INFO, "connection ended: %s", reason);
    if (r->broker != NULL && broker_link_send(r->broker, BROKER_DONE, reason) < 0)
        log_debug("aliquotd can't be told");
    connection_destroy(TAKE_PTR(r->connection));
    if (r->listener == NULL)
        stop(r, EXIT_SUCCESS);
    else if (listener_resume(r->listener) < 0)
        stop(r, EXIT_FAILURE);
}

static struct gpu_limits guest_limits(const struct renderer *r)
{
    struct gpu_limits limits = gpu_limits_default;
    if (r->options.max_memory_bytes > 0) {
        limits.max_total_bytes = r->options.max_memory_bytes;
        limits.max_resource_bytes = MIN(limits.max_resource_bytes, limits.max_total_bytes);
    }
    return limits;
}

/* Consumes fd. */
static int serve(struct renderer *r, int fd)
{
    const struct connection_config config = {
        .event = r->event,
        .backend = r->backend,
        .fences = r->fences,
        .limits = guest_limits(r),
        .scanouts = r->options.scanouts,
        .dmabuf = r->options.dmabuf,
        .hostmem_bytes = r->options.hostmem_bytes,
        /* Without a lease the layer counts nothing. */
        .completions_fd = r->gate != NULL ? r->completions_fd : -1,
        .width = r->options.width,
        .height = r->options.height,
        .stats = r->stats,
        .ring = &r->work->slots[LEASE_SLOT_GL],
        .gate = r->gate,
        .memory = r->memory,
        .ended = on_ended,
        .opaque = r,
    };
    int result = connection_create(&config, fd, &r->connection);
    if (result < 0) {
        log_error("a connection can't be served: %s", strerror(-result));
        close(fd);
        return result;
    }
    log_info("front-end connected");
    return 0;
}

static void on_accepted(void *opaque, int fd)
{
    struct renderer *r = opaque;
    if (serve(r, fd) < 0 && listener_resume(r->listener) < 0)
        stop(r, EXIT_FAILURE);
}

static void on_serve(void *opaque, int fd)
{
    struct renderer *r = opaque;
    if (r->connection != NULL) {
        log_error("aliquotd sent a second connection");
        close(fd);
        stop(r, EXIT_FAILURE);
    } else if (serve(r, fd) < 0) {
        stop(r, EXIT_FAILURE);
    }
}

static void on_broker_gone(void *opaque, const char *reason)
{
    struct renderer *r = opaque;
    log_info("%s; ending", reason);
    stop(r, EXIT_SUCCESS);
}

static const struct broker_link_ops broker_ops = {
    .serve = on_serve,
    .gone = on_broker_gone,
};

/* ---- set-up --------------------------------------------------------------------------------- */

/* Inherited descriptors go no further: the GPU driver may start programs. */
static int check_fd(const char *option, int fd)
{
    if (fd < 0)
        return 0;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        log_error("--%s %d: %m", option, fd);
        return -errno;
    }
    return 0;
}

static int set_up_fds(struct renderer *r)
{
    const struct renderer_options *o = &r->options;
    if (check_fd("fd", o->fd) < 0 || check_fd("broker-fd", o->broker_fd) < 0 ||
        check_fd("stats-fd", o->stats_fd) < 0 || check_fd("memory-fd", o->memory_fd) < 0 ||
        check_fd("work-fd", o->work_fd) < 0 || check_fd("ready-fd", o->ready_fd) < 0)
        return -EBADF;
    for (int i = 0; o->lease_fd >= 0 && i < LEASE_FDS; i++)
        if (check_fd("lease-fd", o->lease_fd + i) < 0)
            return -EBADF;
    int result = broker_stats_map(o->stats_fd, &r->stats);
    if (result < 0) {
        log_error("the page of counters can't be mapped: %s", strerror(-result));
        return result;
    }
    if (o->stats_fd >= 0)
        close(o->stats_fd);
    return 0;
}

static int set_up_event(struct renderer *r)
{
    int result = sd_event_new(&r->event);
    /* Before there are threads, so that they inherit the mask. NULL: the handler exits the loop. */
    if (result >= 0)
        result =
            sd_event_add_signal(r->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
    if (result >= 0)
        result = sd_event_add_signal(r->event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
    if (result < 0)
        log_error("event loop: %s", strerror(-result));
    return result;
}

static void on_idle(void *opaque)
{
    self_trim();
}

/* The page that says what GL and Vulkan have of the vGPU's memory. */
static int set_up_quota(struct renderer *r)
{
    uint64_t quota_bytes = r->options.max_memory_bytes;
    const struct layer_memory *own = NULL;
    int result = 0;

    r->memory_fd = r->options.memory_fd;
    if (r->memory_fd < 0)
        result = layer_memory_create(&r->memory_fd, &own);
    layer_memory_unmap(own);
    if (result == 0)
        result = layer_memory_map(r->memory_fd, &r->memory);
    if (result < 0)
        log_error("--memory-fd: the page can't be mapped: %s", strerror(-result));
    else
        layer_memory_init(r->memory, quota_bytes > 0 ? quota_bytes : UINT64_MAX);
    return result;
}

/* Where it is noted what the GPU did; without aliquotd nobody reads it. */
static int set_up_work(struct renderer *r)
{
    const struct work_rings *own = NULL;
    int result = 0;

    r->work_fd = r->options.work_fd;
    if (r->work_fd < 0)
        result = work_rings_create(&r->work_fd, &own);
    work_rings_unmap(own);
    if (result == 0)
        result = work_rings_map(r->work_fd, &r->work);
    if (result < 0)
        log_error("--work-fd: the rings can't be mapped: %s", strerror(-result));
    return result;
}

static int set_up_memory(struct renderer *r)
{
    if (set_up_quota(r) < 0 || set_up_work(r) < 0)
        return -ENOMEM;
    self_limit(guest_limits(r).max_total_bytes);
    self_keep_freed();
    int result = idle_watch_create(r->event, IDLE_US, on_idle, NULL, &r->idle);
    if (result < 0)
        log_error("event loop: %s", strerror(-result));
    return result;
}

static int on_backend_event(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct backend *backend = opaque;
    backend->ops->dispatch(backend);
    return 0;
}

static int watch_backend(struct renderer *r)
{
    const struct backend_ops *ops = r->backend->ops;

    if (ops->event_fd == NULL)
        return 0;
    return sd_event_add_io(r->event, NULL, ops->event_fd(r->backend), EPOLLIN, on_backend_event,
                           r->backend);
}

static int set_up_gate(struct renderer *r)
{
    int fd = r->options.lease_fd;
    const struct gate_fds fds = {.grant = fd, .ack = fd + 1, .doorbell = fd + 2, .wake = fd + 3};

    if (fd < 0)
        return 0;
    int result = gate_create(r->event, &fds, &r->gate);
    if (result < 0)
        log_error("--lease-fd: the lease can't be taken part in: %s", strerror(-result));
    return result;
}

/* By which the guests' own processes hear of what their work on the GPU has come to. */
static int set_up_completions(struct renderer *r)
{
    int result = eventcount_create(&r->completions_fd, &r->completions);

    if (result < 0)
        log_error("no page for the ends of Vulkan's work: %s", strerror(-result));
    return result;
}

static int set_up_layers(struct renderer *r)
{
    int fd = r->options.lease_fd;

    r->completions_fd = -1;
    if (r->options.vulkan == BACKEND_VULKAN_OFF || strcmp(r->options.backend, "null") == 0)
        return 0;
    if (set_up_completions(r) < 0)
        return -ENOMEM;
    const struct layer_link_config config = {
        .grant = fd,
        .ack = fd < 0 ? -1 : fd + 1,
        .doorbell = fd < 0 ? -1 : fd + 2,
        .memory_fd = r->memory_fd,
        .memory = r->memory,
        .work_fd = r->work_fd,
        .completions_fd = r->completions_fd,
        .broker_fd = r->options.broker_fd,
    };
    int result = layer_link_create(&config, &r->layers);
    if (result < 0)
        log_error("the Vulkan layer can't be listened to: %s", strerror(-result));
    return result;
}

static bool has_vulkan(struct backend *backend)
{
    uint32_t id = 0, version, size;

    for (uint32_t i = 0; i < backend->ops->capset_count(backend); i++)
        if (backend->ops->capset_info(backend, i, &id, &version, &size) == 0 &&
            id == VIRTIO_GPU_CAPSET_VENUS)
            return true;
    return false;
}

/* After the GPU's drivers are there, which are set up before there are threads. */
static int start_layers(struct renderer *r)
{
    int result = 0;

    if (r->layers != NULL && has_vulkan(r->backend))
        result = layer_link_start(r->layers);
    if (result < 0)
        log_error("the Vulkan layer can't be listened to: %s", strerror(-result));
    return result;
}

static int set_up_backend(struct renderer *r)
{
    static const struct backend_ops *const known[] = {&backend_virgl, &backend_null};
    const struct backend_ops *ops = NULL;
    const char *error = "unknown";

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(known[i]->name, r->options.backend) == 0)
            ops = known[i];
    if (ops == NULL) {
        log_error("--backend: '%s' is neither virgl nor null", r->options.backend);
        return -EINVAL;
    }
    int result = gpu_fence_queue_create(&r->fences);
    if (result < 0) {
        log_error("fences: %s", strerror(-result));
        return result;
    }
    const struct backend_config config = {
        .gpu = r->options.gpu,
        .events = &gpu_fence_queue_events,
        .opaque = r->fences,
        .priority = r->options.priority,
        .vulkan = r->options.vulkan,
        .layer_fd = r->layers != NULL ? layer_link_fd(r->layers) : -1,
        .vulkan_must_gate = r->gate != NULL,
        .completions = r->completions,
    };
    result = ops->create(&config, &r->backend, &error);
    if (result < 0) {
        log_error("the GPU can't be used: %s", error);
        return result;
    }
    result = watch_backend(r);
    if (result < 0) {
        log_error("event loop: %s", strerror(-result));
        return result;
    }
    log_info("draws with %s", ops->describe(r->backend));
    return 0;
}

static void tell_ready(struct renderer *r)
{
    if (r->options.ready_fd < 0)
        return;
    if (write(r->options.ready_fd, "\n", 1) < 0)
        log_warning("--ready-fd: %m");
    close(r->options.ready_fd);
}

static int set_up_mode(struct renderer *r)
{
    const struct renderer_options *o = &r->options;
    int result;

    switch (o->mode) {
    case RENDERER_MODE_FD:
        return serve(r, o->fd);
    case RENDERER_MODE_LISTEN:
        /* Says itself what is wrong. */
        return listener_create(r->event, o->listen_path, on_accepted, r, &r->listener);
    default:
        result = broker_link_create(r->event, o->broker_fd, &broker_ops, r, &r->broker);
        if (result >= 0)
            result =
                broker_link_send(r->broker, BROKER_READY, r->backend->ops->describe(r->backend));
        if (result < 0)
            log_error("aliquotd can't be reached: %s", strerror(-result));
        return result;
    }
}

static int run(struct renderer *r)
{
    if (set_up_fds(r) < 0 || set_up_event(r) < 0)
        return EXIT_FAILURE;
    sigbus_install(PROGRAM, r->options.name, r->stats);
    if (set_up_memory(r) < 0 || set_up_gate(r) < 0 || set_up_layers(r) < 0 ||
        set_up_backend(r) < 0 || start_layers(r) < 0 || set_up_mode(r) < 0)
        return EXIT_FAILURE;
    tell_ready(r);
    int code = sd_event_loop(r->event);
    if (code < 0)
        log_error("event loop: %s", strerror(-code));
    return code < 0 ? EXIT_FAILURE : code;
}

static void finish(struct renderer *r)
{
    listener_destroy(r->listener);
    connection_destroy(r->connection);
    broker_link_destroy(r->broker);
    if (r->backend != NULL)
        r->backend->ops->destroy(r->backend);
    gpu_fence_queue_destroy(r->fences);
    layer_link_destroy(r->layers);
    layer_memory_unmap(r->memory);
    work_rings_unmap(r->work);
    eventcount_unmap(r->completions);
    gate_destroy(r->gate);
    idle_watch_destroy(r->idle);
    sd_event_unref(r->event);
}

int main(int argc, char **argv)
{
    struct renderer r = {0};

    if (!options_parse(&r.options, argc, argv))
        return 2;
    switch (r.options.mode) {
    case RENDERER_MODE_HELP:
        options_print_help();
        return EXIT_SUCCESS;
    case RENDERER_MODE_VERSION:
        puts(PROGRAM " " ALIQUOT_VERSION);
        return EXIT_SUCCESS;
    case RENDERER_MODE_PROBE:
        return gpu_probe_print(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    default:
        break;
    }
    log_init(PROGRAM, r.options.name, r.options.verbose);
    signal(SIGPIPE, SIG_IGN);
    int code = run(&r);
    finish(&r);
    return code;
}
