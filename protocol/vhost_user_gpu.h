/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user-gpu display protocol (QEMU docs/interop/vhost-user-gpu.rst): what a vhost-user GPU
 * back-end says to the front-end's console over the socket that came with
 * VHOST_USER_GPU_SET_SOCKET. The back-end is the one who asks; the front-end only answers. Host
 * byte order.
 */
#ifndef ALIQUOT_PROTOCOL_VHOST_USER_GPU_H
#define ALIQUOT_PROTOCOL_VHOST_USER_GPU_H

#include <stdint.h>

enum vhost_user_gpu_request {
    VHOST_USER_GPU_GET_PROTOCOL_FEATURES = 1, /* → u64 */
    VHOST_USER_GPU_SET_PROTOCOL_FEATURES = 2, /* u64 */
    VHOST_USER_GPU_GET_DISPLAY_INFO = 3,      /* → struct virtio_gpu_resp_display_info */
    VHOST_USER_GPU_CURSOR_POS = 4,
    VHOST_USER_GPU_CURSOR_POS_HIDE = 5,
    VHOST_USER_GPU_CURSOR_UPDATE = 6,
    VHOST_USER_GPU_SCANOUT = 7,
    VHOST_USER_GPU_UPDATE = 8,         /* pixels follow */
    VHOST_USER_GPU_DMABUF_SCANOUT = 9, /* one descriptor, or none to switch off */
    VHOST_USER_GPU_DMABUF_UPDATE = 10, /* → empty answer, once shown */
    VHOST_USER_GPU_GET_EDID = 11,      /* u32 scan-out id → struct virtio_gpu_resp_edid */
    VHOST_USER_GPU_DMABUF_SCANOUT2 = 12,
};

#define VHOST_USER_GPU_REPLY (1u << 2) /* header.flags */

enum vhost_user_gpu_protocol_feature { /* bit numbers */
                                       VHOST_USER_GPU_PROTOCOL_F_EDID = 0,
                                       VHOST_USER_GPU_PROTOCOL_F_DMABUF2 = 1,
};

#define VHOST_USER_GPU_CURSOR_SIZE 64 /* pixels on a side, always */

struct vhost_user_gpu_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* bytes of payload that follow */
} __attribute__((packed));

struct vhost_user_gpu_cursor_pos {
    uint32_t scanout_id, x, y;
} __attribute__((packed));

struct vhost_user_gpu_cursor_update {
    struct vhost_user_gpu_cursor_pos pos;
    uint32_t hot_x, hot_y;
    uint32_t data[VHOST_USER_GPU_CURSOR_SIZE * VHOST_USER_GPU_CURSOR_SIZE]; /* a8r8g8b8 */
} __attribute__((packed));

struct vhost_user_gpu_scanout {
    uint32_t scanout_id, width, height; /* 0 × 0 = off */
} __attribute__((packed));

struct vhost_user_gpu_update { /* width × height pixels x8r8g8b8 follow, rows without padding */
    uint32_t scanout_id, x, y, width, height;
} __attribute__((packed));

struct vhost_user_gpu_dmabuf_scanout {
    uint32_t scanout_id, x, y, width, height;
    uint32_t fd_width, fd_height, fd_stride, fd_flags;
    int32_t fd_drm_fourcc;
} __attribute__((packed));

struct vhost_user_gpu_dmabuf_scanout2 {
    struct vhost_user_gpu_dmabuf_scanout dmabuf;
    uint64_t modifier;
} __attribute__((packed));

struct vhost_user_gpu_edid_request {
    uint32_t scanout_id;
} __attribute__((packed));

_Static_assert(sizeof(struct vhost_user_gpu_header) == 12, "wire size");
_Static_assert(sizeof(struct vhost_user_gpu_update) == 20, "wire size");
_Static_assert(sizeof(struct vhost_user_gpu_dmabuf_scanout2) == 48, "wire size");

#endif
