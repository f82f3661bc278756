/* SPDX-License-Identifier: MIT */
/*
 * The host-visible region: asking the front-end to show blobs in it, and hearing what it did.
 *
 * Nothing waits here: requests go out, and the event loop brings answers, so that the front-end is
 * served meanwhile; it may need that before it can answer. A front-end that has negotiated memory
 * slots (QEMU) answers before the guest can see the blob, and lists it in its memory table once it
 * can: only then is the guest told.
 *
 * QEMU (11.1) follows a NULL pointer at a request that it finds on its socket when it has stopped
 * the device. No request is sent while the rings are stopped, therefore, and no second one before
 * the answer to the first: at the moment of a stop, at most one is on its way.
 *
 * The front-end is hostile. One that answers nonsense, or not at all, is asked no more: its guest
 * gets errors for what it wants mapped and is served otherwise.
 */
#include "mediator/renderer/vhost_internal.h"

#include "mediator/base/util.h"
#include "protocol/msg_socket.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* How long an answer may take after the one before, and a listing after it. QEMU's main loop takes
 * milliseconds (tens where hundreds of blobs are mapped, and it takes requests one by one), and
 * stands still for longer only while the guest does, too. */
#define ANSWER_US UINT64_C(5000000)
/* How often that is looked at, while anything is waited for. */
#define CHECK_US UINT64_C(1000000)

struct vhost_shmem_map {
    struct vhost_shmem_map *next;
    dev_t dev; /* what is shown, by which it is known again in the memory table */
    ino_t ino;
    uint64_t fd_offset, offset, bytes;
    bool asked_for;        /* its SHMEM_MAP is on its way */
    bool leaving;          /* its SHMEM_UNMAP is */
    bool listed, unlisted; /* is in the memory table, or was */
    struct vhost_user_region region;
    struct gpu_cmd *cmd; /* borrowed; waits for the listing; NULL = none does */
    uint64_t shown_us;
};

struct vhost_shmem_request {
    struct vhost_shmem_request *next;
    uint32_t type;               /* enum vhost_user_backend_request */
    struct vhost_shmem_map *map; /* borrowed */
    struct gpu_cmd *cmd;         /* borrowed; waits for the answer; NULL = none does */
    int fd;                      /* owned; to be sent; -1 = none */
    bool sent;
    uint64_t since_us;
};

static uint64_t now_us(struct vhost_backend *be)
{
    uint64_t now = 0;

    (void)sd_event_now(be->config.event, CLOCK_MONOTONIC, &now);
    return now;
}

static bool has_protocol_feature(const struct vhost_backend *be, unsigned bit)
{
    return be->protocol_features >> bit & 1;
}

