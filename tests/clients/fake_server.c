/* SPDX-License-Identifier: MIT */
#include "tests/clients/fake_server.h"

#include "protocol/eventcount.h"
#include "protocol/iov.h"
#include "protocol/msg_socket.h"
#include "protocol/vhost_user.h"
#include "protocol/virtio_gpu.h"
#include "protocol/vring.h"

#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(n) (1ull << (n))
#define HELD_MAX 256
#define CAPSET_BYTES 64

struct held {
    struct vring_chain chain;
    struct virtio_gpu_ctrl_hdr header;
};

struct fake_server {
    struct fake_options options;
    pthread_t thread;
    int sock;
    int stop_fd, release_fd; /* eventfds from the test */
    int kick_fd, call_fd, err_fd;
    void *memory;
    struct vhost_user_region region;
    struct vring_dev ring;
    bool enabled;
    struct held held[HELD_MAX];
    unsigned n_held;
    struct fake_shmem shmem;
    _Atomic uint32_t commands;
};

static void *translate(void *opaque, uint64_t gpa, uint64_t *len)
{
    struct fake_server *s = opaque;
    uint64_t offset = gpa - s->region.gpa;

    if (gpa < s->region.gpa || offset >= s->region.size)
        return NULL;
    if (*len > s->region.size - offset)
        *len = s->region.size - offset;
    return (uint8_t *)s->memory + offset;
}

static void *from_uva(struct fake_server *s, uint64_t uva)
{
    return (uint8_t *)s->memory + (uva - s->region.uva);
}

/* ---- messages ------------------------------------------------------------------------------- */

static bool send_bytes(struct fake_server *s, const void *bytes, size_t size, int fd)
{
    struct iovec iov = {(void *)bytes, size};

    return msg_send(s->sock, &iov, 1, &fd, fd >= 0, 5000) == 0;
}

/* Answers a message, well or with the fault; false ends the connection. */
static bool reply(struct fake_server *s, uint32_t request, const void *payload, uint32_t size)
{
    struct {
        struct vhost_user_header header;
        uint8_t payload[sizeof(union vhost_user_payload)];
    } __attribute__((packed)) answer = {
        .header = {request, VHOST_USER_VERSION | VHOST_USER_REPLY, size},
    };
    size_t bytes = sizeof(answer.header) + size;
    int fd = -1;

    memcpy(answer.payload, payload, size);
    if (request == s->options.message) {
        switch (s->options.message_fault) {
        case MESSAGE_FINE:
            break;
        case MESSAGE_SILENT:
            return true;
        case MESSAGE_CLOSE:
            return false;
        case MESSAGE_CUT:
            send_bytes(s, &answer, bytes - 1, -1);
            return false;
        case MESSAGE_GARBAGE:
            memset(&answer, 0xa5, sizeof(answer));
            break;
        case MESSAGE_WRONG_REQUEST:
            answer.header.request = request + 1;
            break;
        case MESSAGE_NO_REPLY_FLAG:
            answer.header.flags = VHOST_USER_VERSION;
            break;
        case MESSAGE_HUGE:
            answer.header.size = 1u << 31;
            break;
        case MESSAGE_DESCRIPTOR:
            fd = s->stop_fd;
            break;
        case MESSAGE_VALUE:
            memcpy(answer.payload, &s->options.value, sizeof(s->options.value));
            break;
        }
    }
    return send_bytes(s, &answer, bytes, fd);
}

static bool reply_u64(struct fake_server *s, uint32_t request, uint64_t value)
{
    return reply(s, request, &value, sizeof(value));
}

static bool reply_config(struct fake_server *s, struct vhost_user_config *config)
{
    struct virtio_gpu_config gpu = {.num_scanouts = 1, .num_capsets = 1};

    memcpy(config->data, &gpu, sizeof(gpu));
    return reply(s, VHOST_USER_GET_CONFIG, config, VHOST_USER_CONFIG_HEADER + config->size);
}

static void keep_fd(int *place, int *fds, size_t n_fds)
{
    if (*place >= 0)
        close(*place);
    *place = n_fds ? fds[0] : -1;
    if (n_fds)
        fds[0] = -1;
}

