/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/host_visible.h"
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void host_visible_init(struct host_visible *v)
{
    *v = (struct host_visible){.sock = -1, .input_fd = -1};
}

void host_visible_finish(struct host_visible *v)
{
    if (v->sock >= 0)
        close(v->sock);
    if (v->input_fd >= 0)
        close(v->input_fd);
    eventcount_unmap(v->completions);
    guest_heap_finish(&v->heap);
    host_visible_init(v);
}

int host_visible_start(struct host_visible *v, int sock, uint64_t bytes, bool shows_completions)
{
    int result = guest_heap_init(&v->heap, bytes);

    if (result < 0)
        return result;
    v->sock = sock;
    v->shows_completions = shows_completions;
    return 0;
}

/* ---- messages in ---------------------------------------------------------------------------- */

static bool take_fd(struct host_visible *v, struct msghdr *msg)
{
    bool fine = !(msg->msg_flags & MSG_CTRUNC);

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (fine && v->input_fd < 0) {
                v->input_fd = fd;
            } else {
                close(fd);
                fine = false;
            }
        }
    }
    return fine;
}

/* Bytes of the message that is coming: its header says how many, once it is there. */
static size_t message_bytes(const struct host_visible *v)
{
    const size_t header = sizeof(v->input.header);

    return v->input_bytes < header ? header : header + v->input.header.size;
}

/* Reads more of a message: 1 when it is complete, 0 when the rest has not come, or an error. */
static int read_message(struct host_visible *v)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))]; /* one too many is noticed */
    } control;

    while (v->input_bytes < message_bytes(v)) {
        struct iovec iov = {(uint8_t *)&v->input + v->input_bytes,
                            message_bytes(v) - v->input_bytes};
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n = recvmsg(v->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -ECONNRESET;
        if (!take_fd(v, &msg))
            return -EPROTO;
        if (n == 0)
            return -ECONNRESET;
        v->input_bytes += (size_t)n;
        if (v->input_bytes >= sizeof(v->input.header) &&
            v->input.header.size > sizeof(v->input.map))
            return -EPROTO;
    }
    return 1;
}

/* ---- what they ask for ---------------------------------------------------------------------- */

static bool is_inside(const struct host_visible *v, const struct vhost_user_mmap *map)
{
    return map->shmid == VIRTIO_GPU_SHM_ID_HOST_VISIBLE && map->len != 0 &&
           map->shm_offset <= v->heap.size_bytes &&
           map->len <= v->heap.size_bytes - map->shm_offset;
}

/* True if all of the part of fd is there, so that no access to it faults. */
static bool is_long_enough(int fd, uint64_t offset, uint64_t bytes)
{
    struct stat st;

    if (offset % GUEST_HEAP_GRANULE != 0 || offset > INT64_MAX || bytes > INT64_MAX - offset ||
        fstat(fd, &st) < 0)
        return false;
    /* A dma-buf tells its size by lseek(2) alone. */
    off_t size = S_ISREG(st.st_mode) ? st.st_size : lseek(fd, 0, SEEK_END);
    return size > 0 && (uint64_t)size >= offset + bytes;
}

/* The blob for which a RESOURCE_MAP_BLOB is in flight that asks for just this. */
static struct vhost_resource *wanted(struct vhost_vgpu *vgpu, const struct vhost_user_mmap *map)
{
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        const struct ring_command *cmd = &vgpu->commands[i];
        if (!cmd->resource || cmd->type != VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB)
            continue;
        struct vhost_resource *resource = cmd->resource;
        if (resource->placing && !resource->shown && resource->place &&
            resource->place->offset == map->shm_offset && resource->base.blob_bytes == map->len &&
            resource->host_fd < 0)
            return resource;
    }
    return NULL;
}

/* Takes the descriptor of the message. False: it is not what was asked for. */
static bool show(struct vhost_vgpu *vgpu, const struct vhost_user_mmap *map)
{
    struct host_visible *v = &vgpu->visible;
    struct vhost_resource *resource = wanted(vgpu, map);

    if (!resource || !is_long_enough(v->input_fd, map->fd_offset, map->len))
        return false;
    resource->host_fd = v->input_fd;
    resource->host_fd_offset = map->fd_offset;
    v->input_fd = -1;
    return true;
}

