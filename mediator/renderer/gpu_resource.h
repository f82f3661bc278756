/* SPDX-License-Identifier: MIT */
/*
 * Resources of the device model: the table of ids, what is charged for each, and the guest memory
 * behind it (backing). The commands that make, back and drop resources (gpu_2d.c, gpu_3d.c) call
 * these; the results are virtio-gpu response types.
 */
#ifndef ALIQUOT_RENDERER_GPU_RESOURCE_H
#define ALIQUOT_RENDERER_GPU_RESOURCE_H

#include "mediator/renderer/backend.h"
#include "protocol/iov.h"

#include <stdbool.h>
#include <stdint.h>

struct gpu_device;

struct gpu_resource {
    struct backend_resource_args args; /* as created; args.id is the id */
    uint64_t charged_bytes;            /* for texels, or a blob's memory */
    uint32_t scanouts;                 /* bit n: shown on scan-out n */
    bool has_uuid;
    uint8_t uuid[16];

    /* Of a blob; of args it has the id alone. */
    uint8_t blob_mem, blob_flags;
    bool mapped;         /* is in the device's mappings */
    uint64_t blob_bytes; /* 0 = it is none */

    /* Backing; none while iov is NULL. */
    struct iovec *iov; /* owned; lent to the backend */
    uint32_t iov_count;
    uint64_t backing_bytes;  /* sum of the iovecs */
    uint64_t backing_charge; /* what the arrays themselves cost */
    void **refs;             /* owned array of guest_ref references, each once */
    uint32_t n_refs;
};

/* NULL: no such resource. */
struct gpu_resource *gpu_resource_get(const struct gpu_device *dev, uint32_t id);

/* Checks args against the limits, charges, and makes the resource in the backend. */
uint32_t gpu_resource_add(struct gpu_device *dev, const struct backend_resource_args *args);

/* The same for a blob, all but the iovecs of args: they are taken from the cursor, n entries of
 * struct virtio_gpu_mem_entry. */
uint32_t gpu_resource_add_blob(struct gpu_device *dev, const struct backend_blob_args *args,
                               struct iov_cursor *entries, uint32_t n);

/* Switches off what shows it, and drops it with its backing. */
void gpu_resource_remove(struct gpu_device *dev, struct gpu_resource *res);

/* Takes n entries (struct virtio_gpu_mem_entry) from the cursor as the backing of res. */
uint32_t gpu_resource_attach(struct gpu_device *dev, struct gpu_resource *res,
                             struct iov_cursor *entries, uint32_t n);
/* Without effect if there is no backing. */
void gpu_resource_detach(struct gpu_device *dev, struct gpu_resource *res);

/* Adds to the bytes that the device is charged with, or not: false if that would be too much. For
 * resources, and for what a transport keeps on the host for its client. */
bool gpu_charge(struct gpu_device *dev, uint64_t bytes);
void gpu_uncharge(struct gpu_device *dev, uint64_t bytes);

/* Forgets all; the backend has dropped its side already. */
void gpu_resources_clear(struct gpu_device *dev);

#endif
