/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/renderer.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/arbiter.h"
#include "mediator/daemon/child.h"
#include "mediator/daemon/renderer_msg.h"
#include "protocol/layer_memory.h"
#include "protocol/msg_socket.h"
#include "protocol/shared_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* To bring a GPU up: a software one takes some seconds on a loaded machine or under sanitizers. */
#define START_US UINT64_C(30000000)
/* To exit after its connection has ended or it was told to, before SIGKILL: who hangs up in the
 * middle of a long frame is to be rid of its memory and its work within a second. */
#if defined(__SANITIZE_ADDRESS__)
#define EXIT_US UINT64_C(5000000) /* looking for leaks takes time */
#else
#define EXIT_US UINT64_C(700000)
#endif
/* From SIGKILL to giving up, where nothing waits in the event loop. */
#define DESTROY_MS 1000
#define TIMER_ACCURACY_US UINT64_C(20000)

/* Descriptors of the renderer, as it finds them (command line). */
#define CHILD_BROKER_FD "3"
#define CHILD_STATS_FD "4"
#define CHILD_MEMORY_FD "5"
#define CHILD_WORK_FD "6"
#define CHILD_LEASE_FD "7" /* the first of four */

/* Taken before others get their turn. */
#define MESSAGES_MAX 16

enum phase {
    PHASE_STARTING,
    PHASE_SERVING,
    PHASE_ENDING,
    PHASE_TERMINATED,
    PHASE_KILLED,
    PHASE_GONE, /* reaped */
};

struct renderer {
    const struct vgpu_config *vgpu;    /* borrowed */
    const struct renderer_ops *ops;    /* borrowed */
    void *opaque;                      /* borrowed */
    struct arbiter_vgpu *lease;        /* borrowed; NULL = none */
    const struct broker_stats *stats;  /* mapped read-only, owned */
    const struct layer_memory *memory; /* likewise */
    struct work_source work;           /* likewise */
    int socket;                        /* our end, non-blocking, owned; -1 = not listened to */
    int pidfd;                         /* owned */
    pid_t pid;
    enum phase phase;
    enum renderer_msg_state msg_state;
    sd_event_source *socket_io, *pid_io, *timer; /* owned */
};