bool vhost_shmem_offered(const struct vhost_backend *be)
{
    return has_protocol_feature(be, VHOST_USER_PROTOCOL_F_SHMEM) &&
           has_protocol_feature(be, VHOST_USER_PROTOCOL_F_BACKEND_REQ) &&
           has_protocol_feature(be, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

static void watch_time(struct vhost_backend *be)
{
    sd_event_source *source = be->shmem.check_source;
    int enabled = SD_EVENT_OFF;

    if (sd_event_source_get_enabled(source, &enabled) >= 0 && enabled != SD_EVENT_OFF)
        return;
    (void)sd_event_source_set_time(source, now_us(be) + CHECK_US);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void map_free(struct vhost_shmem *s, struct vhost_shmem_map *map)
{
    struct vhost_shmem_map **link = &s->maps;

    while (*link != map)
        link = &(*link)->next;
    *link = map->next;
    free(map);
}

static void request_free(struct vhost_shmem_request *req)
{
    close_fd_p(&req->fd);
    free(req);
}

/* Tells the device, if it still waits. */
static void done(struct vhost_backend *be, struct gpu_cmd *cmd, int result)
{
    if (cmd != NULL)
        gpu_device_shmem_done(be->device, cmd, result);
}

/* ---- the end of the socket ------------------------------------------------------------------ */

static void drop_socket(struct vhost_backend *be)
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
        done(be, req->cmd, -EPIPE);
        request_free(req);
        req = next;
    }
    while (map != NULL) {
        struct vhost_shmem_map *next = map->next;
        if (map->asked_for || map->leaving)
            map_free(s, map);
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
    drop_socket(be);
    vhost_batch_end(be);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* 0; -EAGAIN where the socket is full, or its other end gone, of which the event loop tells; or
 * -ENOMEM. */
static int send_request(struct vhost_backend *be, const struct vhost_shmem_request *req, int fd)
{
    struct vhost_user_header hdr = {
        .request = req->type,
        .flags = VHOST_USER_VERSION | VHOST_USER_NEED_REPLY,
        .size = sizeof(struct vhost_user_mmap),
    };
    struct vhost_user_mmap mmap = {
        .shmid = VIRTIO_GPU_SHM_ID_HOST_VISIBLE,
        .fd_offset = req->map->fd_offset,
        .shm_offset = req->map->offset,
        .len = req->map->bytes,
        .flags = VHOST_USER_MMAP_RW,
    };
    struct iovec iov[] = {
        {.iov_base = &hdr, .iov_len = sizeof(hdr)},
        {.iov_base = &mmap, .iov_len = sizeof(mmap)},
    };
    int r = msg_send(be->shmem.fd, iov, ARRAY_SIZE(iov), &fd, fd >= 0 ? 1 : 0, 0);
    if (r == 0 || r == -EAGAIN)
        return r;
    return r == -EPIPE ? -EAGAIN : -ENOMEM;
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
    bool full = send_request(be, req, req->fd) < 0;
    (void)want_events(be, full);
    if (full)
        return; /* a socket that stays so is given up by the clock */
    req->sent = true;
    close_fd_p(&req->fd);
    req->fd = -1;
}

/* 0, -EPIPE without a socket, or -ENOMEM. fd is borrowed, -1 = none. */
static int request(struct vhost_backend *be, uint32_t type, struct vhost_shmem_map *map, int fd,
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
        .type = type, .map = map, .cmd = cmd, .fd = -1, .since_us = now_us(be)};
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
    watch_time(be);
    return 0;
}

/* Has a map taken back that the device knows no more; without a socket there is only to forget
 * it. */
static void abandon(struct vhost_backend *be, struct vhost_shmem_map *map)
{
    int r = request(be, VHOST_USER_BACKEND_SHMEM_UNMAP, map, -1, NULL);

    if (r == 0)
        map->leaving = true;
    else if (r == -EPIPE)
        map_free(&be->shmem, map);
}

int vhost_shmem_map(void *opaque, const struct gpu_shmem_map *args, struct gpu_cmd *cmd)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_map *map;
    struct stat st;

    if (s->fd < 0 || !vhost_shmem_offered(be))
        return -EOPNOTSUPP;
    if (fstat(args->fd, &st) < 0)
        return -errno;
    map = malloc(sizeof(*map));
    if (map == NULL)
        return -ENOMEM;
    *map = (struct vhost_shmem_map){
        .next = s->maps,
        .dev = st.st_dev,
        .ino = st.st_ino,
        .fd_offset = args->fd_offset,
        .offset = args->offset,
        .bytes = args->bytes,
        .asked_for = true,
    };
    s->maps = map;
    int r = request(be, VHOST_USER_BACKEND_SHMEM_MAP, map, args->fd, cmd);
    if (r < 0)
        map_free(s, map);
    return r;
}

int vhost_shmem_unmap(void *opaque, uint64_t offset, uint64_t bytes, struct gpu_cmd *cmd)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem_map *map = be->shmem.maps;

    while (map != NULL && (map->leaving || map->offset != offset || map->bytes != bytes))
        map = map->next;
    if (map == NULL)
        return -EPIPE; /* went with an earlier socket */
    int r = request(be, VHOST_USER_BACKEND_SHMEM_UNMAP, map, -1, cmd);
    if (r < 0)
        map_free(&be->shmem, map);
    else
        map->leaving = true;
    return r;
}