/* The eventcount, once. Others write it at will: it makes nobody wait longer than he would have.
 * False: it is not what was announced. */
static bool show_completions(struct host_visible *v, const struct vhost_user_mmap *map)
{
    if (!v->shows_completions || map->fd_offset != 0 || map->shm_offset != 0 ||
        map->len != EVENTCOUNT_BYTES || !is_long_enough(v->input_fd, 0, EVENTCOUNT_BYTES))
        return false;
    v->shows_completions = false;
    struct eventcount *mapped;
    if (eventcount_map(v->input_fd, &mapped) < 0)
        return false;
    __atomic_store_n(&v->completions, mapped, __ATOMIC_RELEASE);
    return true;
}

static bool do_map(struct vhost_vgpu *vgpu, const struct vhost_user_mmap *map)
{
    if (map->shmid == VHOST_USER_SHMID_COMPLETIONS)
        return show_completions(&vgpu->visible, map);
    return is_inside(&vgpu->visible, map) && show(vgpu, map);
}

/* ---- serving -------------------------------------------------------------------------------- */

static int answer(struct host_visible *v, uint64_t status)
{
    struct {
        struct vhost_user_header header;
        uint64_t status;
    } __attribute__((packed)) reply = {
        .header = {v->input.header.request, VHOST_USER_VERSION | VHOST_USER_REPLY, sizeof(status)},
        .status = status,
    };
    ssize_t n;

    do
        n = send(v->sock, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == sizeof(reply))
        return 0;
    /* A server that does not read its answers for so long has not read a hundred of them. */
    return n < 0 && errno != EAGAIN ? -ECONNRESET : -EPROTO;
}

/* A complete message. Status 0 = done; -EPROTO: it makes no sense. */
static int obey(struct vhost_vgpu *vgpu, uint64_t *ret_status)
{
    struct host_visible *v = &vgpu->visible;
    const struct vhost_user_header header = v->input.header;
    const struct vhost_user_mmap map = v->input.map;
    bool maps = header.request == VHOST_USER_BACKEND_SHMEM_MAP;

    if ((header.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
        (header.flags & VHOST_USER_REPLY))
        return -EPROTO;
    switch (header.request) {
    case VHOST_USER_BACKEND_CONFIG_CHANGE_MSG: /* of the display, which we haven't */
        *ret_status = 0;
        return header.size == 0 && v->input_fd < 0 ? 0 : -EPROTO;
    case VHOST_USER_BACKEND_SHMEM_MAP:
    case VHOST_USER_BACKEND_SHMEM_UNMAP:
        if (header.size != sizeof(map) || (v->input_fd >= 0) != maps)
            return -EPROTO;
        /* Nobody is shown anything at these offsets but by our own commands, so that what is hidden
         * there is a matter of our own, too. */
        *ret_status =
            (map.flags & ~VHOST_USER_MMAP_RW) || !(maps ? do_map(vgpu, &map) : is_inside(v, &map));
        return 0;
    default:
        return -EPROTO;
    }
}

void host_visible_serve(struct vhost_vgpu *vgpu, unsigned max_messages)
{
    struct host_visible *v = &vgpu->visible;
    int result = 1;

    for (unsigned i = 0; i < max_messages && v->sock >= 0 && !vgpu->base.lost; i++) {
        uint64_t status;
        result = read_message(v);
        if (result == 0)
            return;
        if (result == 1)
            result = obey(vgpu, &status);
        if (result == 0 && (v->input.header.flags & VHOST_USER_NEED_REPLY)) {
            v->asks = true;
            result = answer(v, status);
        }
        v->input_bytes = 0;
        if (v->input_fd >= 0)
            close(v->input_fd);
        v->input_fd = -1;
        if (result < 0)
            vgpu_lose(&vgpu->base, result,
                      result == -EPROTO ? "the server broke the protocol of shared memory"
                                        : "the server closed the connection");
    }
}
