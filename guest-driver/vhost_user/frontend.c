/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/frontend.h"
#include "guest-driver/vhost_user/vhost.h"
#include "protocol/eventcount.h"
#include "protocol/msg_socket.h"
#include "protocol/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define BIT(n) (1ull << (n))

/* What we can do, and what we can't do without. */
#define FEATURES_WANTED                                                                            \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |   \
     BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_GPU_F_VIRGL) | BIT(VIRTIO_GPU_F_EDID) |      \
     BIT(VIRTIO_GPU_F_CONTEXT_INIT) | BIT(VIRTIO_GPU_F_RESOURCE_BLOB))
#define FEATURES_NEEDED (BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))
#define PROTOCOL_WANTED                                                                            \
    (BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                        \
     BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER) |               \
     PROTOCOL_SHMEM)
/* All of it or nothing: together they make the host-visible region. */
#define PROTOCOL_SHMEM                                                                             \
    (BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) |         \
     BIT(VHOST_USER_PROTOCOL_F_SHMEM))
#define PROTOCOL_NEEDED (BIT(VHOST_USER_PROTOCOL_F_CONFIG))

/* More capsets than virtio has ids for make no sense. */
#define CAPSETS_MAX 64
/* A region that is larger than any address space makes no sense either. */
#define HOST_VISIBLE_MAX_BYTES (1ull << 46)

void frontend_init(struct frontend *f)
{
    *f = (struct frontend){
        .sock = -1, .memfd = -1, .kick_fd = -1, .call_fd = -1, .err_fd = -1, .channel = -1};
}