/* Takes back what was not sent yet. */
static void drop_unsent(struct vhost_shmem *s)
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
            map_free(s, req->map); /* no other request is about it: that would be behind it */
        else
            req->map->leaving = false;
        request_free(req);
    }
    s->tail = link;
}

void vhost_shmem_clear(void *opaque)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem *s = &be->shmem;

    drop_unsent(s);
    for (struct vhost_shmem_request *req = s->requests; req != NULL; req = req->next)
        req->cmd = NULL;
    for (struct vhost_shmem_map *map = s->maps, *next; map != NULL; map = next) {
        next = map->next;
        map->cmd = NULL;
        /* A front-end that has reset its device hides all by itself, and says so in its table. */
        if (map->unlisted && !map->leaving && !map->asked_for)
            map_free(s, map);
        else if (!map->leaving && !be->ended)
            abandon(be, map);
    }
}

void vhost_shmem_cancel(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request **link = &s->requests;

    for (struct vhost_shmem_map *map = s->maps; map != NULL; map = map->next)
        done(be, TAKE_PTR(map->cmd), 0);
    while (*link != NULL) {
        struct vhost_shmem_request *req = *link;
        struct gpu_cmd *cmd = TAKE_PTR(req->cmd);
        if (cmd == NULL || req->type == VHOST_USER_BACKEND_SHMEM_UNMAP) {
            done(be, cmd, 0); /* an unmap is done before the guest needs the place */
            link = &req->next;
        } else if (req->sent) {
            done(be, cmd, -EINTR);
            abandon(be, req->map);
            link = &req->next;
        } else {
            done(be, cmd, -EINTR);
            *link = req->next;
            if (s->tail == &req->next)
                s->tail = link;
            map_free(s, req->map);
            request_free(req);
        }
    }
}

