/* SPDX-License-Identifier: MIT */
/*
 * Requests of ours to the front-end, about the host-visible region, and its answers.
 *
 * QEMU (11.1) follows a NULL pointer at a request that it finds on its socket when it has stopped
 * the device. No request is sent while the rings are stopped, therefore, and no second one before
 * the answer to the first: at the moment of a stop, at most one is on its way.
 *
 * The front-end is hostile. One that answers nonsense, or not at all, is asked no more: its guest
 * gets errors for what it wants mapped and is served otherwise.
 */
#include "mediator/renderer/vhost_shmem_internal.h"

#include "mediator/base/util.h"
#include "protocol/eventcount.h"
#include "protocol/msg_socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* What a driver may leave unread, as the kernel counts it: some 160 messages. It reads all of them
 * before it believes an answer. */
#define UNREAD_BYTES_MAX 122880

void vhost_request_free(struct vhost_shmem_request *req)
{
    close_fd_p(&req->fd);
    free(req);
}

/* ---- its end -------------------------------------------------------------------------------- */

void vhost_request_drop_socket(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request *req = s->requests;
    struct vhost_shmem_map *map = s->maps;

    s->fd_source = sd_event_source_disable_unref(s->fd_source);
    close_fd_p(&s->fd);
    s->fd = -1;
    s->in_bytes = 0;
    s->requests = NULL;
    s->tail = &s->requests;
    while (req != NULL) {
        struct vhost_shmem_request *next = req->next;
        vhost_shmem_done(be, req->cmd, -EPIPE);
        vhost_request_free(req);
        req = next;
    }
    while (map != NULL) {
        struct vhost_shmem_map *next = map->next;
        if (map->asked_for || map->leaving)
            vhost_shmem_map_free(s, map);
        map = next;
    }
}

/* The front-end is asked no more. */
static void socket_lost(struct vhost_backend *be, const char *why)
{
    if (why != NULL) {
        vhost_count_rejected(be);
        log_warning("requests to the front-end: %s; blobs can't be mapped any more", why);
    } else {
        log_debug("the front-end does not take requests any more");
    }
    vhost_batch_begin(be);
    vhost_request_drop_socket(be);
    vhost_batch_end(be);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* fd -1 = none. 0; -EAGAIN where the socket is full, or its other end gone, of which the event loop
 * tells; or -ENOMEM. */
static int send_message(struct vhost_backend *be, uint32_t type, uint32_t flags, uint8_t shmid,
                        const struct gpu_shmem_map *map)
{
    struct vhost_user_header hdr = {
        .request = type,
        .flags = VHOST_USER_VERSION | flags,
        .size = sizeof(struct vhost_user_mmap),
    };
    struct vhost_user_mmap mmap = {
        .shmid = shmid,
        .fd_offset = map->fd_offset,
        .shm_offset = map->offset,
        .len = map->bytes,
        .flags = VHOST_USER_MMAP_RW,
    };
    struct iovec iov[] = {
        {.iov_base = &hdr, .iov_len = sizeof(hdr)},
        {.iov_base = &mmap, .iov_len = sizeof(mmap)},
    };
    int r = msg_send(be->shmem.fd, iov, ARRAY_SIZE(iov), &map->fd, map->fd >= 0 ? 1 : 0, 0);
    if (r == 0 || r == -EAGAIN)
        return r;
    return r == -EPIPE ? -EAGAIN : -ENOMEM;
}

/* Whether the front-end has read what it was sent. Descriptors that lie in a socket are ours to
 * answer for, also after we have closed our end. */
static bool reads_on(const struct vhost_backend *be)
{
    int bytes;

    return ioctl(be->shmem.fd, SIOCOUTQ, &bytes) == 0 && bytes <= UNREAD_BYTES_MAX;
}

int vhost_request_show(struct vhost_backend *be, const struct gpu_shmem_map *args)
{
    if (be->shmem.fd < 0)
        return -EPIPE;
    if (!reads_on(be))
        return -ENOMEM;
    int r = send_message(be, VHOST_USER_BACKEND_SHMEM_MAP, 0, VIRTIO_GPU_SHM_ID_HOST_VISIBLE, args);
    return r < 0 ? -ENOMEM : 0;
}

/* The first message to a new socket. */
static void show_completions(struct vhost_backend *be)
{
    const struct gpu_shmem_map map = {.fd = be->config.completions_fd, .bytes = EVENTCOUNT_BYTES};

    /* Who has filled his new socket himself does without. */
    if (send_message(be, VHOST_USER_BACKEND_SHMEM_MAP, 0, VHOST_USER_SHMID_COMPLETIONS, &map) < 0)
        log_debug("the front-end can't be shown what ends on the GPU");
}

static int send_request(struct vhost_backend *be, const struct vhost_shmem_request *req)
{
    const struct gpu_shmem_map map = {
        .fd = req->fd,
        .fd_offset = req->map->fd_offset,
        .offset = req->map->offset,
        .bytes = req->map->bytes,
    };

    return send_message(be, req->type, VHOST_USER_NEED_REPLY, VIRTIO_GPU_SHM_ID_HOST_VISIBLE, &map);
}

static int want_events(struct vhost_backend *be, bool out)
{
    return sd_event_source_set_io_events(be->shmem.fd_source, EPOLLIN | (out ? EPOLLOUT : 0));
}

/* Sends the oldest request, if it may be. */
static void send_next(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request *req = s->requests;

    if (s->fd < 0 || req == NULL || req->sent || !be->queues[VIRTIO_GPU_QUEUE_CONTROL].started)
        return;
    bool full = send_request(be, req) < 0;
    (void)want_events(be, full);
    if (full)
        return; /* a socket that stays so is given up by the clock */
    req->sent = true;
    close_fd_p(&req->fd);
    req->fd = -1;
}

int vhost_request(struct vhost_backend *be, uint32_t type, struct vhost_shmem_map *map, int fd,
                  struct gpu_cmd *cmd)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request *req;

    if (s->fd < 0)
        return -EPIPE;
    req = malloc(sizeof(*req));
    if (req == NULL)
        return -ENOMEM;
    *req = (struct vhost_shmem_request){
        .type = type, .map = map, .cmd = cmd, .fd = -1, .since_us = vhost_shmem_now_us(be)};
    if (fd >= 0) {
        req->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (req->fd < 0) {
            free(req);
            return -ENOMEM;
        }
    }
    *s->tail = req;
    s->tail = &req->next;
    send_next(be);
    vhost_shmem_watch_time(be);
    return 0;
}

