/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/display_queue.h"

#include "mediator/base/util.h"
#include "protocol/vhost_user_gpu.h"

#include <string.h>
#include <sys/socket.h>

void display_queue_init(struct display_queue *q)
{
    *q = (struct display_queue){.tail = &q->head};
}

static size_t msg_cost(const struct display_msg *msg)
{
    return sizeof(*msg) + msg->len;
}

static void remove_at(struct display_queue *q, struct display_msg **link)
{
    struct display_msg *msg = *link;

    *link = msg->next;
    if (q->tail == &msg->next)
        q->tail = link;
    q->bytes -= msg_cost(msg);
    q->messages--;
    close_fd_p(&msg->fd);
    free(msg);
}

void display_queue_finish(struct display_queue *q)
{
    while (q->head)
        remove_at(q, &q->head);
}

struct display_msg *display_queue_push(struct display_queue *q, uint32_t request,
                                       uint32_t scanout_id, const void *payload, size_t size,
                                       const void *more, size_t more_size)
{
    const struct vhost_user_gpu_header header = {.request = request,
                                                 .size = (uint32_t)(size + more_size)};
    struct display_msg *msg = malloc(sizeof(*msg) + sizeof(header) + size + more_size);

    if (!msg)
        return NULL;
    *msg = (struct display_msg){
        .request = request,
        .scanout_id = scanout_id,
        .fd = -1,
        .len = sizeof(header) + size + more_size,
    };
    memcpy(msg->data, &header, sizeof(header));
    if (size > 0)
        memcpy(msg->data + sizeof(header), payload, size);
    if (more_size > 0)
        memcpy(msg->data + sizeof(header) + size, more, more_size);
    *q->tail = msg;
    q->tail = &msg->next;
    q->bytes += msg_cost(msg);
    q->messages++;
    return msg;
}

uint32_t display_queue_drop(struct display_queue *q, uint32_t scanout_id, uint32_t requests)
{
    struct display_msg **link = &q->head;
    uint32_t dropped = 0;

    while (*link) {
        const struct display_msg *msg = *link;
        uint32_t bit = 1u << msg->request;

        if (msg->sent == 0 && msg->scanout_id == scanout_id && (requests & bit)) {
            dropped |= bit;
            remove_at(q, link);
        } else {
            link = &(*link)->next;
        }
    }
    return dropped;
}

static ssize_t msg_write(int sock, const struct display_msg *msg)
{
    struct iovec iov = {.iov_base = (uint8_t *)msg->data + msg->sent,
                        .iov_len = msg->len - msg->sent};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

    if (msg->fd >= 0) {
        hdr.msg_control = &control;
        hdr.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &msg->fd, sizeof(int));
    }
    return sendmsg(sock, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int display_queue_send(struct display_queue *q, int sock,
                       void (*started)(void *opaque, const struct display_msg *msg), void *opaque)
{
    while (q->head) {
        struct display_msg *msg = q->head;
        ssize_t n = msg_write(sock, msg);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (msg->sent == 0)
            started(opaque, msg);
        /* A descriptor goes with the first byte. */
        close_fd_p(&msg->fd);
        msg->fd = -1;
        msg->sent += (size_t)n;
        if (msg->sent == msg->len)
            remove_at(q, &q->head);
    }
    return 0;
}
