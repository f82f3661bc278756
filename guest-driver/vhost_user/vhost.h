/* SPDX-License-Identifier: MIT */
/*
 * The transport over a socket: a vhost-user front-end of our own, with a memfd of its own in the
 * part of guest memory. struct vhost_vgpu, and what its files offer each other:
 *   frontend.c  the vhost-user conversation that starts it       guest_heap.c  blocks of memory
 *   transport.c life, memory            ring.c   commands on the control queue, and waiting
 *   fence.c     fences and the thread behind their descriptors   query.c  capsets and sync
 *   context.c   contexts, submission    resource.c  resources, transfers
 *   blob.c      blobs and their mapping host_visible.c  what the server shows of them
 *
 * Who waits for the device leads: it drops the mutex, sleeps on the notification, takes all that
 * has come back off the ring and wakes those whose wish is fulfilled; the others sleep on
 * conditions of their own. So a lone thread's round trip never passes through another thread, and
 * there is always one waiter who leads.
 *
 * The server is not trusted: the shared memory holds no pointer, length or index that we read back,
 * apart from responses (copied once, then checked) and the used ring (checked by vring_drv).
 */
#ifndef ALIQUOT_GUEST_VHOST_H
#define ALIQUOT_GUEST_VHOST_H

#include "guest-driver/vgpu.h"
#include "guest-driver/vhost_user/frontend.h"
#include "guest-driver/vhost_user/guest_heap.h"
#include "guest-driver/vhost_user/host_visible.h"
#include "protocol/virtio_gpu.h"
#include "protocol/vring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_RING_NUM 256
#define CURSOR_RING_NUM 16

/* Commands in flight at once. Each takes two or three descriptors, so the ring has room for that
 * many of those with two. */
#define SLOT_COUNT 128
/* A command and its response in shared memory. A submit that fits goes with the request. */
#define SLOT_BYTES 4096u
#define SLOT_RESPONSE_BYTES 512u
#define SLOT_REQUEST_BYTES (SLOT_BYTES - SLOT_RESPONSE_BYTES)

/* Messages about shared memory that are handled before the thread that waits looks at its own wish
 * again; and before an answer that must come after such a message: more can't be on their way. */
#define SERVE_MESSAGES 16
#define SERVE_ALL_MESSAGES (2 * SLOT_COUNT)

struct ring_command;
struct vhost_resource;
struct vhost_vgpu;

/* Called under the lock when the device has answered, or the vGPU is lost (the error says so). */
typedef void (*command_done_fn)(struct vhost_vgpu *vgpu, struct ring_command *cmd);

/* One slot's private half. */
struct ring_command {
    uint16_t slot;
    bool in_flight;
    bool waited;                /* a caller sleeps in ring_call() for it, and frees it */
    bool done;                  /* answered; waited for */
    int error;                  /* 0 or the device's answer as errno */
    uint32_t type;              /* enum virtio_gpu_ctrl_type */
    uint32_t expect;            /* response type that means success */
    uint64_t fence_id;          /* 0 = no fence */
    uint32_t response_capacity; /* bytes */
    uint32_t response_bytes;    /* that the device wrote, at most the capacity */
    struct guest_block *out;    /* owned: what follows the request, or NULL */
    uint32_t out_bytes;
    struct guest_block *in;          /* owned: a response too large for the slot, or NULL */
    struct aliquot_fence *fence;     /* owned reference, or NULL */
    struct vhost_resource *resource; /* owned reference, or NULL */
    command_done_fn on_done;         /* or NULL */
    command_done_fn on_unsent;       /* instead of it, if it could not be sent; or NULL */
    struct ring_command *next_free;
};

/* Somebody who sleeps until its condition holds. Lives on its stack, in vgpu->waiters. */
typedef bool (*wait_ready_fn)(const struct vhost_vgpu *vgpu, const void *arg);
struct waiter {
    pthread_cond_t cond;
    wait_ready_fn ready;
    const void *arg;
    struct waiter *prev, *next;
};

struct vhost_vgpu {
    struct aliquot_vgpu base;
    struct frontend front; /* descriptors: owned */
    int epoll_fd;          /* owned: the control queue's call, the socket, ring errors */

