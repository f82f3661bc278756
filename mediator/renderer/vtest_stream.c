/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vtest_stream.h"

#include "mediator/base/util.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Room to begin with: several small commands at once. */
#define BUFFER_MIN (64u << 10)
#define BODY_ALIGNMENT 8
/* Answers up to this size go out with their descriptor in one call: they fit one socket buffer, so
 * that they are sent whole or not at all. */
#define TOGETHER_MAX 256

/* ---- input ----------------------------------------------------------------------------------- */

void vtest_input_finish(struct vtest_input *in)
{
    free(in->data);
    *in = (struct vtest_input){0};
}

int vtest_input_reserve(struct vtest_input *in, size_t size)
{
    size_t bytes = vtest_input_bytes(in);
    bool aligned = in->start % BODY_ALIGNMENT == 0; /* so is a body behind a header of 8 */

    if (in->data && aligned && size <= in->capacity - in->start)
        return 0;
    if (in->data && size <= in->capacity) {
        memmove(in->data, in->data + in->start, bytes);
    } else {
        size_t capacity = MAX(size, (size_t)BUFFER_MIN);
        uint8_t *data = malloc(capacity);
        if (!data)
            return -ENOMEM;
        if (in->data && bytes)
            memcpy(data, in->data + in->start, bytes);
        free(in->data);
        in->data = data;
        in->capacity = capacity;
    }
    in->start = 0;
    in->end = bytes;
    return 0;
}

ssize_t vtest_input_fill(struct vtest_input *in, int sock)
{
    ssize_t n;

    do
        n = recv(sock, in->data + in->end, in->capacity - in->end, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    in->end += (size_t)n;
    return n;
}

void vtest_input_consume(struct vtest_input *in, size_t bytes)
{
    in->start += bytes;
    if (in->start < in->end)
        return;
    in->start = in->end = 0;
    if (in->capacity > VTEST_BUFFER_KEEP)
        vtest_input_finish(in);
}

/* ---- output ---------------------------------------------------------------------------------- */

void vtest_output_init(struct vtest_output *out)
{
    *out = (struct vtest_output){.fd = -1};
}

void vtest_output_finish(struct vtest_output *out)
{
    close_fd_p(&out->fd);
    free(out->data);
    vtest_output_init(out);
}

void *vtest_output_add(struct vtest_output *out, size_t size)
{
    uint8_t *added;

    if (size > out->capacity - out->end) {
        size_t capacity = out->end + size;
        uint8_t *data = realloc(out->data, capacity);
        if (!data)
            return NULL;
        out->data = data;
        out->capacity = capacity;
    }
    added = out->data + out->end;
    memset(added, 0, size);
    out->end += size;
    return added;
}

void vtest_output_fd(struct vtest_output *out, int fd)
{
    out->fd = fd;
}

static void sent(struct vtest_output *out, size_t bytes)
{
    out->start += bytes;
    if (out->start < out->end)
        return;
    out->start = out->end = 0;
    if (out->capacity > VTEST_BUFFER_KEEP) {
        free(out->data);
        out->data = NULL;
        out->capacity = 0;
    }
}

union fd_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void put_fd(struct msghdr *msg, union fd_control *control, int fd)
{
    struct cmsghdr *cmsg;

    memset(control, 0, sizeof(*control));
    msg->msg_control = control->bytes;
    msg->msg_controllen = sizeof(control->bytes);
    cmsg = CMSG_FIRSTHDR(msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
}

/* The bytes, the descriptor, or both: the next that the socket takes in one call. */
static int send_next(struct vtest_output *out, int sock)
{
    size_t bytes = out->end - out->start;
    struct iovec data = {.iov_base = out->data + out->start, .iov_len = bytes};
    struct iovec one = {.iov_base = (char[]){0}, .iov_len = 1};
    union fd_control control;
    struct mmsghdr msgs[2] = {0};
    unsigned n = 0;
    int r;

    if (bytes) {
        msgs[n].msg_hdr.msg_iov = &data;
        msgs[n++].msg_hdr.msg_iovlen = 1;
    }
    if (out->fd >= 0 && bytes <= TOGETHER_MAX) {
        msgs[n].msg_hdr.msg_iov = &one;
        msgs[n].msg_hdr.msg_iovlen = 1;
        put_fd(&msgs[n++].msg_hdr, &control, out->fd);
    }
    do
        r = sendmmsg(sock, msgs, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    for (int i = 0; i < r; i++) {
        if (msgs[i].msg_hdr.msg_control)
            close(take_fd(&out->fd));
        else
            sent(out, msgs[i].msg_len);
    }
    return 0;
}

int vtest_output_send(struct vtest_output *out, int sock)
{
    int r = 0;

    while (r == 0 && !vtest_output_empty(out))
        r = send_next(out, sock);
    return r;
}
