/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/bo.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096ull

/* ---- life ----------------------------------------------------------------------------------- */

int bo_create(struct device *device, const struct aliquot_resource_args *args, struct bo **ret)
{
    struct bo *bo = calloc(1, sizeof(*bo));

    if (!bo)
        return -ENOMEM;
    int result = aliquot_resource_create_3d(device->vgpu, args, &bo->resource);
    if (result < 0) {
        free(bo);
        return device_result(device, result);
    }
    size_t bytes = 0;
    aliquot_resource_map(bo->resource, &bytes);
    bo->refs = 1;
    bo->device = device;
    bo->size_bytes = bytes;
    *ret = bo;
    return 0;
}

struct bo *bo_ref(struct bo *bo)
{
    bo->refs++;
    return bo;
}

void bo_unref(struct bo *bo)
{
    state_lock();
    bool last = --bo->refs == 0;
    state_unlock();
    if (!last)
        return;
    fence_set_clear(&bo->fences);
    /* In a fork it has been freed with the vGPU. */
    if (!device_is_foreign(bo->device))
        aliquot_resource_destroy(bo->resource);
    free(bo);
}

bool bo_is_last_ref(struct bo *bo)
{
    state_lock();
    bool last = bo->refs == 1;
    state_unlock();
    return last;
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Reserves the place that the caller insists on without hurting what is there. */
static void *reserve(void *addr, size_t length)
{
    return real()->mmap(addr, length, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

void *bo_map(struct bo *bo, void *addr, size_t length, int prot, int flags, uint64_t offset)
{
    int type = flags & MAP_TYPE;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);

    length = (length + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if ((type != MAP_SHARED && type != MAP_SHARED_VALIDATE) || length == 0 ||
        offset % PAGE_BYTES != 0 || offset > bo->size_bytes || length > bo->size_bytes - offset ||
        device_is_foreign(bo->device)) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    if ((flags & MAP_FIXED_NOREPLACE) && reserve(addr, length) == MAP_FAILED)
        return MAP_FAILED;
    /* An old length of 0 makes a second mapping of the same shared pages (mremap(2)). */
    uint8_t *backing = aliquot_resource_map(bo->resource, NULL);
    void *mapped =
        mremap(backing + offset, 0, length, MREMAP_MAYMOVE | (fixed ? MREMAP_FIXED : 0), addr);
    if (mapped == MAP_FAILED)
        return MAP_FAILED;
    if (prot != (PROT_READ | PROT_WRITE))
        mprotect(mapped, length, prot);
    if (flags & MAP_POPULATE)
        madvise(mapped, length, prot & PROT_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    return mapped;
}

/* ---- PRIME ---------------------------------------------------------------------------------- */

struct prime *prime_of(struct fd_object *base)
{
    return (struct prime *)base;
}

static void release_prime(struct fd_object *base)
{
    struct prime *prime = prime_of(base);

    bo_unref(prime->bo);
    free(prime);
}

int prime_export(struct bo *bo, bool cloexec)
{
    struct prime *prime = calloc(1, sizeof(*prime));

    if (!prime)
        return -ENOMEM;
    state_lock();
    prime->bo = bo_ref(bo);
    state_unlock();
    fd_object_init(&prime->base, FD_PRIME, release_prime);
    /* Its size is the buffer's, as lseek(2) tells. */
    int fd = fd_object_open_token(&prime->base, cloexec, (off_t)bo->size_bytes);
    fd_object_unref(&prime->base);
    return fd;
}