void vhost_shmem_resume(struct vhost_backend *be)
{
    be->shmem.progress_us = now_us(be);
    send_next(be);
    watch_time(be);
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

/* The front-end says that it shows the map. */
static void map_shown(struct vhost_backend *be, struct vhost_shmem_map *map, struct gpu_cmd *cmd)
{
    bool lists = has_protocol_feature(be, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) &&
                 !be->shmem.never_lists;

    if (cmd == NULL || !lists || map->listed || map->unlisted) {
        done(be, cmd, 0);
        return;
    }
    map->cmd = cmd;
    map->shown_us = now_us(be);
    watch_time(be);
}

static void take_answer(struct vhost_backend *be, bool yes)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_request *req = s->requests;
    struct vhost_shmem_map *map = req->map;

    s->progress_us = now_us(be);
    s->requests = req->next;
    if (s->requests == NULL)
        s->tail = &s->requests;
    if (req->type == VHOST_USER_BACKEND_SHMEM_MAP)
        map->asked_for = false;
    if (req->type == VHOST_USER_BACKEND_SHMEM_MAP && yes) {
        map_shown(be, map, req->cmd);
    } else {
        if (req->type == VHOST_USER_BACKEND_SHMEM_UNMAP || !map->leaving)
            map_free(s, map);
        done(be, req->cmd, yes ? 0 : -EIO);
    }
    request_free(req);
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

/* ---- time ----------------------------------------------------------------------------------- */

/* A map was not listed in time. */
static void listing_overdue(struct vhost_backend *be, struct vhost_shmem_map *map)
{
    struct gpu_cmd *cmd = TAKE_PTR(map->cmd);

    if (!be->shmem.lists_maps) {
        /* It does not do that at all, then its word counts. */
        be->shmem.never_lists = true;
        done(be, cmd, 0);
        return;
    }
    done(be, cmd, -EIO); /* the guest may have switched the region off */
    abandon(be, map);
}

static int on_check(sd_event_source *source, uint64_t usec, void *opaque)
{
    struct vhost_backend *be = opaque;
    struct vhost_shmem *s = &be->shmem;
    uint64_t now = now_us(be);
    bool waits = false;

    vhost_batch_begin(be);
    for (struct vhost_shmem_map *map = s->maps, *next; map != NULL; map = next) {
        next = map->next;
        if (map->cmd == NULL)
            continue;
        if (now - map->shown_us >= ANSWER_US)
            listing_overdue(be, map); /* the map may be gone */
        else
            waits = true;
    }
    bool asks = s->requests != NULL && be->queues[VIRTIO_GPU_QUEUE_CONTROL].started;
    if (asks && now - MAX(s->requests->since_us, s->progress_us) >= ANSWER_US) {
        socket_lost(be, "no answer");
        asks = false;
    }
    if (waits || asks)
        watch_time(be);
    vhost_batch_end(be);
    return 0;
}

/* ---- the memory table ----------------------------------------------------------------------- */

static bool same_region(const struct vhost_user_region *a, const struct vhost_user_region *b)
{
    return a->gpa == b->gpa && a->uva == b->uva && a->size == b->size;
}

bool vhost_shmem_region_added(struct vhost_backend *be, const struct vhost_user_region *region,
                              int fd)
{
    struct vhost_shmem *s = &be->shmem;
    struct vhost_shmem_map *map = s->maps;
    struct stat st;

    if (map == NULL || s->n_regions == GUEST_MEM_REGIONS_MAX || fstat(fd, &st) < 0)
        return false;
    while (map != NULL && (map->listed || map->dev != st.st_dev || map->ino != st.st_ino ||
                           map->fd_offset != region->mmap_offset || map->bytes != region->size))
        map = map->next;
    if (map == NULL)
        return false;
    s->regions[s->n_regions++] = *region;
    s->lists_maps = true;
    map->listed = true;
    map->unlisted = false;
    map->region = *region;
    done(be, TAKE_PTR(map->cmd), 0);
    return true;
}

bool vhost_shmem_region_removed(struct vhost_backend *be, const struct vhost_user_region *region)
{
    struct vhost_shmem *s = &be->shmem;
    size_t i = 0;

    while (i < s->n_regions && !same_region(&s->regions[i], region))
        i++;
    if (i == s->n_regions)
        return false;
    s->regions[i] = s->regions[--s->n_regions];
    for (struct vhost_shmem_map *map = s->maps; map != NULL; map = map->next) {
        if (map->listed && same_region(&map->region, region)) {
            map->listed = false;
            map->unlisted = true;
        }
    }
    return true;
}

void vhost_shmem_regions_cleared(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;

    s->n_regions = 0;
    for (struct vhost_shmem_map *map = s->maps; map != NULL; map = map->next) {
        map->unlisted |= map->listed;
        map->listed = false;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

int vhost_shmem_init(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;

    s->fd = -1;
    s->tail = &s->requests;
    s->regions = calloc(GUEST_MEM_REGIONS_MAX, sizeof(*s->regions));
    if (s->regions == NULL)
        return -ENOMEM;
    int r =
        sd_event_add_time(be->config.event, &s->check_source, CLOCK_MONOTONIC, 0, 0, on_check, be);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(s->check_source, SD_EVENT_OFF);
}

void vhost_shmem_finish(struct vhost_backend *be)
{
    struct vhost_shmem *s = &be->shmem;

    drop_socket(be);
    while (s->maps != NULL)
        map_free(s, s->maps);
    s->check_source = sd_event_source_disable_unref(s->check_source);
    free(TAKE_PTR(s->regions));
}

int vhost_shmem_set_fd(struct vhost_backend *be, int fd)
{
    sd_event_source *source;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int r = sd_event_add_io(be->config.event, &source, fd, EPOLLIN, on_socket, be);
    if (r < 0)
        return r;
    vhost_batch_begin(be);
    drop_socket(be);
    vhost_batch_end(be);
    be->shmem.fd = fd;
    be->shmem.fd_source = source;
    return 0;
}
