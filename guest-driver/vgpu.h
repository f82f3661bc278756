/* SPDX-License-Identifier: MIT */
/*
 * What is common to all vGPUs, however the device is reached, and what the library's files offer
 * each other:
 *   vgpu.c     life, lock, loss, errors       query.c     capsets and sync
 *   context.c  contexts, submission           resource.c  resources, transfers
 *   blob.c     mapping of blobs               fence.c     fences
 *   choice.c   which way leads to the device  completions.c  ends on the GPU
 * transport.h says what is left to a way to the device; the structs here are the beginning of its
 * own.
 *
 * One mutex a vGPU guards everything.
 */
#ifndef ALIQUOT_GUEST_VGPU_H
#define ALIQUOT_GUEST_VGPU_H

#include "guest-driver/include/aliquot-guest.h"
#include "guest-driver/transport.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What memory is given out in: blobs are whole ones, and offsets into them. */
#define PAGE_BYTES 4096ull

/* The largest capset that is asked for: real ones have a few KiB. */
#define CAPSET_BYTES_MAX (1u << 20)

#define ERROR_TEXT_BYTES 256

struct aliquot_vgpu {
    const struct transport *transport;
    atomic_uint refs;           /* the opener's, and each fence's */
    const uint32_t *fork_guard; /* owned page: VGPU_GUARD here, 0 in a fork */
    /* Fixed once it is open: */
    uint32_t timeout_ms;
    uint64_t memory_bytes; /* the most that backing and large commands may take; whole pages */
    uint64_t features;     /* masks */
    uint32_t num_scanouts, num_capsets;
    const char *without_context_init; /* why there is no CONTEXT_INIT, if it is not the device */

    pthread_mutex_t lock;               /* guards all below, and the transport's part */
    int lost;                           /* 0, or the negative errno that all calls fail with */
    unsigned waiting;                   /* threads that sleep in a call */
    pthread_cond_t nobody_waits;        /* for aliquot_close() */
    struct aliquot_context *contexts;   /* owned, by their next */
    struct aliquot_resource *resources; /* owned, by their next: those the user holds */
    uint64_t errors;
    char error_text[ERROR_TEXT_BYTES];
};

struct aliquot_context {
    struct aliquot_vgpu *vgpu;           /* borrowed */
    uint32_t id;                         /* 0: the transport does not know it */
    struct aliquot_context *prev, *next; /* in vgpu->contexts */
};

struct aliquot_resource {
    struct aliquot_vgpu *vgpu; /* borrowed */
    uint32_t id;
    bool is_2d;
    int error;           /* the device's answer to the creation, as far as it is known */
    void *memory;        /* borrowed from the transport: the backing, or NULL */
    size_t memory_bytes; /* of it */
    /* Of blobs: */
    uint64_t blob_bytes; /* 0 = a classic resource */
    uint32_t blob_mem, blob_flags;
    void *host_memory;                    /* owned mapping of all of it, or NULL */
    struct aliquot_resource *prev, *next; /* in vgpu->resources, until destroyed */
};

struct aliquot_fence {
    atomic_uint refs;
    struct aliquot_vgpu *vgpu; /* owned reference */
};

/* ---- vgpu.c --------------------------------------------------------------------------------- */

#define VGPU_GUARD 0x414c5155u

/* True in a process that inherited the vGPU by fork. The lock may be held there for ever. */
bool vgpu_is_foreign(const struct aliquot_vgpu *vgpu);

/* Takes the lock: 0, or -EOWNERDEAD in a fork, or what the vGPU was lost with; not locked then. */
int vgpu_lock(struct aliquot_vgpu *vgpu);
/* The same for what also works on a lost vGPU. */
int vgpu_lock_lost(struct aliquot_vgpu *vgpu);
void vgpu_unlock(struct aliquot_vgpu *vgpu);

static inline bool vgpu_has(const struct aliquot_vgpu *vgpu, unsigned feature)
{
    return vgpu->features & (1ull << feature);
}

/* The following need the lock. */

/* Writes the error text. */
void vgpu_error(struct aliquot_vgpu *vgpu, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Gives the vGPU up with error, if it is not lost yet: everything in flight fails, everybody wakes
 * up. */
void vgpu_lose(struct aliquot_vgpu *vgpu, int error, const char *text);
/* Around the sleep of a call, so that aliquot_close() waits for its end. */
void vgpu_wait_begin(struct aliquot_vgpu *vgpu);
void vgpu_wait_end(struct aliquot_vgpu *vgpu);

/* When a wait that starts now has to end, on CLOCK_MONOTONIC; of a parameter of the calls
 * (ALIQUOT_TIMEOUT_DEFAULT_NS = the vGPU's). */
int64_t vgpu_deadline_ns(const struct aliquot_vgpu *vgpu);
int64_t vgpu_deadline_of_ns(const struct aliquot_vgpu *vgpu, int64_t timeout_ns);
int64_t monotonic_ns(void);
static inline uint64_t page_align(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

void vgpu_unref(struct aliquot_vgpu *vgpu); /* without the lock */

/* ---- resource.c, blob.c, fence.c ------------------------------------------------------------- */

/* An empty one for the transport to fill in, or NULL. free() takes it back. */
struct aliquot_resource *resource_new(struct aliquot_vgpu *vgpu);
/* Frees what is ours of the mapping of a blob. */
void blob_unmap(struct aliquot_resource *resource);

/* A fence of the vGPU, not done; the caller owns one reference. NULL: out of memory. */
struct aliquot_fence *fence_create(struct aliquot_vgpu *vgpu);

#endif
