/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/bo.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096ull

/* ---- life ----------------------------------------------------------------------------------- */

/* Takes over the resource, if result says that it was made. */
static int wrap(struct device *device, int result, struct aliquot_resource *resource,
                const struct bo *like, struct bo **ret)
{
    if (result < 0)
        return device_result(device, result);
    struct bo *bo = malloc(sizeof(*bo));
    if (!bo) {
        aliquot_resource_destroy(resource);
        return -ENOMEM;
    }
    *bo = *like;
    bo->refs = 1;
    bo->device = device;
    bo->resource = resource;
    *ret = bo;
    return 0;
}

int bo_create(struct device *device, const struct aliquot_resource_args *args, struct bo **ret)
{
    struct aliquot_resource *resource = NULL;
    size_t bytes = 0;
    int result = aliquot_resource_create_3d(device->vgpu, args, &resource);

    if (result == 0)
        aliquot_resource_map(resource, &bytes);
    return wrap(device, result, resource, &(struct bo){.size_bytes = bytes}, ret);
}

int bo_create_blob(struct device *device, struct aliquot_context *context,
                   const struct aliquot_blob_args *args, struct bo **ret)
{
    const struct bo like = {.size_bytes = args->bytes, .blob_mem = args->mem};
    struct aliquot_resource *resource = NULL;
    int result = aliquot_resource_create_blob(device->vgpu, context, args, &resource);

    return wrap(device, result, resource, &like, ret);
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

static void *map_host(struct bo *bo, void *addr, size_t length, int prot, int flags,
                      uint64_t offset)
{
    int result = device_result(bo->device,
                               aliquot_blob_mmap(bo->resource, length, prot, flags, offset, &addr));

    if (result == 0)
        return addr;
    errno = -result;
    return MAP_FAILED;
}

/* An old length of 0 makes a second mapping of the same shared pages (mremap(2)). */
static void *map_backing(struct bo *bo, void *addr, size_t length, int prot, int flags,
                         uint64_t offset)
{
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    uint8_t *backing = aliquot_resource_map(bo->resource, NULL);

    if ((flags & MAP_FIXED_NOREPLACE) && reserve(addr, length) == MAP_FAILED)
        return MAP_FAILED;
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

void *bo_map(struct bo *bo, void *addr, size_t length, int prot, int flags, uint64_t offset)
{
    int type = flags & MAP_TYPE;

    length = (length + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if ((type != MAP_SHARED && type != MAP_SHARED_VALIDATE) || length == 0 ||
        offset % PAGE_BYTES != 0 || offset > bo->size_bytes || length > bo->size_bytes - offset ||
        device_is_foreign(bo->device)) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return bo_has_backing(bo) ? map_backing(bo, addr, length, prot, flags, offset)
                              : map_host(bo, addr, length, prot, flags, offset);
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
