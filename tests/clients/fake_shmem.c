/* SPDX-License-Identifier: MIT */
#include "tests/clients/fake_shmem.h"

#include "protocol/eventcount.h"
#include "protocol/iov.h"
#include "protocol/msg_socket.h"
#include "protocol/vhost_user.h"
#include "protocol/virtio_gpu.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEAF_MESSAGES 10000

struct message {
    struct vhost_user_header header;
    struct vhost_user_mmap map;
} __attribute__((packed));

static int make_blob(uint32_t id, uint64_t bytes)
{
    int fd = memfd_create("fake-blob", MFD_CLOEXEC);
    void *memory;

    if (fd < 0 || ftruncate(fd, (off_t)(FAKE_BLOB_OFFSET + bytes)) < 0)
        abort();
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, FAKE_BLOB_OFFSET);
    if (memory == MAP_FAILED)
        abort();
    memset(memory, (int)id, bytes);
    munmap(memory, bytes);
    return fd;
}

/* Reads the answer to a message that asked for one. */
static void hear(struct fake_shmem *shmem)
{
    struct {
        struct vhost_user_header header;
        uint64_t status;
    } __attribute__((packed)) answer;
    size_t n_fds = 0;

    if (stream_read(shmem->channel, &answer, sizeof(answer), NULL, 0, &n_fds, 5000) < 0)
        return;
    if (answer.status != 0 || !(answer.header.flags & VHOST_USER_REPLY))
        shmem->refusals++;
}

static bool say(struct fake_shmem *shmem, const void *bytes, size_t size, const int *fds, size_t n)
{
    struct iovec iov = {(void *)bytes, size};

    return msg_send(shmem->channel, &iov, 1, fds, n, 5000) == 0;
}

static bool say_nothing_much(struct fake_shmem *shmem, uint32_t flags)
{
    struct vhost_user_header news = {.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
                                     .flags = VHOST_USER_VERSION | flags};
    return say(shmem, &news, sizeof(news), NULL, 0);
}

static void spoil(struct message *m, enum fake_shmem_fault fault)
{
    switch (fault) {
    case SHMEM_BAD_FD_OFFSET:
        m->map.fd_offset += 8;
        break;
    case SHMEM_FAR_FD_OFFSET:
        m->map.fd_offset = ~0xfffull;
        break;
    case SHMEM_OTHER_PLACE:
        m->map.shm_offset += 0x1000;
        break;
    case SHMEM_OUTSIDE:
        m->map.shm_offset = 1ull << 40;
        break;
    case SHMEM_WRAPPING:
        m->map.len = ~0xfffull;
        break;
    case SHMEM_LONGER:
        m->map.len += 0x1000;
        break;
    case SHMEM_EMPTY:
        m->map.len = 0;
        break;
    case SHMEM_OTHER_REGION:
        m->map.shmid = 2;
        break;
    case SHMEM_BAD_FLAGS:
        m->map.flags = ~0ull;
        break;
    case SHMEM_REPLY_FLAG:
        m->header.flags |= VHOST_USER_REPLY;
        break;
    case SHMEM_BAD_REQUEST:
        m->header.request = 77;
        break;
    case SHMEM_SHORT:
        m->header.size -= 8;
        break;
    case SHMEM_HUGE:
        m->header.size = 1u << 31;
        break;
    case SHMEM_GARBAGE:
        memset(m, 0xa5, sizeof(*m));
        break;
    case SHMEM_UNMAP_FD:
        m->header.request = VHOST_USER_BACKEND_SHMEM_UNMAP;
        break;
    default:
        break;
    }
}

static void send_map(struct fake_shmem *shmem, enum fake_shmem_fault fault, struct message *m,
                     int blob_fd)
{
    int fds[2] = {blob_fd, blob_fd}, pair[2] = {-1, -1};
    size_t n_fds = fault == SHMEM_NO_FD ? 0 : fault == SHMEM_TWO_FDS ? 2 : 1;
    size_t bytes = sizeof(m->header) + sizeof(m->map);

    spoil(m, fault);
    if (fault == SHMEM_SHORT)
        bytes -= 8;
    if (fault == SHMEM_SHORT_FD && ftruncate(blob_fd, (off_t)(FAKE_BLOB_OFFSET + m->map.len - 1)))
        abort();
    if (fault == SHMEM_PIPE && pipe2(pair, O_CLOEXEC) == 0)
        fds[0] = pair[0];
    if (fault == SHMEM_PIECES) {
        for (size_t i = 0; i < bytes; i++)
            say(shmem, (uint8_t *)m + i, 1, fds, i == 0);
    } else {
        say(shmem, m, fault == SHMEM_CUT ? bytes / 2 : bytes, fds, n_fds);
    }
    if (m->header.flags & VHOST_USER_NEED_REPLY)
        hear(shmem);
    if (fault == SHMEM_TWICE) {
        say(shmem, m, bytes, fds, n_fds);
        hear(shmem);
    }
    close_fds(pair, 2);
}

