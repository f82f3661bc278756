/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vhost_internal.h"

#include "mediator/base/util.h"
#include "mediator/renderer/display.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BIT(n) (1ull << (n))

/* What virtio and vhost-user define and we offer; gpu_device_features() comes on top. */
#define RING_FEATURES                                                                              \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |   \
     BIT(VHOST_USER_F_PROTOCOL_FEATURES))

/* What front-ends may acknowledge unasked: QEMU's virtio-pci offers these of its own to the guest
 * and passes on what it took. None changes what a split ring looks like to us. */
#define TOLERATED_FEATURES                                                                         \
    (BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_F_RING_RESET))

#define PROTOCOL_FEATURES                                                                          \
    (BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                        \
     BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_CONFIG) |                  \
     BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |        \
     BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

static uint64_t offered_protocol_features(const struct vhost_backend *be)
{
    uint64_t features = PROTOCOL_FEATURES;

    if (be->config.hostmem_bytes > 0 && be->config.backend->ops->blob_map != NULL)
        features |= BIT(VHOST_USER_PROTOCOL_F_SHMEM) | BIT(VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER);
    return features;
}

static int refuse(struct vhost_message *msg, int error, const char *reason)
{
    msg->reason = reason;
    return error;
}

static int answer_u64(struct vhost_message *msg, uint64_t value)
{
    msg->payload.u64 = value;
    msg->answer_bytes = sizeof(value);
    return 0;
}

/* ---- features ------------------------------------------------------------------------------- */

static int get_features(struct vhost_backend *be, struct vhost_message *msg)
{
    return answer_u64(msg, RING_FEATURES | gpu_device_features(be->device));
}

static int set_features(struct vhost_backend *be, struct vhost_message *msg)
{
    uint64_t features = msg->payload.u64;
    uint64_t device = gpu_device_features(be->device);

    if ((features & ~(RING_FEATURES | TOLERATED_FEATURES | device)) != 0)
        return refuse(msg, -EINVAL, "features that were not offered");
    be->features = features;
    gpu_device_set_features(be->device, features & device);
    return 0;
}

static int get_protocol_features(struct vhost_backend *be, struct vhost_message *msg)
{
    return answer_u64(msg, offered_protocol_features(be));
}

static int set_protocol_features(struct vhost_backend *be, struct vhost_message *msg)
{
    if ((msg->payload.u64 & ~offered_protocol_features(be)) != 0)
        return refuse(msg, -EINVAL, "protocol features that were not offered");
    be->protocol_features = msg->payload.u64;
    return 0;
}

static int get_queue_num(struct vhost_backend *be, struct vhost_message *msg)
{
    return answer_u64(msg, VIRTIO_GPU_QUEUES);
}

static int set_owner(struct vhost_backend *be, struct vhost_message *msg)
{
    return 0; /* a connection has one owner: its other end */
}