/* Does what a message says; only the control ring is of interest. False ends the connection. */
static bool obey(struct fake_server *s, uint32_t request, union vhost_user_payload *p, int *fds,
                 size_t n_fds)
{
    switch (request) {
    case VHOST_USER_GET_FEATURES:
        return reply_u64(s, request,
                         BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) |
                             BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_GPU_F_VIRGL) |
                             BIT(VIRTIO_GPU_F_CONTEXT_INIT) |
                             (s->options.shmem_bytes ? BIT(VIRTIO_GPU_F_RESOURCE_BLOB) : 0));
    case VHOST_USER_GET_PROTOCOL_FEATURES:
        return reply_u64(s, request,
                         BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
                             BIT(VHOST_USER_PROTOCOL_F_CONFIG) |
                             (s->options.shmem_bytes && !s->options.no_region
                                  ? BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
                                        BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) |
                                        BIT(VHOST_USER_PROTOCOL_F_SHMEM)
                                  : 0) |
                             (s->options.shmem_fault == SHMEM_UNSAID
                                  ? BIT(VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER)
                                  : 0));
    case VHOST_USER_SET_PROTOCOL_FEATURES:
        s->shmem.to_driver = p->u64 & BIT(VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER);
        if (s->shmem.to_driver && (s->options.shmem_fault != SHMEM_UNSAID || s->options.no_region))
            abort(); /* not offered, or without what it is about */
        return true;
    case VHOST_USER_SET_BACKEND_REQ_FD:
        keep_fd(&s->shmem.channel, fds, n_fds);
        if (s->shmem.to_driver && s->options.completions != COMPLETIONS_NONE)
            fake_shmem_show_completions(&s->shmem, s->options.completions);
        return true;
    case VHOST_USER_GET_SHMEM_CONFIG:
        p->shmem_config = (struct vhost_user_shmem_config){
            .nregions = 1, .sizes[VIRTIO_GPU_SHM_ID_HOST_VISIBLE] = s->options.shmem_bytes};
        if (s->options.completions != COMPLETIONS_UNANNOUNCED && s->shmem.completions)
            p->shmem_config.sizes[VHOST_USER_SHMID_COMPLETIONS] = EVENTCOUNT_BYTES;
        return reply(s, request, &p->shmem_config, sizeof(p->shmem_config));
    case VHOST_USER_GET_QUEUE_NUM:
        return reply_u64(s, request, 2);
    case VHOST_USER_GET_CONFIG:
        return reply_config(s, &p->config);
    case VHOST_USER_SET_MEM_TABLE:
        s->region = p->mem_table.regions[0];
        s->memory = mmap(NULL, s->region.size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
        return s->memory != MAP_FAILED;
    case VHOST_USER_SET_VRING_NUM:
        if (p->state.index == 0)
            s->ring.num = p->state.num;
        return true;
    case VHOST_USER_SET_VRING_ADDR:
        if (p->addr.index == 0) {
            s->ring.desc = from_uva(s, p->addr.desc_uva);
            s->ring.avail = from_uva(s, p->addr.avail_uva);
            s->ring.used = from_uva(s, p->addr.used_uva);
            s->ring.event_idx = true;
            vring_dev_start(&s->ring, 0);
        }
        return true;
    case VHOST_USER_SET_VRING_KICK:
        if ((p->u64 & VHOST_USER_VRING_IDX_MASK) == 0)
            keep_fd(&s->kick_fd, fds, n_fds);
        return true;
    case VHOST_USER_SET_VRING_CALL:
        if ((p->u64 & VHOST_USER_VRING_IDX_MASK) == 0)
            keep_fd(&s->call_fd, fds, n_fds);
        return true;
    case VHOST_USER_SET_VRING_ERR:
        if ((p->u64 & VHOST_USER_VRING_IDX_MASK) == 0)
            keep_fd(&s->err_fd, fds, n_fds);
        return true;
    case VHOST_USER_SET_VRING_ENABLE:
        if (p->state.index == 0)
            s->enabled = p->state.num;
        return true;
    default:
        return true;
    }
}