void fake_shmem_show_completions(struct fake_shmem *shmem, enum fake_completions how)
{
    struct message m = {
        .header = {VHOST_USER_BACKEND_SHMEM_MAP, VHOST_USER_VERSION, sizeof(m.map)},
        .map = {.shmid = VHOST_USER_SHMID_COMPLETIONS,
                .fd_offset = how == COMPLETIONS_BAD_FD_OFFSET ? 4096 : 0,
                .shm_offset = how == COMPLETIONS_OTHER_PLACE ? 4096 : 0,
                .len = how == COMPLETIONS_OTHER_SIZE ? 8192 : EVENTCOUNT_BYTES,
                .flags = how == COMPLETIONS_BAD_FLAGS ? ~0ull : VHOST_USER_MMAP_RW},
    };
    int pair[2] = {-1, -1}, short_fd = memfd_create("short", MFD_CLOEXEC), fd, shown;

    if (eventcount_create(&fd, &shmem->completions) < 0 || pipe2(pair, O_CLOEXEC) < 0 ||
        ftruncate(short_fd, EVENTCOUNT_BYTES - 1) < 0)
        abort();
    shown = how == COMPLETIONS_SHORT_FD ? short_fd : how == COMPLETIONS_PIPE ? pair[0] : fd;
    say(shmem, &m, sizeof(m), &shown, how == COMPLETIONS_NO_FD ? 0 : 1);
    if (how == COMPLETIONS_TWICE)
        say(shmem, &m, sizeof(m), &short_fd, 1);
    close(fd);
    close(short_fd);
    close_fds(pair, 2);
}

static void map(struct fake_shmem *shmem, enum fake_shmem_fault fault, uint32_t id, uint64_t offset)
{
    bool asks = fault == SHMEM_ASKING || fault == SHMEM_TWICE || fault == SHMEM_OTHER_PLACE;
    struct message m = {
        .header = {VHOST_USER_BACKEND_SHMEM_MAP,
                   VHOST_USER_VERSION | (asks ? VHOST_USER_NEED_REPLY : 0), sizeof(m.map)},
        .map = {.shmid = VIRTIO_GPU_SHM_ID_HOST_VISIBLE,
                .fd_offset = FAKE_BLOB_OFFSET,
                .shm_offset = offset,
                .len = shmem->sizes[id],
                .flags = VHOST_USER_MMAP_RW},
    };
    int fd;

    shmem->offsets[id] = offset;
    switch (fault) {
    case SHMEM_NOTHING:
        return;
    case SHMEM_CLOSE:
        close(shmem->channel);
        shmem->channel = -1;
        return;
    case SHMEM_DEAF:
        for (unsigned i = 0; i < DEAF_MESSAGES && say_nothing_much(shmem, VHOST_USER_NEED_REPLY);)
            i++;
        return;
    case SHMEM_NEWS:
        say_nothing_much(shmem, 0);
        break;
    default:
        break;
    }
    fd = make_blob(id, shmem->sizes[id]);
    send_map(shmem, fault, &m, fd);
    close(fd);
}

static void unmap(struct fake_shmem *shmem, enum fake_shmem_fault fault, uint32_t id)
{
    bool asks = fault == SHMEM_ASKING;
    struct message m = {
        .header = {VHOST_USER_BACKEND_SHMEM_UNMAP,
                   VHOST_USER_VERSION | (asks ? VHOST_USER_NEED_REPLY : 0), sizeof(m.map)},
        .map = {.shmid = VIRTIO_GPU_SHM_ID_HOST_VISIBLE,
                .shm_offset = shmem->offsets[id],
                .len = shmem->sizes[id]},
    };

    if (fault == SHMEM_UNSAID && shmem->to_driver)
        return;
    say(shmem, &m, sizeof(m), NULL, 0);
    if (asks)
        hear(shmem);
}

uint32_t fake_shmem_command(struct fake_shmem *shmem, enum fake_shmem_fault fault,
                            const struct vring_chain *chain)
{
    union {
        struct virtio_gpu_ctrl_hdr header;
        struct virtio_gpu_resource_create_blob create;
        struct virtio_gpu_resource_map_blob map;
        struct virtio_gpu_resource_unmap_blob unmap;
    } request = {0};

    if (shmem->completions)
        eventcount_signal(shmem->completions);
    iov_read_at(chain->iov, chain->n_out, 0, &request, sizeof(request));
    switch (request.header.type) {
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
        if (request.create.resource_id >= FAKE_BLOBS)
            return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
        shmem->sizes[request.create.resource_id] = request.create.size;
        return 0;
    case VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB:
        if (fault == SHMEM_REFUSE || request.map.resource_id >= FAKE_BLOBS)
            return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
        map(shmem, fault, request.map.resource_id, request.map.offset);
        return 0;
    case VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB:
        unmap(shmem, fault, request.unmap.resource_id % FAKE_BLOBS);
        return 0;
    default:
        return 0;
    }
}