static int reset_device(struct vhost_backend *be, struct vhost_message *msg)
{
    vhost_reset_device(be); /* first, so that there is nothing left to wait for */
    for (int i = 0; i < VIRTIO_GPU_QUEUES; i++) {
        vhost_queue_stop(&be->queues[i]);
        be->queues[i].enabled = false;
        be->queues[i].base = 0;
    }
    return 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

static void memory_changed(struct vhost_backend *be)
{
    for (int i = 0; i < VIRTIO_GPU_QUEUES; i++)
        vhost_queue_remap(&be->queues[i]);
}

/* Before memory is removed: requests in the device have pointers into it. */
static int keep_memory(struct vhost_backend *be, struct vhost_message *msg)
{
    if (be->in_device > 0 && !guest_mem_pin(&be->memory, &be->pins))
        return refuse(msg, -EBUSY, "memory is changed too often while requests are under way");
    return 0;
}

static int set_mem_table(struct vhost_backend *be, struct vhost_message *msg)
{
    const struct vhost_user_mem_table *table = &msg->payload.mem_table;
    size_t header = offsetof(struct vhost_user_mem_table, regions);

    if (table->nregions > VHOST_USER_MEM_TABLE_MAX)
        return refuse(msg, -EINVAL, "too many memory regions");
    if (msg->hdr.size != header + table->nregions * sizeof(table->regions[0]))
        return refuse(msg, -EINVAL, "number of memory regions and size differ");
    if (msg->n_fds != table->nregions)
        return refuse(msg, -EINVAL, "number of memory regions and descriptors differ");
    int r = keep_memory(be, msg);
    if (r < 0)
        return r;
    struct vhost_user_region ram[VHOST_USER_MEM_TABLE_MAX];
    int fds[VHOST_USER_MEM_TABLE_MAX];
    size_t n = 0;
    vhost_shmem_regions_cleared(be);
    for (uint32_t i = 0; i < table->nregions; i++) {
        if (vhost_shmem_region_added(be, &table->regions[i], msg->fds[i]))
            continue;
        ram[n] = table->regions[i];
        fds[n++] = msg->fds[i];
    }
    r = guest_mem_set(&be->memory, ram, fds, n, &msg->reason);
    if (r < 0)
        return r;
    memory_changed(be);
    return 0;
}

static int get_max_mem_slots(struct vhost_backend *be, struct vhost_message *msg)
{
    return answer_u64(msg, GUEST_MEM_REGIONS_MAX);
}

static int add_mem_reg(struct vhost_backend *be, struct vhost_message *msg)
{
    if (vhost_shmem_region_added(be, &msg->payload.mem_reg.region, msg->fds[0]))
        return 0;
    int r = guest_mem_add(&be->memory, &msg->payload.mem_reg.region, msg->fds[0], &msg->reason);
    if (r < 0)
        return r;
    memory_changed(be);
    return 0;
}

static int rem_mem_reg(struct vhost_backend *be, struct vhost_message *msg)
{
    if (vhost_shmem_region_removed(be, &msg->payload.mem_reg.region))
        return 0;
    int r = keep_memory(be, msg);
    if (r < 0)
        return r;
    r = guest_mem_remove(&be->memory, &msg->payload.mem_reg.region, &msg->reason);
    if (r < 0)
        return r;
    memory_changed(be);
    return 0;
}

/* ---- rings ---------------------------------------------------------------------------------- */

static int get_queue(struct vhost_backend *be, struct vhost_message *msg, uint64_t index,
                     struct vhost_queue **ret)
{
    if (index >= VIRTIO_GPU_QUEUES)
        return refuse(msg, -EINVAL, "no such virtqueue");
    *ret = &be->queues[index];
    return 0;
}

static int set_vring_num(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;
    uint32_t num = msg->payload.state.num;

    int r = get_queue(be, msg, msg->payload.state.index, &vq);
    if (r < 0)
        return r;
    if (num == 0 || num > VRING_NUM_MAX || (num & (num - 1)) != 0)
        return refuse(msg, -EINVAL, "a ring's size is no power of two up to 1024");
    if (vq->started)
        return refuse(msg, -EBUSY, "the ring is running");
    vq->ring.num = num;
    return 0;
}

static int set_vring_addr(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_ring_memory memory;
    struct vhost_queue *vq;

    int r = get_queue(be, msg, msg->payload.addr.index, &vq);
    if (r < 0)
        return r;
    /* Logging is the one there is, and was not offered. */
    if (msg->payload.addr.flags != 0)
        return refuse(msg, -EINVAL, "flags of a ring that were not offered");
    if (vq->ring.num == 0)
        return refuse(msg, -EINVAL, "a ring's addresses before its size");
    /* Looked up now for the error's sake, and again at the start: the table may change. */
    r = vhost_ring_pin(be, &msg->payload.addr, vq->ring.num, &memory, &msg->reason);
    if (r < 0)
        return r;
    vhost_ring_unpin(&memory);
    vq->addr = msg->payload.addr;
    vq->has_addr = true;
    vhost_queue_remap(vq);
    return 0;
}

static int set_vring_base(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;

    int r = get_queue(be, msg, msg->payload.state.index, &vq);
    if (r < 0)
        return r;
    if (msg->payload.state.num > UINT16_MAX)
        return refuse(msg, -EINVAL, "a ring's base is over 65535");
    if (vq->started)
        return refuse(msg, -EBUSY, "the ring is running");
    vq->base = (uint16_t)msg->payload.state.num;
    return 0;
}

static void update_driver_ok(struct vhost_backend *be)
{
    const struct vhost_queue *vq = &be->queues[VIRTIO_GPU_QUEUE_CONTROL];
    atomic_store_explicit(&be->config.stats->driver_ok, vq->started && vq->enabled,
                          memory_order_relaxed);
}

static int get_vring_base(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;

    int r = get_queue(be, msg, msg->payload.state.index, &vq);
    if (r < 0)
        return r;
    vhost_queue_stop(vq);
    update_driver_ok(be);
    msg->payload.state.num = vq->base;
    msg->answer_bytes = sizeof(msg->payload.state);
    return 0;
}

static int set_vring_enable(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;

    int r = get_queue(be, msg, msg->payload.state.index, &vq);
    if (r < 0)
        return r;
    if (msg->payload.state.num > 1)
        return refuse(msg, -EINVAL, "a ring is enabled by neither 0 nor 1");
    vq->enabled = msg->payload.state.num == 1;
    update_driver_ok(be);
    vhost_queue_run(vq);
    return 0;
}

/* Writing to, or waiting for, just any file that a stranger opened would lend him our rights, and
 * may block for ever. */
static bool is_eventfd(int fd)
{
    static const char want[] = "anon_inode:[eventfd]";
    char path[32], target[sizeof(want)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) == sizeof(want) - 1 &&
           memcmp(target, want, sizeof(want) - 1) == 0;
}

/* The ring and the descriptor of SET_VRING_KICK/CALL/ERR: *ret_fd is the caller's, -1 = none. */
static int get_vring_fd(struct vhost_backend *be, struct vhost_message *msg,
                        struct vhost_queue **ret_vq, int *ret_fd)
{
    uint64_t value = msg->payload.u64;
    bool no_fd = (value & VHOST_USER_VRING_NOFD) != 0;

    if ((value & ~(uint64_t)(VHOST_USER_VRING_IDX_MASK | VHOST_USER_VRING_NOFD)) != 0)
        return refuse(msg, -EINVAL, "unknown bits beside a ring's index");
    int r = get_queue(be, msg, value & VHOST_USER_VRING_IDX_MASK, ret_vq);
    if (r < 0)
        return r;
    if (msg->n_fds != (no_fd ? 0 : 1))
        return refuse(msg, -EINVAL, "number of descriptors and the flag that says so differ");
    if (no_fd) {
        *ret_fd = -1;
        return 0;
    }
    int fd = msg->fds[0];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || !is_eventfd(fd))
        return refuse(msg, -EINVAL, "the descriptor is no eventfd");
    if ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return refuse(msg, -EINVAL, "the eventfd can't be made non-blocking");
    *ret_fd = take_fd(&msg->fds[0]);
    return 0;
}

