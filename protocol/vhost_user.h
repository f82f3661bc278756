/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user protocol (QEMU docs/interop/vhost-user.rst), as QEMU 11.1 speaks it: message
 * numbers, wire structs, and a table that says for each message how long its payload may be and
 * how many descriptors come along. Used by the renderer (back-end) and the guest library
 * (front-end). All integers are in host byte order.
 */
#ifndef ALIQUOT_PROTOCOL_VHOST_USER_H
#define ALIQUOT_PROTOCOL_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_LOG_FD = 7,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_GPU_SET_SOCKET = 33,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_GET_SHMEM_CONFIG = 44,
};

/* What a back-end sends, on the socket of SET_BACKEND_REQ_FD. */
enum vhost_user_backend_request {
    VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2, /* no payload */
    VHOST_USER_BACKEND_SHMEM_MAP = 9,         /* struct vhost_user_mmap, one descriptor */
    VHOST_USER_BACKEND_SHMEM_UNMAP = 10,      /* struct vhost_user_mmap */
};

/* header.flags */
#define VHOST_USER_VERSION 0x1u
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_REPLY (1u << 2)
#define VHOST_USER_NEED_REPLY (1u << 3)

/* Feature bit that says there are protocol features. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature { /* bit numbers, not masks */
                                   VHOST_USER_PROTOCOL_F_MQ = 0,
                                   VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
                                   VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
                                   VHOST_USER_PROTOCOL_F_CONFIG = 9,
                                   VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
                                   VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
                                   VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
                                   VHOST_USER_PROTOCOL_F_SHMEM = 22,
                                   VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER = 63,
};

/*
 * VHOST_USER_PROTOCOL_F_ALIQUOT_DRIVER is no standard's, but between us: the front-end is itself
 * the driver of the rings, as our guest library is, and no virtual machine is. Together with SHMEM
 * it promises to take what is on the channel of SET_BACKEND_REQ_FD before it believes the answer to
 * a RESOURCE_MAP_BLOB. So SHMEM_MAP comes without VHOST_USER_NEED_REPLY and before that answer, and
 * SHMEM_UNMAP not at all: what it wanted hidden it knows. QEMU takes no bit that it does not know.
 *
 * Such a front-end finds one more region, VHOST_USER_SHMID_COMPLETIONS, which has no place among
 * the device's: a struct eventcount of the vGPU. A SHMEM_MAP shows it, the first message on that
 * channel.
 */
#define VHOST_USER_SHMID_COMPLETIONS 255

/* Regions of one SET_MEM_TABLE. */
#define VHOST_USER_MEM_TABLE_MAX 8
/* Bytes of device configuration space in one GET_CONFIG/SET_CONFIG. */
#define VHOST_USER_CONFIG_MAX 256
/* In the u64 of SET_VRING_KICK/CALL/ERR: the ring's index, and "no descriptor comes along". */
#define VHOST_USER_VRING_IDX_MASK 0xffu
#define VHOST_USER_VRING_NOFD (1u << 8)
/* vhost_user_vring_addr.flags */
#define VHOST_USER_VRING_LOG 1u

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* bytes of payload that follow */
} __attribute__((packed));
_Static_assert(sizeof(struct vhost_user_header) == 12, "wire size");

struct vhost_user_region {
    uint64_t gpa;         /* guest-physical start */
    uint64_t size;        /* bytes */
    uint64_t uva;         /* start in the front-end's address space: ring addresses are in it */
    uint64_t mmap_offset; /* of the region in its descriptor */
};

struct vhost_user_mem_table {
    uint32_t nregions;
    uint32_t pad;
    struct vhost_user_region regions[VHOST_USER_MEM_TABLE_MAX]; /* nregions of them are sent */
};

struct vhost_user_mem_reg {
    uint64_t pad;
    struct vhost_user_region region;
};

struct vhost_user_vring_state {
    uint32_t index;
    uint32_t num; /* entries, base or on/off */
};

struct vhost_user_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc_uva;
    uint64_t used_uva;
    uint64_t avail_uva;
    uint64_t log_gpa;
};

struct vhost_user_config {
    uint32_t offset;
    uint32_t size;  /* bytes of data */
    uint32_t flags; /* 0 = written by the driver, 1 = by migration */
    uint8_t data[VHOST_USER_CONFIG_MAX];
} __attribute__((packed));
#define VHOST_USER_CONFIG_HEADER 12

/* Answer to GET_SHMEM_CONFIG: sizes of shared-memory regions, by their ids; 0 = there is none. */
#define VHOST_USER_SHMEM_REGIONS 256
struct vhost_user_shmem_config {
    uint32_t nregions; /* sizes that are not 0 */
    uint32_t padding;
    uint64_t sizes[VHOST_USER_SHMEM_REGIONS]; /* bytes; QEMU wants powers of two, in pages */
};

/* SHMEM_MAP: shows len bytes of the descriptor, from fd_offset on, at shm_offset of a region.
 * SHMEM_UNMAP: hides what a SHMEM_MAP of the same shm_offset and len has shown. With
 * VHOST_USER_NEED_REPLY the answer is a u64: 0 = done. */
struct vhost_user_mmap {
    uint8_t shmid;
    uint8_t padding[7];
    uint64_t fd_offset;
    uint64_t shm_offset;
    uint64_t len;
    uint64_t flags; /* VHOST_USER_MMAP_… */
};
#define VHOST_USER_MMAP_RW (1ull << 0)

/* The largest payload that a front-end's message has. */
#define VHOST_USER_PAYLOAD_MAX sizeof(struct vhost_user_config)

union vhost_user_payload {
    uint64_t u64;
    struct vhost_user_mem_table mem_table;
    struct vhost_user_mem_reg mem_reg;
    struct vhost_user_vring_state state;
    struct vhost_user_vring_addr addr;
    struct vhost_user_config config;
    struct vhost_user_shmem_config shmem_config; /* of answers only */
};
_Static_assert(sizeof(struct vhost_user_mem_table) == 8 + 32 * 8, "wire size");
_Static_assert(sizeof(struct vhost_user_mem_reg) == 40, "wire size");
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "wire size");
_Static_assert(sizeof(struct vhost_user_shmem_config) == 2056, "wire size");
_Static_assert(sizeof(struct vhost_user_mmap) == 40, "wire size");
_Static_assert(sizeof(struct vhost_user_config) == 12 + VHOST_USER_CONFIG_MAX, "wire size");

/* What a front-end may send. */
struct vhost_user_msg_info {
    uint32_t request;
    const char *name;
    uint16_t min_size; /* bytes of payload */
    uint16_t max_size;
    uint8_t min_fds;
    uint8_t max_fds;
    bool replies; /* has an answer of its own, whether or not one is asked for */
};

/* The row of a request, or NULL if the protocol (as far as we speak it) has none. */
const struct vhost_user_msg_info *vhost_user_msg_info(uint32_t request);

/* The largest number of descriptors in any row. */
#define VHOST_USER_FDS_MAX VHOST_USER_MEM_TABLE_MAX

#endif
