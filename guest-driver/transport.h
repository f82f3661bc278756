/* SPDX-License-Identifier: MIT */
/*
 * What a way to the device has to offer. There are two: vhost_user/, our own front-end over a
 * socket, and virtgpu/, the kernel's driver behind a render node. The public calls check their
 * arguments, keep the lists of what there is and take the lock; what is left is done here.
 *
 * All functions but open, release and finish are called with the vGPU's lock, which those that wait
 * drop meanwhile, and on a vGPU that is not lost, but for those where it says so. They return 0 or
 * a negative errno, and leave ret_ parameters alone on failure.
 */
#ifndef ALIQUOT_GUEST_TRANSPORT_H
#define ALIQUOT_GUEST_TRANSPORT_H

#include "guest-driver/include/aliquot-guest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct eventcount;

struct transport {
    /* Of its own structs, which begin with the common ones. They are allocated zeroed. */
    size_t vgpu_bytes, context_bytes, resource_bytes, fence_bytes;

    /* The path of what a program gets that names nothing, for free(3): 0, -ENOMEM, or -ENOENT, with
     * the reason in ERROR_TEXT_BYTES. NULL: there is no looking for one. Without a vGPU. */
    int (*find)(char **ret_path, char *reason);

    /* Life. open connects, fills in features, num_scanouts and num_capsets, and takes from
     * memory_bytes what it needs itself; if it fails it says why with vgpu_error() and leaves
     * args->fd alone, and release and finish follow in any case.
     * lose wakes all who wait, and ends what is in flight. settle comes after it, without the lock
     * and when nobody waits any more, but not in a fork. release gives back all but what fences
     * need; finish the rest. */
    int (*open)(struct aliquot_vgpu *vgpu, const struct aliquot_open_args *args);
    void (*lose)(struct aliquot_vgpu *vgpu, int error);
    void (*settle)(struct aliquot_vgpu *vgpu);
    void (*release)(struct aliquot_vgpu *vgpu);
    void (*finish)(struct aliquot_vgpu *vgpu);

    /* Asking. poll takes up what has been answered by now; get_info fills in the numbers that it
     * knows. index is below num_capsets, size from 1 to CAPSET_BYTES_MAX. */
    void (*poll)(struct aliquot_vgpu *vgpu);
    void (*get_info)(struct aliquot_vgpu *vgpu, struct aliquot_info *info);
    int (*capset_info)(struct aliquot_vgpu *vgpu, uint32_t index, struct aliquot_capset_info *ret);
    int (*capset)(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version, void *buf, size_t size,
                  size_t *ret_bytes);
    int (*sync)(struct aliquot_vgpu *vgpu);
    /* What the device counts of ends on the GPU, or NULL: there is none (yet). Without the lock, as
     * long as the vGPU is not closed; the function itself may be NULL. */
    struct eventcount *(*completions)(struct aliquot_vgpu *vgpu);

    /* Contexts. destroy tells the device, if the vGPU is not lost; release does not, and may be
     * called without the lock, in a fork too. Both free the struct. */
    int (*context_create)(struct aliquot_context *context, uint32_t capset_id, const char *name);
    void (*context_destroy)(struct aliquot_context *context);
    void (*context_release)(struct aliquot_context *context);
    int (*attach)(struct aliquot_context *context, struct aliquot_resource *resource);
    int (*detach)(struct aliquot_context *context, struct aliquot_resource *resource);
    /* fence may be NULL. bytes is at most the vGPU's memory. */
    int (*submit)(struct aliquot_context *context, const void *commands, uint32_t bytes,
                  int ring_idx, struct aliquot_fence *fence);

    /* Resources. destroy and release as above. blob_create's context may be NULL where there is no
     * host memory in it. */
    int (*resource_create)(struct aliquot_vgpu *vgpu, bool is_2d,
                           const struct aliquot_resource_args *args, struct aliquot_resource **ret);
    int (*blob_create)(struct aliquot_vgpu *vgpu, struct aliquot_context *context,
                       const struct aliquot_blob_args *args, struct aliquot_resource **ret);
    int (*resource_wait)(struct aliquot_resource *resource);
    void (*resource_destroy)(struct aliquot_resource *resource);
    void (*resource_release)(struct aliquot_resource *resource);
    /* context may be NULL, and is for 2D resources; fence may be NULL. */
    int (*transfer)(struct aliquot_context *context, struct aliquot_resource *resource,
                    const struct aliquot_transfer *transfer, bool to_host,
                    struct aliquot_fence *fence);
    /* Of a mappable blob of the host; the part lies in it. */
    int (*blob_mmap)(struct aliquot_resource *resource, size_t length, int prot, int flags,
                     uint64_t offset, void **address);

    /* Fences. All but init, on a lost vGPU too; init and finish without the lock. */
    void (*fence_init)(struct aliquot_fence *fence);
    int (*fence_wait)(struct aliquot_fence *fence, int64_t timeout_ns);
    int (*fence_fd)(struct aliquot_fence *fence);
    void (*fence_finish)(struct aliquot_fence *fence);
};

extern const struct transport transport_vhost_user;

#endif