    void *memory;        /* owned mapping of front.memory_bytes, shared with the server */
    size_t slots_offset; /* of the SLOT_COUNT slots in it */
    size_t heap_offset;  /* of what the heap hands out */

    /* Under the lock, as are the shared rings and slots: */
    struct vring_drv control, cursor;
    struct guest_heap heap;
    struct host_visible visible;
    struct ring_command commands[SLOT_COUNT];
    struct ring_command *free_commands;
    unsigned in_flight;
    uint64_t completions; /* grows with each command that comes back */

    bool leading;           /* a thread sleeps on epoll_fd */
    struct waiter *waiters; /* on their stacks */

    uint64_t last_fence_id;
    uint32_t next_context_id, next_resource_id; /* 0 = used up */

    unsigned exported;   /* fences in flight that have a descriptor */
    bool reaper_running; /* its loop has not ended */
    bool reaper_joinable;
    pthread_t reaper;
};

static inline struct vhost_vgpu *vhost_vgpu(struct aliquot_vgpu *base)
{
    return (struct vhost_vgpu *)base;
}

struct vhost_resource {
    struct aliquot_resource base;
    unsigned refs;             /* the user's, and each command's in flight */
    unsigned creating;         /* commands of the creation in flight */
    bool device_has;           /* the device may know the backing */
    struct guest_block *block; /* owned, or NULL; kept for ever if the device did not let go */
    /* Of blobs: */
    struct guest_block *place; /* owned: where it is in the host-visible region, or will be, or is
                                  until the device has answered; NULL = nowhere */
    unsigned placing;          /* MAP and UNMAP commands in flight */
    bool mapping;              /* a thread sees to the descriptor; others wait for it */
    bool shown;                /* the device has it there */
    int host_fd;               /* owned: what the server showed; -1 once it was mapped */
    uint64_t host_fd_offset;
};

static inline struct vhost_resource *vhost_resource(struct aliquot_resource *base)
{
    return (struct vhost_resource *)base;
}

static inline struct vhost_vgpu *vhost_vgpu_of(const struct vhost_resource *resource)
{
    return vhost_vgpu(resource->base.vgpu);
}

struct vhost_fence {
    struct aliquot_fence base;
    /* Under the vGPU's lock: */
    bool done;
    int error;
    int event_fd; /* owned while the fence is not done; what is handed out are its duplicates */
};

/* All of the following need the lock, unless they say otherwise. */

/* ---- transport.c ----------------------------------------------------------------------------- */

/* Allocates shared memory, waiting for commands in flight to free some: 0, -ENOMEM, -ETIMEDOUT, or
 * what the vGPU was lost with. */
int vhost_alloc(struct vhost_vgpu *vgpu, uint64_t bytes, struct guest_block **ret);
void vhost_free(struct vhost_vgpu *vgpu, struct guest_block *block);
void *vhost_pointer(const struct vhost_vgpu *vgpu, const struct guest_block *block);
uint64_t vhost_gpa(const struct vhost_vgpu *vgpu, const struct guest_block *block);

/* ---- ring.c: waiting drops the lock -----------------------------------------------------------
 */

/* Takes a free slot, waiting for one. Its request of request_bytes, zeroed but for the header, is
 * at *ret_request: shared memory, to be written and never read. */
int ring_command_get(struct vhost_vgpu *vgpu, uint32_t type, uint32_t context_id,
                     uint32_t request_bytes, struct ring_command **ret, void *ret_request);
/* Gives a command back that is not in flight, with all it owns. */
void ring_command_put(struct vhost_vgpu *vgpu, struct ring_command *cmd);
/* Asks the device for a fence on the command, whose completion completes fence (a reference is
 * taken). */
void ring_command_fence(struct vhost_vgpu *vgpu, struct ring_command *cmd,
                        struct aliquot_fence *fence, int ring_idx);

/* Sends a command. Whatever the result, it belongs to the ring from now on. */
int ring_send(struct vhost_vgpu *vgpu, struct ring_command *cmd, uint32_t request_bytes);
/* Sends and waits for the answer. On success the caller reads the response and puts the command;
 * on failure it is the ring's. */