static bool take_message(struct fake_server *s)
{
    struct vhost_user_header header;
    union vhost_user_payload payload;
    int fds[VHOST_USER_FDS_MAX];
    size_t n_fds = 0;

    if (stream_read(s->sock, &header, sizeof(header), fds, VHOST_USER_FDS_MAX, &n_fds, 5000) < 0 ||
        header.size > sizeof(payload) ||
        stream_read(s->sock, &payload, header.size, fds, VHOST_USER_FDS_MAX, &n_fds, 5000) < 0)
        return false;
    bool more = obey(s, header.request, &payload, fds, n_fds);
    close_fds(fds, n_fds);
    if (more && (header.flags & VHOST_USER_NEED_REPLY))
        more = reply_u64(s, header.request, 0);
    return more;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void notify(struct fake_server *s)
{
    if (vring_dev_should_notify(&s->ring))
        eventfd_write(s->call_fd, 1);
}

static void give_back(struct fake_server *s, struct vring_chain *chain, uint32_t written)
{
    vring_dev_push(&s->ring, chain->head, written);
    vring_chain_finish(chain);
    notify(s);
}

static void answer(struct fake_server *s, struct vring_chain *chain,
                   const struct virtio_gpu_ctrl_hdr *request, uint32_t type)
{
    union {
        struct virtio_gpu_ctrl_hdr header;
        struct virtio_gpu_resp_capset_info info;
        struct virtio_gpu_resp_display_info display;
        struct virtio_gpu_resp_map_info map;
        uint8_t capset[sizeof(struct virtio_gpu_ctrl_hdr) + CAPSET_BYTES];
    } response = {.header = {.type = type ? type : VIRTIO_GPU_RESP_OK_NODATA,
                             .flags = request->flags,
                             .fence_id = request->fence_id}};
    uint32_t bytes = sizeof(response.header);

    if (type == 0 && request->type == VIRTIO_GPU_CMD_GET_CAPSET_INFO) {
        response.info.hdr.type = VIRTIO_GPU_RESP_OK_CAPSET_INFO;
        response.info.capset_id = 2;
        response.info.capset_max_version = 1;
        response.info.capset_max_size = CAPSET_BYTES;
        bytes = sizeof(response.info);
    } else if (type == 0 && request->type == VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB) {
        response.header.type = VIRTIO_GPU_RESP_OK_MAP_INFO;
        bytes = sizeof(response.map);
    } else if (type == 0 && request->type == VIRTIO_GPU_CMD_GET_DISPLAY_INFO) {
        response.header.type = VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
        bytes = sizeof(response.display);
    } else if (type == 0 && request->type == VIRTIO_GPU_CMD_GET_CAPSET) {
        response.header.type = VIRTIO_GPU_RESP_OK_CAPSET;
        memset(response.capset + sizeof(response.header), 0x5a, CAPSET_BYTES);
        bytes = sizeof(response.capset);
    }
    struct iov_cursor cursor;
    iov_cursor_init(&cursor, chain->iov + chain->n_out, chain->n_in);
    if (!iov_put(&cursor, &response, bytes))
        bytes = 0;
    give_back(s, chain, bytes);
}

/* One command; false ends the connection. */
static bool command(struct fake_server *s, struct vring_chain *chain)
{
    struct virtio_gpu_ctrl_hdr request = {0};
    bool faulty = s->commands++ >= s->options.after;
    uint16_t head = chain->head;

    iov_read_at(chain->iov, chain->n_out, 0, &request, sizeof(request));
    uint32_t refusal = fake_shmem_command(&s->shmem, s->options.shmem_fault, chain);
    if (refusal) {
        answer(s, chain, &request, refusal);
        return true;
    }
    switch (faulty ? s->options.ring_fault : RING_FINE) {
    case RING_FINE:
        answer(s, chain, &request, 0);
        return true;
    case RING_SILENT:
        vring_chain_finish(chain);
        return true;
    case RING_CLOSE:
        vring_chain_finish(chain);
        return false;
    case RING_HOLD_FENCES:
        if ((request.flags & VIRTIO_GPU_FLAG_FENCE) && s->n_held < HELD_MAX)
            s->held[s->n_held++] = (struct held){*chain, request};
        else
            answer(s, chain, &request, 0);
        return true;
    case RING_BAD_HEAD:
        chain->head = (uint16_t)(head ^ 0x80);
        give_back(s, chain, sizeof(request));
        return true;
    case RING_TWICE:
        vring_dev_push(&s->ring, head, sizeof(request));
        answer(s, chain, &request, 0);
        return true;
    case RING_AHEAD:
        s->ring.used_idx = (uint16_t)(s->ring.used_idx + 300);
        answer(s, chain, &request, 0);
        eventfd_write(s->call_fd, 1);
        return true;
    case RING_LONG:
        give_back(s, chain, 1u << 30);
        return true;
    case RING_SHORT:
        give_back(s, chain, 8);
        return true;
    case RING_UNWRITTEN:
        give_back(s, chain, sizeof(request));
        return true;
    case RING_NO_FENCE:
        request.flags = 0;
        answer(s, chain, &request, 0);
        return true;
    case RING_REFUSE:
        answer(s, chain, &request, (uint32_t)s->options.value);
        return true;
    case RING_SPEAK:
        vring_chain_finish(chain);
        return send_bytes(s, "hello", 5, -1);
    case RING_ERROR:
        vring_chain_finish(chain);
        eventfd_write(s->err_fd, 1);
        return true;
    }
    return false;
}

static bool take_commands(struct fake_server *s)
{
    struct vring_chain chain;
    eventfd_t count;

    eventfd_read(s->kick_fd, &count);
    for (;;) {
        vring_dev_enable_kick(&s->ring, false);
        while (vring_dev_pop(&s->ring, translate, s, &chain, NULL) == 1) {
            if (!command(s, &chain))
                return false;
        }
        vring_dev_enable_kick(&s->ring, true);
        if (!vring_dev_has_work(&s->ring))
            return true;
    }
}

static void release_held(struct fake_server *s)
{
    eventfd_t count;

    eventfd_read(s->release_fd, &count);
    s->options.ring_fault = RING_FINE;
    for (unsigned i = 0; i < s->n_held; i++)
        answer(s, &s->held[i].chain, &s->held[i].header, 0);
    s->n_held = 0;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *serve(void *arg)
{
    struct fake_server *s = arg;
    bool more = true;

    while (more) {
        struct pollfd fds[] = {
            {s->sock, POLLIN, 0},
            {s->stop_fd, POLLIN, 0},
            {s->release_fd, POLLIN, 0},
            {s->enabled ? s->kick_fd : -1, POLLIN, 0},
        };
        if (poll(fds, 4, 20000) <= 0 || fds[1].revents)
            break;
        if (fds[0].revents)
            more = take_message(s);
        if (more && fds[2].revents)
            release_held(s);
        if (more && fds[3].revents)
            more = take_commands(s);
    }
    shutdown(s->sock, SHUT_RDWR);
    return NULL;
}

struct fake_server *fake_server_start(const struct fake_options *options, int *ret_fd)
{
    struct fake_server *s = calloc(1, sizeof(*s));
    int pair[2];

    if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    s->options = *options;
    s->sock = pair[0];
    s->kick_fd = s->call_fd = s->err_fd = s->shmem.channel = -1;
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    s->release_fd = eventfd(0, EFD_CLOEXEC);
    pthread_create(&s->thread, NULL, serve, s);
    *ret_fd = pair[1];
    return s;
}

void fake_server_release(struct fake_server *s)
{
    eventfd_write(s->release_fd, 1);
}

void fake_server_kill(struct fake_server *s)
{
    eventfd_write(s->stop_fd, 1);
}

uint32_t fake_server_stop(struct fake_server *s)
{
    int *fds[] = {&s->sock,    &s->stop_fd, &s->release_fd,   &s->kick_fd,
                  &s->call_fd, &s->err_fd,  &s->shmem.channel};
    uint32_t commands;

    fake_server_kill(s);
    pthread_join(s->thread, NULL);
    for (unsigned i = 0; i < s->n_held; i++)
        vring_chain_finish(&s->held[i].chain);
    eventcount_unmap(s->shmem.completions);
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
    }
    if (s->memory && s->memory != MAP_FAILED)
        munmap(s->memory, s->region.size);
    commands = s->commands;
    free(s);
    return commands;
}
