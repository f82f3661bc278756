/* SPDX-License-Identifier: MIT */
/*
 * A buffer object: a resource of the vGPU with its backing and the fences of the work on it.
 * Handles of opened render nodes and PRIME descriptors refer to it. Its backing lies in the memory
 * that is shared with the device; a program's mapping of it is one more mapping of those very
 * pages. Memory of the host (a blob) is mapped where the program wants it, and nowhere else.
 *
 * Unlike the kernel's, the pages are used again when the object is gone, even if a mapping of them
 * has been left behind.
 */
#ifndef ALIQUOT_SHIM_BO_H
#define ALIQUOT_SHIM_BO_H

#include "guest-driver/shim/device.h"
#include "guest-driver/shim/fd_table.h"
#include "guest-driver/shim/fence_set.h"

#include <sys/types.h>

struct bo {
    unsigned refs; /* under the state lock */
    struct device *device;
    struct aliquot_resource *resource; /* owned */
    uint64_t size_bytes;               /* of the backing, or the blob: whole pages */
    uint32_t blob_mem;                 /* enum aliquot_blob_mem; 0 = no blob */
    struct fence_set fences;           /* under the state lock */
};

/* A descriptor's view of a buffer, as a dma-buf would be. */
struct prime {
    struct fd_object base;
    struct bo *bo; /* owned reference */
};

/* Neither waits for the device. */
int bo_create(struct device *device, const struct aliquot_resource_args *args, struct bo **ret);
int bo_create_blob(struct device *device, struct aliquot_context *context,
                   const struct aliquot_blob_args *args, struct bo **ret);
/* Under the state lock; the caller has a reference already, or the lock keeps one in place. */
struct bo *bo_ref(struct bo *bo);
/* Without the lock. */
void bo_unref(struct bo *bo);
/* Has memory of the guest, which transfers go through. */
static inline bool bo_has_backing(const struct bo *bo)
{
    return bo->blob_mem != ALIQUOT_BLOB_HOST3D;
}

/* Without the lock: nobody else refers to it. */
bool bo_is_last_ref(struct bo *bo);

/* As mmap(2) has it, with offset counted from the start of the buffer: the address, or MAP_FAILED
 * with errno. */
void *bo_map(struct bo *bo, void *addr, size_t length, int prot, int flags, uint64_t offset);

/* A new descriptor for the buffer: it, or a negative errno. */
int prime_export(struct bo *bo, bool cloexec);
struct prime *prime_of(struct fd_object *base);

#endif
