/* SPDX-License-Identifier: MIT */
/*
 * What the renderer and the Vulkan layer (mediator/layer) say to each other. The layer lives in the
 * workers of virgl_render_server, one process for each Vulkan context of the guest; they belong to
 * one vGPU, and so trust each other as far as this vGPU goes.
 *
 *   A worker finds LAYER_ENV in its environment: the number of a descriptor, one end of a
 *   SOCK_SEQPACKET pair that it shares with all other workers of the renderer. When the layer
 *   starts, it makes a pair of its own and sends LAYER_HELLO with one end of it.
 *   worker → renderer  LAYER_HELLO    on the shared socket; one descriptor: its own channel
 *   renderer → worker  LAYER_WELCOME  on that channel; six descriptors, in the order of
 *                                     enum layer_fd
 *   renderer → worker  LAYER_REFUSED  no slot is free: the worker's Vulkan has to fail
 * Nothing else is ever said. The end of the channel is the end of the worker, for certain: all
 * copies of its descriptor are closed. What it had in flight and in memory is then taken back by
 * the renderer and aliquotd. The renderer answers from a thread of its own, since its main thread
 * may itself be waiting for the worker.
 */
#ifndef ALIQUOT_PROTOCOL_LAYER_H
#define ALIQUOT_PROTOCOL_LAYER_H

#include "protocol/lease.h"

#include <stdint.h>

#define LAYER_ENV "ALIQUOT_LAYER_FD"
/*
 * In the same environment: which GPU the guest may see. "cpu": those that are the CPU; "only": the
 * one that is not, if there is exactly one; or, joined by commas, what is known of it of
 *   drm:MAJOR:MINOR                          its DRM render node
 *   pci:DOMAIN:BUS:DEVICE.FUNCTION           where it is, in hexadecimal numbers
 *   uuid:…                                   as VkPhysicalDeviceIDProperties has it, 32 digits
 * of which the first that the driver knows too decides. Not there: all.
 */
#define LAYER_GPU_ENV "ALIQUOT_LAYER_GPU"
/* Likewise: how urgent the vGPU's work is, "low", "medium" or "high". Not there: medium. */
#define LAYER_PRIORITY_ENV "ALIQUOT_LAYER_PRIORITY"
#define LAYER_VERSION 4
#define LAYER_MAGIC 0x4c594c41u /* "ALYL" */

enum layer_msg_type {
    LAYER_HELLO = 1,
    LAYER_WELCOME = 2,
    LAYER_REFUSED = 3,
};

enum layer_fd {
    LAYER_FD_GRANT,       /* the lease's grant page, see protocol/lease.h */
    LAYER_FD_ACK,         /* the lease's ack page */
    LAYER_FD_DOORBELL,    /* eventfd */
    LAYER_FD_MEMORY,      /* memfd with a struct layer_memory */
    LAYER_FD_WORK,        /* memfd with a struct work_rings */
    LAYER_FD_COMPLETIONS, /* memfd with a struct eventcount: of what ends on the GPU */
    LAYER_FDS,
};

struct layer_msg {
    uint16_t version; /* LAYER_VERSION */
    uint16_t type;    /* enum layer_msg_type */
    uint32_t pid;     /* HELLO: for people alone */
    uint32_t slot;    /* WELCOME: the slot of the lease to attach to, and of struct layer_memory */
    uint32_t gated;   /* WELCOME: 0 = there is no lease (no aliquotd), and only LAYER_FD_MEMORY
                         comes along */
};
_Static_assert(sizeof(struct layer_msg) == 16, "wire size");

/* Of one participant, in its own cache lines. Sums grow; the renderer adds the slots up. */
struct layer_slot {
    _Alignas(128) uint64_t memory_bytes; /* that it holds of used_bytes */
    uint64_t submits;                    /* calls of vkQueueSubmit… and the like */
    uint64_t batches;                    /* after splitting */
    uint64_t refused;                    /* allocations beyond the quota */
    uint64_t devices;                    /* VkDevices that exist now */
};

/*
 * GPU memory of one vGPU, OpenGL's and Vulkan's together. To take some: add to used_bytes if that
 * stays within quota_bytes (compare and swap), then to the own slot's memory_bytes; to give back:
 * the other way round. The GL side (the renderer) is slot LEASE_SLOT_GL. When a worker has ended,
 * the renderer takes its slot's memory_bytes out of used_bytes and zeroes the slot.
 */
struct layer_memory {
    uint32_t magic, version;
    _Alignas(64) uint64_t quota_bytes; /* UINT64_MAX = none; the renderer's to change at any time */
    _Alignas(64) uint64_t used_bytes;
    struct layer_slot slots[LEASE_SLOTS_MAX];
};
_Static_assert(sizeof(struct layer_memory) <= 4096, "one page");

#endif