static int set_vring_kick(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;
    _cleanup_close_ int fd = -1;

    int r = get_vring_fd(be, msg, &vq, &fd);
    if (r < 0)
        return r;
    if (fd < 0)
        return refuse(msg, -EOPNOTSUPP, "a ring without a kick descriptor would have to be polled");
    r = vhost_queue_start(vq, fd, &msg->reason);
    if (r < 0)
        return r;
    take_fd(&fd);
    /* Without protocol features there is no SET_VRING_ENABLE. */
    if ((be->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)) == 0)
        vq->enabled = true;
    update_driver_ok(be);
    return 0;
}

static int set_vring_call(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;
    int fd;

    int r = get_vring_fd(be, msg, &vq, &fd);
    if (r < 0)
        return r;
    vhost_queue_set_call(vq, fd);
    return 0;
}

static int set_vring_err(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_queue *vq;
    int fd;

    int r = get_vring_fd(be, msg, &vq, &fd);
    if (r < 0)
        return r;
    close_fd_p(&vq->err_fd);
    vq->err_fd = fd;
    return 0;
}

/* ---- configuration space -------------------------------------------------------------------- */

static int get_config(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_user_config *config = &msg->payload.config;

    if (config->size > VHOST_USER_CONFIG_MAX ||
        msg->hdr.size != VHOST_USER_CONFIG_HEADER + config->size)
        return refuse(msg, -EINVAL, "sizes of a configuration request differ");
    /* An answer without payload is the protocol's way to say no. */
    if (gpu_device_config_read(be->device, config->offset, config->data, config->size))
        msg->answer_bytes = msg->hdr.size;
    else
        vhost_count_rejected(be);
    return 0;
}

static int set_config(struct vhost_backend *be, struct vhost_message *msg)
{
    const struct vhost_user_config *config = &msg->payload.config;

    if (config->size > VHOST_USER_CONFIG_MAX ||
        msg->hdr.size != VHOST_USER_CONFIG_HEADER + config->size)
        return refuse(msg, -EINVAL, "sizes of a configuration request differ");
    if (!gpu_device_config_write(be->device, config->offset, config->data, config->size))
        return refuse(msg, -EINVAL, "a write outside the configuration space");
    return 0;
}

