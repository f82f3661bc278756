/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/broker_link.h"

#include "mediator/base/util.h"
#include "protocol/msg_socket.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct broker_link {
    int fd; /* owned */
    sd_event_source *source;
    const struct broker_link_ops *ops; /* borrowed */
    void *opaque;
};

/* The last thing that a callback does: ops->gone may destroy the link. */
static int gone(struct broker_link *link, const char *reason)
{
    sd_event_source_set_enabled(link->source, SD_EVENT_OFF);
    link->ops->gone(link->opaque, reason);
    return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct broker_link *link = opaque;
    struct broker_msg msg;
    int got_fd = -1;
    size_t n_fds = 0;

    ssize_t n = msg_recv(fd, &msg, sizeof(msg), &got_fd, 1, &n_fds);
    if (n == -EAGAIN)
        return 0;
    if (n == 0)
        return gone(link, "aliquotd is gone");
    if (n < 0)
        return gone(link, "the socket to aliquotd failed");

    _cleanup_close_ int conn = n_fds == 1 ? got_fd : -1;
    if (n < BROKER_MSG_HEADER || msg.version != BROKER_VERSION || msg.type != BROKER_SERVE ||
        conn < 0)
        return gone(link, "aliquotd sent a message that a renderer does not know");
    link->ops->serve(link->opaque, take_fd(&conn));
    return 0;
}

int broker_link_create(sd_event *event, int fd, const struct broker_link_ops *ops, void *opaque,
                       struct broker_link **ret)
{
    struct broker_link *link = calloc(1, sizeof(*link));
    if (link == NULL)
        return -ENOMEM;
    link->ops = ops;
    link->opaque = opaque;
    int r = sd_event_add_io(event, &link->source, fd, EPOLLIN, on_readable, link);
    if (r < 0) {
        free(link);
        return r;
    }
    link->fd = fd;
    *ret = link;
    return 0;
}

void broker_link_destroy(struct broker_link *link)
{
    if (link == NULL)
        return;
    sd_event_source_disable_unref(link->source);
    close(link->fd);
    free(link);
}

int broker_link_send(struct broker_link *link, enum broker_msg_type type, const char *text)
{
    struct broker_msg msg = {
        .version = BROKER_VERSION,
        .type = (uint16_t)type,
        .text_len = (uint32_t)strnlen(text, BROKER_TEXT_MAX),
    };
    memcpy(msg.text, text, msg.text_len);
    struct iovec iov = {.iov_base = &msg, .iov_len = BROKER_MSG_HEADER + msg.text_len};
    return msg_send(link->fd, &iov, 1, NULL, 0, 0);
}

int broker_stats_map(int fd, struct broker_stats **ret)
{
    if (fd >= 0) {
        struct stat st;
        if (fstat(fd, &st) < 0)
            return -errno;
        if (st.st_size < BROKER_STATS_BYTES)
            return -EINVAL;
    }
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *page = mmap(NULL, BROKER_STATS_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    *ret = page;
    return 0;
}
