/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vhost_internal.h"

#include "mediator/base/util.h"
#include "protocol/msg_socket.h"

#include <stdio.h>
#include <string.h>

/* A message comes in one piece from a front-end that means well. One that stalls in the middle
 * holds up its own renderer only, and not for longer than this. */
#define MESSAGE_TIMEOUT_MS 10000

#define KNOWN_FLAGS (VHOST_USER_VERSION_MASK | VHOST_USER_REPLY | VHOST_USER_NEED_REPLY)

static void read_failed(struct vhost_backend *be, int error)
{
    switch (error) {
    case -ENODATA:
        vhost_closed(be);
        return;
    case -ECONNRESET:
        vhost_reject(be, "the front-end went away in the middle of a message");
        return;
    case -ETIMEDOUT:
        vhost_reject(be, "the front-end stalled in the middle of a message");
        return;
    case -EMSGSIZE:
        vhost_reject(be, "a message with too many descriptors");
        return;
    default:
        vhost_end(be, "the connection failed: %s", strerror(-error));
    }
}

/* Reads one message, whose descriptors are then msg's. False: the connection has ended. */
static bool read_message(struct vhost_backend *be, struct vhost_message *msg)
{
    int r = stream_read(be->fd, &msg->hdr, sizeof(msg->hdr), msg->fds, ARRAY_SIZE(msg->fds),
                        &msg->n_fds, MESSAGE_TIMEOUT_MS);
    if (r < 0) {
        read_failed(be, r);
        return false;
    }
    if ((msg->hdr.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
        (msg->hdr.flags & ~KNOWN_FLAGS) != 0 || (msg->hdr.flags & VHOST_USER_REPLY) != 0) {
        vhost_reject(be, "message %u: flags %#x make no sense", msg->hdr.request, msg->hdr.flags);
        return false;
    }
    if (msg->hdr.size > VHOST_USER_PAYLOAD_MAX) {
        vhost_reject(be, "message %u: %u bytes are too many", msg->hdr.request, msg->hdr.size);
        return false;
    }
    r = stream_read(be->fd, &msg->payload, msg->hdr.size, msg->fds, ARRAY_SIZE(msg->fds),
                    &msg->n_fds, MESSAGE_TIMEOUT_MS);
    if (r < 0) {
        read_failed(be, r == -ENODATA ? -ECONNRESET : r);
        return false;
    }
    return true;
}

/* The one place that holds a message against the table. */
static bool well_formed(struct vhost_backend *be, const struct vhost_message *msg,
                        const struct vhost_user_msg_info *info)
{
    if (msg->hdr.size < info->min_size || msg->hdr.size > info->max_size) {
        vhost_reject(be, "%s: %u bytes, not %u to %u", info->name, msg->hdr.size, info->min_size,
                     info->max_size);
        return false;
    }
    if (msg->n_fds < info->min_fds || msg->n_fds > info->max_fds) {
        vhost_reject(be, "%s: %zu descriptors, not %u to %u", info->name, msg->n_fds, info->min_fds,
                     info->max_fds);
        return false;
    }
    return true;
}

static void send_answer(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_user_header hdr = {
        .request = msg->hdr.request,
        .flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
        .size = msg->answer_bytes,
    };
    struct iovec iov[] = {
        {.iov_base = &hdr, .iov_len = sizeof(hdr)},
        {.iov_base = &msg->payload, .iov_len = msg->answer_bytes},
    };
    /* Nobody asks again before he has read, so the socket has room, or its peer means no good. */
    int r = msg_send(be->fd, iov, ARRAY_SIZE(iov), NULL, 0, 0);
    if (r == -EPIPE)
        vhost_closed(be);
    else if (r == -ETIMEDOUT || r == -EAGAIN)
        vhost_reject(be, "the front-end does not read its answers");
    else if (r < 0)
        vhost_end(be, "the connection failed: %s", strerror(-r));
}

static void send_ack(struct vhost_backend *be, struct vhost_message *msg, bool done)
{
    msg->payload.u64 = done ? 0 : 1;
    msg->answer_bytes = sizeof(msg->payload.u64);
    send_answer(be, msg);
}

static void handle_message(struct vhost_backend *be, struct vhost_message *msg)
{
    const struct vhost_user_msg_info *info = vhost_user_msg_info(msg->hdr.request);
    vhost_handler_fn handler = vhost_handler(msg->hdr.request);
    bool has_answer = info != NULL && info->replies;
    bool wants_ack = !has_answer && (msg->hdr.flags & VHOST_USER_NEED_REPLY) != 0 &&
                     (be->protocol_features & (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK)) != 0;
    char number[sizeof("message 4294967295")];

    snprintf(number, sizeof(number), "message %u", msg->hdr.request);
    const char *name = info != NULL ? info->name : number;
    int r = -EOPNOTSUPP;
    if (info != NULL && !well_formed(be, msg, info))
        return;
    if (info == NULL || handler == NULL)
        msg->reason = "not known here";
    else
        r = handler(be, msg);
    close_fds(msg->fds,
              msg->n_fds); /* those that nobody took; before the answer, which is a proof */

    if (be->ended)
        return; /* a ring that the handler set going may have been broken */
    if (r < 0 && !wants_ack) {
        vhost_reject(be, "%s: %s", name, msg->reason);
        return;
    }
    if (r < 0) {
        vhost_count_rejected(be);
        if (log_allowed(&be->refused_limit))
            log_warning("%s refused: %s", name, msg->reason);
    }
    if (has_answer)
        send_answer(be, msg);
    else if (wants_ack)
        send_ack(be, msg, r == 0);
}

int vhost_on_message(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct vhost_backend *be = opaque;
    struct vhost_message msg = {.reason = "can't be done"};

    if (be->ended)
        return 0;
    if (read_message(be, &msg))
        handle_message(be, &msg);
    close_fds(msg.fds, msg.n_fds); /* whatever came before the message turned out bad */
    return 0;
}
