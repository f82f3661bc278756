/* SPDX-License-Identifier: MIT */
/*
 * virtio-gpu (virtio 1.3, section 5.7): the kernel's wire structs, and a table that says for each
 * command its name, the queue it belongs to and the bytes of its fixed part. Used by the renderer's
 * device model, which has no other check of a request's length, and by the guest library.
 * All integers are little-endian; only little-endian hosts are supported.
 */
#ifndef ALIQUOT_PROTOCOL_VIRTIO_GPU_H
#define ALIQUOT_PROTOCOL_VIRTIO_GPU_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "big-endian hosts are not supported"
#endif

enum virtio_gpu_queue {
    VIRTIO_GPU_QUEUE_CONTROL = 0,
    VIRTIO_GPU_QUEUE_CURSOR = 1,
    VIRTIO_GPU_QUEUES = 2,
};

#define VIRTIO_ID_GPU_DEVICE 16
#define VIRTIO_GPU_EDID_BYTES 1024

/* Timelines of a context: ring_idx of a fence is below. Linux's num_rings has the same bound. */
#define VIRTIO_GPU_RINGS_MAX 64

struct virtio_gpu_cmd_info {
    uint32_t type;
    const char *name;
    enum virtio_gpu_queue queue;
    uint16_t request_bytes;  /* fixed part, header included */
    uint16_t response_bytes; /* of the fixed part of a successful answer, header included */
    bool needs_3d;           /* only with VIRTIO_GPU_F_VIRGL */
};

/* The row of a command type, or NULL if there is none. */
const struct virtio_gpu_cmd_info *virtio_gpu_cmd_info(uint32_t type);

/* A response's name, for logs and messages ("ERR_INVALID_RESOURCE_ID"); never NULL. */
const char *virtio_gpu_response_name(uint32_t type);

/* Capset ids (virtio 1.3, 5.7.6.7). */
#ifndef VIRTIO_GPU_CAPSET_VIRGL
#define VIRTIO_GPU_CAPSET_VIRGL 1
#endif
#ifndef VIRTIO_GPU_CAPSET_VIRGL2
#define VIRTIO_GPU_CAPSET_VIRGL2 2
#endif
#ifndef VIRTIO_GPU_CAPSET_VENUS
#define VIRTIO_GPU_CAPSET_VENUS 4
#endif

#endif