static void enter_phase(struct renderer *r, enum phase phase, uint64_t deadline_us)
{
    r->phase = phase;
    if (deadline_us == 0) {
        sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
        return;
    }
    sd_event_source_set_time_relative(r->timer, deadline_us);
    sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static void kill_now(struct renderer *r)
{
    if (r->phase >= PHASE_KILLED)
        return;
    enter_phase(r, PHASE_KILLED, 0);
    child_kill(r->pid);
}

void renderer_stop(struct renderer *r)
{
    if (r->phase >= PHASE_TERMINATED) {
        kill_now(r);
        return;
    }
    enter_phase(r, PHASE_TERMINATED, EXIT_US);
    pidfd_send_signal(r->pidfd, SIGTERM, NULL, 0);
}

void renderer_finish(struct renderer *r)
{
    if (r->phase < PHASE_ENDING)
        enter_phase(r, PHASE_ENDING, EXIT_US);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *opaque)
{
    struct renderer *r = opaque;
    const char *name = r->vgpu->name;
    if (r->phase == PHASE_STARTING)
        log_error("vGPU '%s': renderer %d is not ready after %d s, stopping it", name, r->pid,
                  (int)(START_US / 1000000));
    else if (r->phase == PHASE_ENDING)
        log_warning("vGPU '%s': renderer %d is still there %d ms after its connection ended, "
                    "killing it",
                    name, r->pid, (int)(EXIT_US / 1000));
    else if (r->phase == PHASE_TERMINATED)
        log_warning("vGPU '%s': renderer %d does not heed SIGTERM, killing it", name, r->pid);
    /* One that does not see its connection's end in time does not see signals either. */
    if (r->phase == PHASE_ENDING)
        kill_now(r);
    else
        renderer_stop(r);
    return 0;
}

static void stop_listening(struct renderer *r)
{
    r->socket_io = sd_event_source_disable_unref(r->socket_io);
    if (r->socket >= 0)
        close(take_fd(&r->socket));
}

static void handle(struct renderer *r, const struct renderer_msg *msg)
{
    switch (msg->type) {
    case BROKER_READY:
        if (r->phase == PHASE_STARTING)
            enter_phase(r, PHASE_SERVING, 0);
        r->ops->ready(r->opaque, msg->text);
        break;
    case BROKER_SLOT_TAKEN:
        if (r->lease)
            arbiter_slot_taken(r->lease, msg->slot, msg->pid);
        break;
    case BROKER_SLOT_GONE:
        if (r->lease)
            arbiter_slot_gone(r->lease, msg->slot);
        break;
    default:
        renderer_finish(r);
        r->ops->done(r->opaque, msg->text);
        break;
    }
}

/* Takes what is there; what is left brings us back. */
static void receive(struct renderer *r)
{
    struct broker_msg packet;
    struct renderer_msg msg = {.type = BROKER_DONE}; /* set by the parser */
    for (int i = 0; r->socket >= 0 && i < MESSAGES_MAX; i++) {
        size_t n_fds = 0;
        ssize_t size = msg_recv(r->socket, &packet, sizeof(packet), NULL, 0, &n_fds);
        if (size == -EAGAIN)
            return;
        if (size == 0 || size == -ECONNRESET) { /* it is ending, or should be */
            stop_listening(r);
            renderer_finish(r);
            return;
        }
        const char *error = size < 0
                                ? strerror((int)-size)
                                : renderer_msg_parse(&r->msg_state, &packet, (size_t)size, &msg);
        if (error) {
            log_error("vGPU '%s': renderer %d broke the protocol (%s), killing it", r->vgpu->name,
                      r->pid, error);
            kill_now(r);
            stop_listening(r);
            return;
        }
        handle(r, &msg);
    }
}

static int on_message(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    receive(opaque);
    return 0;
}

static int on_process_end(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    struct renderer *r = opaque;
    int code = 0, status = 0;
    receive(r); /* its last words */
    /* The arbiter knows it by its number, too, which is somebody else's once it is reaped. */
    if (r->lease && child_has_ended(r->pidfd)) {
        child_kill(r->pid); /* what is left of its group */
        arbiter_detach(r->lease);
    }
    int reaped = child_reap(r->pidfd, r->pid, &code, &status);
    if (reaped == 0)
        return 0;
    char how[96];
    if (reaped > 0)
        child_describe_end(code, status, how, sizeof(how));
    else
        snprintf(how, sizeof(how), "is gone (%s)", strerror(-reaped));

    bool as_told = r->phase == PHASE_TERMINATED && code == CLD_KILLED && status == SIGTERM;
    enter_phase(r, PHASE_GONE, 0);
    r->pid_io = sd_event_source_disable_unref(r->pid_io);
    stop_listening(r);
    if (r->lease) /* if there was nothing to reap */
        arbiter_detach(r->lease);
    /* The callee may destroy r. */
    r->ops->exited(r->opaque, how, as_told || (code == CLD_EXITED && status == 0));
    return 0;
}

/* The latency class of a vGPU: who has shorter turns than others is in more of a hurry. The driver
 * is told when the renderer starts. */
static const char *priority_of(const struct vgpu_config *v)
{
    const uint64_t usual_ns = SCHED_KNOBS_DEFAULT.slice_ns;

    if (v->knobs.slice_ns == usual_ns)
        return "medium";
    return v->knobs.slice_ns < usual_ns ? "high" : "low";
}

/* Slots of its lease: the renderer's own, and those of processes that draw for Vulkan. */
static uint32_t lease_slots(const struct vgpu_config *v)
{
    return !strcmp(v->backend, "null") || !strcmp(v->vulkan, "off") ? 1 : LEASE_SLOTS_MAX;
}

static int exec_renderer(struct renderer *r, const struct renderer_config *config, int socket,
                         int stats_fd, int memory_fd, int work_fd)
{
    const struct vgpu_config *v = config->vgpu;
    char scanouts[16], size[32], memory[32], hostmem[32];
    snprintf(scanouts, sizeof(scanouts), "%d", v->scanouts);
    snprintf(size, sizeof(size), "%" PRIu32 "x%" PRIu32, v->width, v->height);
    snprintf(memory, sizeof(memory), "%" PRIu64, v->max_memory_bytes);
    snprintf(hostmem, sizeof(hostmem), "%" PRIi64, v->hostmem_bytes);

    struct arbiter_fds lease;
    int result = r->lease ? arbiter_attach(r->lease, lease_slots(v), &lease) : 0;
    if (result < 0)
        return result;

    const char *argv[36];
    size_t n = 0;
    argv[n++] = config->program;
    argv[n++] = "--name";
    argv[n++] = v->name;
    argv[n++] = "--backend";
    argv[n++] = v->backend;
    if (config->gpu) {
        argv[n++] = "--gpu";
        argv[n++] = config->gpu;
    }
    argv[n++] = "--scanouts";
    argv[n++] = scanouts;
    argv[n++] = "--size";
    argv[n++] = size;
    argv[n++] = "--scanout-by";
    argv[n++] = v->scanout_by;
    argv[n++] = "--hostmem";
    argv[n++] = hostmem;
    argv[n++] = "--vulkan";
    argv[n++] = v->vulkan;
    if (v->max_memory_bytes > 0) {
        argv[n++] = "--max-memory";
        argv[n++] = memory;
    }
    argv[n++] = "--priority";
    argv[n++] = priority_of(v);
    if (config->verbose)
        argv[n++] = "--verbose";
    argv[n++] = "--broker-fd";
    argv[n++] = CHILD_BROKER_FD;
    argv[n++] = "--stats-fd";
    argv[n++] = CHILD_STATS_FD;
    argv[n++] = "--memory-fd";
    argv[n++] = CHILD_MEMORY_FD;
    argv[n++] = "--work-fd";
    argv[n++] = CHILD_WORK_FD;
    if (r->lease) {
        argv[n++] = "--lease-fd";
        argv[n++] = CHILD_LEASE_FD;
    }
    argv[n] = NULL;

    const int fds[] = {socket,
                       stats_fd,
                       memory_fd,
                       work_fd,
                       r->lease ? lease.grant : -1,
                       r->lease ? lease.ack : -1,
                       r->lease ? lease.doorbell : -1,
                       r->lease ? lease.wake : -1};
    const struct child_args args = {
        .argv = (char *const *)argv,
        .stdout_fd = -1,
        .fds = fds,
        .n_fds = r->lease ? ARRAY_SIZE(fds) : 4,
    };
    result = child_spawn(&args, &r->pidfd, &r->pid);
    if (result == 0 && r->lease)
        result = arbiter_set_process(r->lease, r->pidfd, r->pid);
    return result;
}

static int serve(struct renderer *r, int connection)
{
    const struct broker_msg msg = {.version = BROKER_VERSION, .type = BROKER_SERVE};
    const struct iovec iov = {.iov_base = (void *)&msg, .iov_len = BROKER_MSG_HEADER};
    return msg_send(r->socket, &iov, 1, &connection, 1, 0);
}

static int watch(struct renderer *r, sd_event *event)
{
    int ret = sd_event_add_io(event, &r->socket_io, r->socket, EPOLLIN, on_message, r);
    if (ret >= 0)
        ret = sd_event_add_io(event, &r->pid_io, r->pidfd, EPOLLIN, on_process_end, r);
    if (ret >= 0)
        ret = sd_event_add_time_relative(event, &r->timer, CLOCK_MONOTONIC, START_US,
                                         TIMER_ACCURACY_US, on_deadline, r);
    return ret;
}

int renderer_spawn(const struct renderer_config *config, int connection, struct renderer **ret)
{
    struct renderer *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (struct renderer){.vgpu = config->vgpu,
                           .ops = config->ops,
                           .opaque = config->opaque,
                           .lease = config->lease,
                           .socket = -1,
                           .pidfd = -1};

    int pair[2] = {-1, -1}, stats_fd = -1, memory_fd = -1, work_fd = -1;
    int result = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
    if (result == 0) {
        r->socket = pair[0];
        result = fcntl(r->socket, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    }
    if (result == 0)
        result = shared_file_create("aliquot-stats", BROKER_STATS_BYTES, PROT_READ, 0, &stats_fd,
                                    (void **)&r->stats);
    if (result == 0)
        result = layer_memory_create(&memory_fd, &r->memory);
    if (result == 0)
        result = work_source_init(&r->work, &work_fd);
    if (result == 0)
        result = serve(r, connection); /* waits in the socket until the renderer reads */
    if (result == 0)
        result = exec_renderer(r, config, pair[1], stats_fd, memory_fd, work_fd);
    if (result == 0)
        result = watch(r, config->event);
    if (pair[1] >= 0)
        close(pair[1]);
    if (stats_fd >= 0)
        close(stats_fd);
    if (memory_fd >= 0)
        close(memory_fd);
    if (work_fd >= 0)
        close(work_fd);
    if (result < 0) {
        renderer_destroy(r);
        return result;
    }
    *ret = r;
    return 0;
}

void renderer_destroy(struct renderer *r)
{
    if (!r)
        return;
    sd_event_source_disable_unref(r->timer);
    sd_event_source_disable_unref(r->pid_io);
    stop_listening(r);
    if (r->pidfd >= 0 && r->phase != PHASE_GONE) {
        struct pollfd end = {.fd = r->pidfd, .events = POLLIN};
        int code, status;
        child_kill(r->pid);
        poll(&end, 1, DESTROY_MS); /* one that is stuck in the kernel must not hold us up */
        if (r->lease)              /* before its number is somebody else's */
            arbiter_detach(r->lease);
        child_reap(r->pidfd, r->pid, &code, &status);
    } else if (r->lease && r->phase != PHASE_GONE) {
        arbiter_detach(r->lease);
    }
    if (r->pidfd >= 0)
        close(r->pidfd);
    if (r->stats)
        munmap((void *)r->stats, BROKER_STATS_BYTES);
    layer_memory_unmap(r->memory);
    work_source_finish(&r->work);
    free(r);
}

pid_t renderer_pid(const struct renderer *r)
{
    return r->pid;
}

void renderer_counters_read(const struct renderer *r, struct renderer_counters *ret)
{
    struct layer_sums vulkan;

    layer_memory_read(r->memory, &vulkan);
#define LOAD(field) atomic_load_explicit(&r->stats->field, memory_order_relaxed)
    *ret = (struct renderer_counters){
        .driver_ok = LOAD(driver_ok) != 0,
        .resources = LOAD(resources),
        .resource_bytes = LOAD(resource_bytes),
        .contexts = LOAD(contexts),
        .commands = LOAD(commands),
        .submits = LOAD(submits),
        .fences = LOAD(fences),
        .rejected = LOAD(rejected),
        .flushes = LOAD(flushes),
        .mapped_blobs = LOAD(mapped_blobs),
        .vulkan_contexts = LOAD(vulkan_contexts),
        .vulkan_devices = vulkan.devices,
        .vulkan_bytes = vulkan.memory_bytes,
        .vulkan_submits = vulkan.submits,
        .vulkan_refused = vulkan.refused,
    };
#undef LOAD
}

_Static_assert(BROKER_LATENCY_BUCKETS == ARBITER_BUCKETS && HISTOGRAM_BUCKETS == ARBITER_BUCKETS,
               "one kind of histogram");

void renderer_latency_add(const struct renderer *r, struct arbiter_histogram *sum)
{
    const struct broker_stats *s = r->stats;
    uint64_t max_ns = atomic_load_explicit(&s->latency_max_ns, memory_order_relaxed);

    for (unsigned i = 0; i < BROKER_LATENCY_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&s->latency[i], memory_order_relaxed);
        sum->buckets[i] += n;
        sum->count += n;
    }
    sum->sum_ns += atomic_load_explicit(&s->latency_sum_ns, memory_order_relaxed);
    sum->max_ns = MAX(sum->max_ns, max_ns);
    work_source_add_latency(&r->work, sum);
}

void renderer_take_work(struct renderer *r, struct work_log *log, uint32_t vgpu)
{
    work_log_take(log, &r->work, vgpu);
}