int ring_call(struct vhost_vgpu *vgpu, struct ring_command *cmd, uint32_t request_bytes);
/* Copies the first bytes of the response that ring_call() waited for: false if there are fewer. */
bool ring_response(const struct vhost_vgpu *vgpu, const struct ring_command *cmd, void *dst,
                   uint32_t bytes);

/* Takes what has come back off the ring; true if there was something. */
bool ring_reap(struct vhost_vgpu *vgpu);
/* Waits until ready(vgpu, arg): 0, -ETIMEDOUT, or what the vGPU was lost with. deadline_ns
 * INT64_MAX = for ever, which only the reaper may. */
int ring_wait(struct vhost_vgpu *vgpu, wait_ready_fn ready, const void *arg, int64_t deadline_ns);
/* Wakes those whose condition holds by now. */
void ring_wake(struct vhost_vgpu *vgpu);
/* Ends all commands in flight with error. */
void ring_fail_all(struct vhost_vgpu *vgpu, int error);

/* ---- fence.c --------------------------------------------------------------------------------- */

void vhost_fence_init(struct aliquot_fence *fence);
int vhost_fence_wait(struct aliquot_fence *fence, int64_t timeout_ns);
int vhost_fence_fd(struct aliquot_fence *fence);
void vhost_fence_finish(struct aliquot_fence *fence);
/* The work is over, with the error or 0. */
void vhost_fence_complete(struct aliquot_fence *fence, int error);
/* Without the lock, on closing: the thread has ended after it. */
void vhost_reaper_join(struct aliquot_vgpu *vgpu);

/* ---- query.c, context.c ---------------------------------------------------------------------- */

int vhost_capset_info(struct aliquot_vgpu *vgpu, uint32_t index, struct aliquot_capset_info *ret);
int vhost_capset(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version, void *buf, size_t size,
                 size_t *ret_bytes);
int vhost_sync(struct aliquot_vgpu *vgpu);

int vhost_context_create(struct aliquot_context *context, uint32_t capset_id, const char *name);
void vhost_context_destroy(struct aliquot_context *context);
void vhost_context_release(struct aliquot_context *context);
int vhost_attach(struct aliquot_context *context, struct aliquot_resource *resource);
int vhost_detach(struct aliquot_context *context, struct aliquot_resource *resource);
int vhost_submit(struct aliquot_context *context, const void *commands, uint32_t bytes,
                 int ring_idx, struct aliquot_fence *fence);

/* ---- resource.c, blob.c ---------------------------------------------------------------------- */

int vhost_resource_create(struct aliquot_vgpu *vgpu, bool is_2d,
                          const struct aliquot_resource_args *args, struct aliquot_resource **ret);
int vhost_resource_wait(struct aliquot_resource *resource);
void vhost_resource_destroy(struct aliquot_resource *resource);
void vhost_resource_release(struct aliquot_resource *resource);
int vhost_transfer(struct aliquot_context *context, struct aliquot_resource *resource,
                   const struct aliquot_transfer *t, bool to_host, struct aliquot_fence *fence);

/* A resource with a number of its own: 0 or an error. The caller sends the commands that make it,
 * or calls resource_unref() if that fails. */
int resource_alloc(struct vhost_vgpu *vgpu, uint64_t backing_bytes, struct vhost_resource **ret);
/* Sends a command of the creation, whose failure is the resource's. */
int resource_send_creation(struct vhost_resource *resource, struct ring_command *cmd,
                           uint32_t request_bytes);
void resource_unref(struct vhost_resource *resource);
struct vhost_resource *resource_ref(struct vhost_resource *resource);

int vhost_blob_create(struct aliquot_vgpu *vgpu, struct aliquot_context *context,
                      const struct aliquot_blob_args *args, struct aliquot_resource **ret);
int vhost_blob_mmap(struct aliquot_resource *resource, size_t length, int prot, int flags,
                    uint64_t offset, void **address);
/* The device is to forget the mapping, if there is one; waits if the server needs us for it. */
void blob_hide(struct vhost_resource *resource);
/* Frees what is ours of a mapping; the device has no part in it. */
void blob_release(struct vhost_resource *resource);

#endif