void frontend_finish(struct frontend *f)
{
    int *fds[] = {&f->sock, &f->memfd, &f->kick_fd, &f->call_fd, &f->err_fd, &f->channel};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

__attribute__((format(printf, 3, 4))) static int fail(struct frontend *f, int error,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(f->error, sizeof(f->error), format, args);
    va_end(args);
    return error;
}

static int remaining_ms(int64_t deadline_ns)
{
    int64_t left = deadline_ns - monotonic_ns();
    return left > 0 ? (int)((left + 999999) / 1000000) : 0;
}

int frontend_connect(struct frontend *f, const char *path, int64_t deadline_ns)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    size_t length = strlen(path);
    if (length >= sizeof(addr.sun_path))
        return fail(f, -ENAMETOOLONG, "socket path too long: %s", path);
    memcpy(addr.sun_path, path, length);

    f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (f->sock < 0)
        return fail(f, -errno, "no socket: %s", strerror(errno));
    /* A full backlog blocks connect(2) for as long as a send may block. */
    int ms = remaining_ms(deadline_ns);
    struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (ms > 0)
        setsockopt(f->sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    int result;
    do {
        result = connect(f->sock, (struct sockaddr *)&addr, sizeof(addr));
    } while (result < 0 && errno == EINTR && remaining_ms(deadline_ns) > 0);
    if (result < 0) {
        int error = errno == EAGAIN || errno == EINTR ? ETIMEDOUT : errno;
        return fail(f, -error, "cannot connect to %s: %s", path, strerror(error));
    }
    return 0;
}

int frontend_make_memory(struct frontend *f, uint64_t bytes)
{
    f->memfd = memfd_create("aliquot-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (f->memfd < 0 || ftruncate(f->memfd, (off_t)bytes) < 0 ||
        fcntl(f->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fail(f, -errno, "no shared memory: %s", strerror(errno));
    f->memory_bytes = bytes;
    return 0;
}

/* ---- messages ------------------------------------------------------------------------------- */

struct message {
    uint32_t request;
    const void *payload;
    uint32_t size;
    const int *fds;
    size_t n_fds;
    bool ack;
};

static const char *request_name(uint32_t request)
{
    const struct vhost_user_msg_info *info = vhost_user_msg_info(request);
    return info ? info->name : "?";
}

static int send_message(struct frontend *f, const struct message *m, int64_t deadline_ns)
{
    struct vhost_user_header header = {
        .request = m->request,
        .flags = VHOST_USER_VERSION | (m->ack ? VHOST_USER_NEED_REPLY : 0),
        .size = m->size,
    };
    struct iovec iov[] = {
        {&header, sizeof(header)},
        {(void *)m->payload, m->size},
    };
    int result =
        msg_send(f->sock, iov, m->size ? 2 : 1, m->fds, m->n_fds, remaining_ms(deadline_ns));
    if (result == -EPIPE)
        result = -ECONNRESET;
    if (result == -EAGAIN)
        result = -ETIMEDOUT;
    if (result < 0)
        fail(f, result, "%s: %s", request_name(m->request),
             result == -ECONNRESET ? "the server hung up" : strerror(-result));
    return result;
}

/* Reads an answer of exactly size bytes to request. */
static int read_reply(struct frontend *f, uint32_t request, void *dst, uint32_t size,
                      int64_t deadline_ns)
{
    struct vhost_user_header header = {0};
    const char *name = request_name(request);
    size_t n_fds = 0;
    int result =
        stream_read(f->sock, &header, sizeof(header), NULL, 0, &n_fds, remaining_ms(deadline_ns));
    if (result == 0) {
        /* Checked before the payload is waited for: garbage must not keep us waiting. */
        if (header.request != request)
            return fail(f, -EPROTO, "%s: the answer is to message %u", name, header.request);
        if ((header.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
            !(header.flags & VHOST_USER_REPLY))
            return fail(f, -EPROTO, "%s: the answer's flags are 0x%x", name, header.flags);
        if (header.size != size)
            return fail(f, -EPROTO, "%s: the answer has %u bytes instead of %u", name, header.size,
                        size);
        result = stream_read(f->sock, dst, size, NULL, 0, &n_fds, remaining_ms(deadline_ns));
    }
    switch (result) {
    case 0:
        return 0;
    case -ENODATA:
    case -ECONNRESET:
    case -EPIPE:
        return fail(f, -ECONNRESET, "%s: the server hung up", name);
    case -ETIMEDOUT:
        return fail(f, -ETIMEDOUT, "%s: no answer in time", name);
    case -EMSGSIZE:
        return fail(f, -EPROTO, "%s: the answer came with descriptors", name);
    default:
        return fail(f, result, "%s: %s", name, strerror(-result));
    }
}

static int get_u64(struct frontend *f, uint32_t request, uint64_t *ret, int64_t deadline_ns)
{
    struct message m = {.request = request};
    int result = send_message(f, &m, deadline_ns);
    if (result == 0)
        result = read_reply(f, request, ret, sizeof(*ret), deadline_ns);
    return result;
}

/* Sends a message that has no answer of its own, and awaits its ack if it asks for one. */
static int tell(struct frontend *f, const struct message *m, int64_t deadline_ns)
{
    uint64_t status = 0;
    int result = send_message(f, m, deadline_ns);
    if (result < 0 || !m->ack)
        return result;
    result = read_reply(f, m->request, &status, sizeof(status), deadline_ns);
    if (result == 0 && status != 0)
        result = fail(f, -EPROTO, "%s: refused (%llu)", request_name(m->request),
                      (unsigned long long)status);
    return result;
}

static int tell_u64(struct frontend *f, uint32_t request, uint64_t value, int64_t deadline_ns)
{
    return tell(f, &(struct message){.request = request, .payload = &value, .size = sizeof(value)},
                deadline_ns);
}

/* ---- the conversation ----------------------------------------------------------------------- */

static int read_config(struct frontend *f, int64_t deadline_ns)
{
    struct vhost_user_config ask = {.size = sizeof(struct virtio_gpu_config)};
    struct vhost_user_config answer = {0};
    struct virtio_gpu_config config = {0};
    uint32_t size = VHOST_USER_CONFIG_HEADER + sizeof(config);
    struct message m = {.request = VHOST_USER_GET_CONFIG, .payload = &ask, .size = size};

    int result = send_message(f, &m, deadline_ns);
    if (result == 0)
        result = read_reply(f, VHOST_USER_GET_CONFIG, &answer, size, deadline_ns);
    if (result < 0)
        return result;
    memcpy(&config, answer.data, sizeof(config));
    if (answer.size != sizeof(config) || config.num_scanouts > VIRTIO_GPU_MAX_SCANOUTS ||
        config.num_capsets > CAPSETS_MAX)
        return fail(f, -EPROTO, "GET_CONFIG: no configuration of a GPU");
    f->num_scanouts = config.num_scanouts;
    f->num_capsets = config.num_capsets;
    return 0;
}

/* Gives the server its end of the channel, and asks for the region that it is for. */
static int make_channel(struct frontend *f, int64_t deadline_ns)
{
    struct vhost_user_shmem_config config = {0};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return fail(f, -errno, "no socket: %s", strerror(errno));
    f->channel = pair[0];
    struct message m = {
        .request = VHOST_USER_SET_BACKEND_REQ_FD, .fds = &pair[1], .n_fds = 1, .ack = f->reply_ack};
    int result = tell(f, &m, deadline_ns);
    close(pair[1]);
    if (result == 0)
        result =
            send_message(f, &(struct message){.request = VHOST_USER_GET_SHMEM_CONFIG}, deadline_ns);
    if (result == 0)
        result = read_reply(f, VHOST_USER_GET_SHMEM_CONFIG, &config, sizeof(config), deadline_ns);
    if (result < 0)
        return result;

    uint64_t bytes = config.sizes[VIRTIO_GPU_SHM_ID_HOST_VISIBLE];
    if (bytes % GUEST_HEAP_GRANULE != 0 || bytes > HOST_VISIBLE_MAX_BYTES)
        return fail(f, -EPROTO, "GET_SHMEM_CONFIG: a region of %llu bytes",
                    (unsigned long long)bytes);
    f->has_completions =
        bytes != 0 && config.sizes[VHOST_USER_SHMID_COMPLETIONS] == EVENTCOUNT_BYTES;
    if (bytes == 0) {
        close(f->channel);
        f->channel = -1;
    }
    f->host_visible_bytes = bytes;
    return 0;
}

int frontend_negotiate(struct frontend *f, int64_t deadline_ns)
{
    uint64_t features = 0, protocol = 0, queues = 0;

    int result = get_u64(f, VHOST_USER_GET_FEATURES, &features, deadline_ns);
    if (result < 0)
        return result;
    if ((features & FEATURES_NEEDED) != FEATURES_NEEDED)
        return fail(f, -EPROTONOSUPPORT, "the server lacks features: it offers 0x%llx",
                    (unsigned long long)features);

    result = get_u64(f, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol, deadline_ns);
    if (result < 0)
        return result;
    if ((protocol & PROTOCOL_NEEDED) != PROTOCOL_NEEDED)
        return fail(f, -EPROTONOSUPPORT, "the server lacks protocol features: it offers 0x%llx",
                    (unsigned long long)protocol);
    protocol &= PROTOCOL_WANTED;
    if ((protocol & PROTOCOL_SHMEM) != PROTOCOL_SHMEM ||
        !(features & BIT(VIRTIO_GPU_F_RESOURCE_BLOB)))
        protocol &= ~(PROTOCOL_SHMEM | BIT(VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER));
    result = tell_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, protocol, deadline_ns);
    if (result < 0)
        return result;
    f->reply_ack = protocol & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);

    if (protocol & BIT(VHOST_USER_PROTOCOL_F_MQ)) {
        result = get_u64(f, VHOST_USER_GET_QUEUE_NUM, &queues, deadline_ns);
        if (result < 0)
            return result;
        if (queues < FRONTEND_RINGS)
            return fail(f, -EPROTONOSUPPORT, "the server has %llu queues, a GPU has two",
                        (unsigned long long)queues);
    }
    result = tell(f, &(struct message){.request = VHOST_USER_SET_OWNER}, deadline_ns);
    if (result == 0)
        result = read_config(f, deadline_ns);
    if (result == 0 && (protocol & PROTOCOL_SHMEM))
        result = make_channel(f, deadline_ns);
    features &= FEATURES_WANTED;
    if (result == 0)
        result = tell_u64(f, VHOST_USER_SET_FEATURES, features, deadline_ns);
    f->features = features & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES);
    return result;
}

static int send_mem_table(struct frontend *f, int64_t deadline_ns)
{
    /* What stands for our addresses is of no meaning to anybody but the two of us: the
     * guest-physical ones will do, and tell the server nothing about our address space. */
    struct vhost_user_mem_table table = {
        .nregions = 1,
        .regions[0] = {.gpa = FRONTEND_MEMORY_GPA,
                       .size = f->memory_bytes,
                       .uva = FRONTEND_MEMORY_GPA,
                       .mmap_offset = 0},
    };
    struct message m = {
        .request = VHOST_USER_SET_MEM_TABLE,
        .payload = &table,
        .size = offsetof(struct vhost_user_mem_table, regions[1]),
        .fds = &f->memfd,
        .n_fds = 1,
        .ack = f->reply_ack,
    };
    return tell(f, &m, deadline_ns);
}

static int send_state(struct frontend *f, uint32_t request, uint32_t index, uint32_t num, bool ack,
                      int64_t deadline_ns)
{
    struct vhost_user_vring_state state = {.index = index, .num = num};
    struct message m = {
        .request = request, .payload = &state, .size = sizeof(state), .ack = ack && f->reply_ack};
    return tell(f, &m, deadline_ns);
}

static int send_ring_fd(struct frontend *f, uint32_t request, uint32_t index, int fd,
                        int64_t deadline_ns)
{
    uint64_t value = index;
    struct message m = {
        .request = request, .payload = &value, .size = sizeof(value), .fds = &fd, .n_fds = 1};
    return tell(f, &m, deadline_ns);
}

static int start_ring(struct frontend *f, uint32_t index, const struct frontend_ring *ring,
                      int kick_fd, int call_fd, int64_t deadline_ns)
{
    struct vhost_user_vring_addr addr = {
        .index = index,
        .desc_uva = ring->desc_gpa,
        .used_uva = ring->used_gpa,
        .avail_uva = ring->avail_gpa,
    };
    struct message m = {
        .request = VHOST_USER_SET_VRING_ADDR, .payload = &addr, .size = sizeof(addr)};

    int result = send_state(f, VHOST_USER_SET_VRING_NUM, index, ring->num, false, deadline_ns);
    if (result == 0)
        result = send_state(f, VHOST_USER_SET_VRING_BASE, index, 0, false, deadline_ns);
    if (result == 0)
        result = tell(f, &m, deadline_ns);
    if (result == 0)
        result = send_ring_fd(f, VHOST_USER_SET_VRING_CALL, index, call_fd, deadline_ns);
    if (result == 0)
        result = send_ring_fd(f, VHOST_USER_SET_VRING_ERR, index, f->err_fd, deadline_ns);
    if (result == 0)
        result = send_ring_fd(f, VHOST_USER_SET_VRING_KICK, index, kick_fd, deadline_ns);
    if (result == 0)
        result = send_state(f, VHOST_USER_SET_VRING_ENABLE, index, 1, true, deadline_ns);
    return result;
}

static int make_eventfd(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int frontend_start(struct frontend *f, const struct frontend_ring rings[FRONTEND_RINGS],
                   int64_t deadline_ns)
{
    int result = 0;

    /* Nobody puts anything on the cursor queue yet; it only has to be there. */
    int cursor_kick = make_eventfd(), cursor_call = make_eventfd();
    f->kick_fd = make_eventfd();
    f->call_fd = make_eventfd();
    f->err_fd = make_eventfd();
    if (f->kick_fd < 0 || f->call_fd < 0 || f->err_fd < 0 || cursor_kick < 0 || cursor_call < 0)
        result = fail(f, -errno, "no eventfd: %s", strerror(errno));

    if (result == 0)
        result = send_mem_table(f, deadline_ns);
    if (result == 0)
        result =
            start_ring(f, VIRTIO_GPU_QUEUE_CONTROL, &rings[0], f->kick_fd, f->call_fd, deadline_ns);
    if (result == 0)
        result = start_ring(f, VIRTIO_GPU_QUEUE_CURSOR, &rings[1], cursor_kick, cursor_call,
                            deadline_ns);
    if (cursor_kick >= 0)
        close(cursor_kick);
    if (cursor_call >= 0)
        close(cursor_call);
    return result;
}