void vhost_request_drop_unsent(struct vhost_shmem *s)
{
    struct vhost_shmem_request **link = &s->requests;

    while (*link != NULL) {
        struct vhost_shmem_request *req = *link;
        if (req->sent) {
            link = &req->next;
            continue;
        }
        *link = req->next;
        if (req->type == VHOST_USER_BACKEND_SHMEM_MAP)
            vhost_shmem_map_free(
                s, req->map); /* no other request is about it: that would be behind it */
        else
            req->map->leaving = false;
        vhost_request_free(req);
    }
    s->tail = link;
}

void vhost_shmem_resume(struct vhost_backend *be)
{
    be->shmem.progress_us = vhost_shmem_now_us(be);
    send_next(be);
    vhost_shmem_watch_time(be);
}

void vhost_shmem_tell_config(struct vhost_backend *be)
{
    const struct vhost_user_header hdr = {
        .request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
        .flags = VHOST_USER_VERSION,
    };

    if (be->shmem.fd < 0)
        return;
    /* A front-end that does not read what is queued hears of the change from that. */
    if (send(be->shmem.fd, &hdr, sizeof(hdr), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("the front-end can't be told of a change: %m");
}

/* ---- answers -------------------------------------------------------------------------------- */

static void take_answer(struct vhost_backend *be, bool yes)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request *req = s->requests;
    struct vhost_shmem_map *map = req->map;

    s->progress_us = vhost_shmem_now_us(be);
    s->requests = req->next;
    if (s->requests == NULL)
        s->tail = &s->requests;
    if (req->type == VHOST_USER_BACKEND_SHMEM_MAP)
        map->asked_for = false;
    if (req->type == VHOST_USER_BACKEND_SHMEM_MAP && yes) {
        vhost_shmem_map_shown(be, map, req->cmd);
    } else {
        if (req->type == VHOST_USER_BACKEND_SHMEM_UNMAP || !map->leaving)
            vhost_shmem_map_free(s, map);
        vhost_shmem_done(be, req->cmd, yes ? 0 : -EIO);
    }
    vhost_request_free(req);
    send_next(be);
}

/* Whether s->in is the answer to the oldest request. */
static const char *check_answer(const struct vhost_shmem *s, const struct vhost_user_header *hdr)
{
    const uint32_t want = VHOST_USER_VERSION | VHOST_USER_REPLY;

    if (s->requests == NULL || !s->requests->sent)
        return "an answer to no request";
    if (hdr->request != s->requests->type)
        return "an answer to another request";
    if ((hdr->flags & ~VHOST_USER_NEED_REPLY) != want || hdr->size != sizeof(uint64_t))
        return "an answer that makes no sense";
    return NULL;
}

/* Reads what is there, up to one answer; recv(2) drops descriptors. False: there is no more. */
static bool read_answer(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_user_header hdr;
    uint64_t value;
    ssize_t n = recv(s->fd, s->in + s->in_bytes, sizeof(s->in) - s->in_bytes, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        socket_lost(be, NULL);
        return false;
    }
    s->in_bytes += (size_t)n;
    if (s->in_bytes < sizeof(s->in))
        return false;
    s->in_bytes = 0;
    memcpy(&hdr, s->in, sizeof(hdr));
    memcpy(&value, s->in + sizeof(hdr), sizeof(value));
    const char *wrong = check_answer(s, &hdr);
    if (wrong != NULL) {
        socket_lost(be, wrong);
        return false;
    }
    take_answer(be, value == 0);
    return s->requests != NULL;
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct vhost_backend *be = opaque;

    vhost_batch_begin(be);
    if (revents & EPOLLOUT)
        send_next(be);
    while (be->shmem.fd >= 0 && read_answer(be))
        ;
    vhost_batch_end(be);
    return 0;
}

bool vhost_request_pending(struct vhost_backend *be, uint64_t now)
{
    struct vhost_shmem *s = &be->shmem;
    bool asks = s->requests != NULL && be->queues[VIRTIO_GPU_QUEUE_CONTROL].started;

    if (asks && now - MAX(s->requests->since_us, s->progress_us) >= ANSWER_US) {
        socket_lost(be, "no answer");
        asks = false;
    }
    return asks;
}

/* ---- the socket ----------------------------------------------------------------------------- */

int vhost_shmem_set_fd(struct vhost_backend *be, int fd)
{
    sd_event_source *source;
    int flags = fcntl(fd, F_GETFL);

    if (be->shmem.fd >= 0 && !reads_on(be)) /* or it would gather sockets full of descriptors */
        return -EBUSY;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int r = sd_event_add_io(be->config.event, &source, fd, EPOLLIN, on_socket, be);
    if (r < 0)
        return r;
    vhost_batch_begin(be);
    vhost_request_drop_socket(be);
    vhost_batch_end(be);
    be->shmem.fd = fd;
    be->shmem.fd_source = source;
    if (vhost_shmem_has_completions(be))
        show_completions(be);
    return 0;
}