/* ---- side channels -------------------------------------------------------------------------- */

static bool is_stream_socket(int fd)
{
    int type, domain;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return false;
    len = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static int set_backend_req_fd(struct vhost_backend *be, struct vhost_message *msg)
{
    if (!is_stream_socket(msg->fds[0]))
        return refuse(msg, -EINVAL, "the descriptor is no stream socket");
    int r = vhost_shmem_set_fd(be, msg->fds[0]);
    if (r < 0)
        return refuse(msg, r,
                      r == -EBUSY ? "read what lies in the socket before, first"
                                  : "the socket can't be waited for");
    take_fd(&msg->fds[0]);
    return 0;
}

static int get_shmem_config(struct vhost_backend *be, struct vhost_message *msg)
{
    struct vhost_user_shmem_config *config = &msg->payload.shmem_config;

    if ((be->protocol_features & BIT(VHOST_USER_PROTOCOL_F_SHMEM)) == 0)
        return refuse(msg, -EOPNOTSUPP, "a protocol feature that was not acknowledged");
    vhost_shmem_describe(be, config);
    msg->answer_bytes = sizeof(*config);
    return 0;
}

static int gpu_set_socket(struct vhost_backend *be, struct vhost_message *msg)
{
    struct gpu_display *display;

    if (!is_stream_socket(msg->fds[0]))
        return refuse(msg, -EINVAL, "the descriptor is no stream socket");
    /* A new one at each start of the driver: the old one's other end is gone by now. */
    vhost_drop_display(be);
    int r = display_create(be->config.event, msg->fds[0], be->device, &display);
    if (r < 0)
        return refuse(msg, r, "the display can't be set up");
    take_fd(&msg->fds[0]);
    be->display = display;
    gpu_device_set_display(be->device, display);
    return 0;
}

void vhost_drop_display(struct vhost_backend *be)
{
    if (be->display == NULL)
        return;
    gpu_device_set_display(be->device, NULL);
    display_destroy(TAKE_PTR(be->display));
}

vhost_handler_fn vhost_handler(uint32_t request)
{
    static const vhost_handler_fn handlers[] = {
        [VHOST_USER_GET_FEATURES] = get_features,
        [VHOST_USER_SET_FEATURES] = set_features,
        [VHOST_USER_SET_OWNER] = set_owner,
        [VHOST_USER_RESET_OWNER] = reset_device,
        [VHOST_USER_SET_MEM_TABLE] = set_mem_table,
        [VHOST_USER_SET_VRING_NUM] = set_vring_num,
        [VHOST_USER_SET_VRING_ADDR] = set_vring_addr,
        [VHOST_USER_SET_VRING_BASE] = set_vring_base,
        [VHOST_USER_GET_VRING_BASE] = get_vring_base,
        [VHOST_USER_SET_VRING_KICK] = set_vring_kick,
        [VHOST_USER_SET_VRING_CALL] = set_vring_call,
        [VHOST_USER_SET_VRING_ERR] = set_vring_err,
        [VHOST_USER_GET_PROTOCOL_FEATURES] = get_protocol_features,
        [VHOST_USER_SET_PROTOCOL_FEATURES] = set_protocol_features,
        [VHOST_USER_GET_QUEUE_NUM] = get_queue_num,
        [VHOST_USER_SET_VRING_ENABLE] = set_vring_enable,
        [VHOST_USER_SET_BACKEND_REQ_FD] = set_backend_req_fd,
        [VHOST_USER_GET_CONFIG] = get_config,
        [VHOST_USER_SET_CONFIG] = set_config,
        [VHOST_USER_GPU_SET_SOCKET] = gpu_set_socket,
        [VHOST_USER_RESET_DEVICE] = reset_device,
        [VHOST_USER_GET_MAX_MEM_SLOTS] = get_max_mem_slots,
        [VHOST_USER_ADD_MEM_REG] = add_mem_reg,
        [VHOST_USER_REM_MEM_REG] = rem_mem_reg,
        [VHOST_USER_GET_SHMEM_CONFIG] = get_shmem_config,
    };
    return request < ARRAY_SIZE(handlers) ? handlers[request] : NULL;
}
