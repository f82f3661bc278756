/* SPDX-License-Identifier: MIT */
/*
 * The library's one shared object, struct aliquot_vgpu, and what its files offer each other:
 *   frontend.c  the vhost-user conversation that starts it       guest_heap.c  blocks of memory
 *   vgpu.c      life, loss, errors      ring.c   commands on the control queue, and waiting
 *   fence.c     fences and the thread behind their descriptors   query.c  capsets and sync
 *   context.c   contexts, submission    resource.c  resources, transfers
 *   blob.c      blobs and their mapping host_visible.c  what the server shows of them
 *
 * One mutex guards everything. Who waits for the device leads: it drops the mutex, sleeps on the
 * notification, takes all that has come back off the ring and wakes those whose wish is fulfilled;
 * the others sleep on conditions of their own. So a lone thread's round trip never passes through
 * another thread, and there is always one waiter who leads.
 *
 * The server is not trusted: the shared memory holds no pointer, length or index that we read back,
 * apart from responses (copied once, then checked) and the used ring (checked by vring_drv).
 */
#ifndef ALIQUOT_GUEST_VGPU_H
#define ALIQUOT_GUEST_VGPU_H

#include "guest-driver/frontend.h"
#include "guest-driver/guest_heap.h"
#include "guest-driver/host_visible.h"
#include "guest-driver/include/aliquot-guest.h"
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

#define ERROR_TEXT_BYTES 256

struct ring_command;

/* Called under the lock when the device has answered, or the vGPU is lost (the error says so). */
typedef void (*command_done_fn)(struct aliquot_vgpu *vgpu, struct ring_command *cmd);

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
    struct guest_block *in;            /* owned: a response too large for the slot, or NULL */
    struct aliquot_fence *fence;       /* owned reference, or NULL */
    struct aliquot_resource *resource; /* owned reference, or NULL */
    command_done_fn on_done;           /* or NULL */
    command_done_fn on_unsent;         /* instead of it, if it could not be sent; or NULL */
    struct ring_command *next_free;
};

/* Somebody who sleeps until its condition holds. Lives on its stack, in vgpu->waiters. */
typedef bool (*wait_ready_fn)(const struct aliquot_vgpu *vgpu, const void *arg);
struct waiter {
    pthread_cond_t cond;
    wait_ready_fn ready;
    const void *arg;
    struct waiter *prev, *next;
};

struct aliquot_vgpu {
    atomic_uint refs;           /* the opener's, and each fence's */
    const uint32_t *fork_guard; /* owned page: VGPU_GUARD here, 0 in a fork */
    uint32_t timeout_ms;
    struct frontend front; /* descriptors: owned */
    int epoll_fd;          /* owned: the control queue's call, the socket, ring errors */

    void *memory;        /* owned mapping of front.memory_bytes, shared with the server */
    size_t slots_offset; /* of the SLOT_COUNT slots in it */
    size_t heap_offset;  /* of what the heap hands out */

    pthread_mutex_t lock; /* guards all below, and the shared rings and slots */
    struct vring_drv control, cursor;
    struct guest_heap heap;
    struct host_visible visible;
    struct ring_command commands[SLOT_COUNT];
    struct ring_command *free_commands;
    unsigned in_flight;
    uint64_t completions; /* grows with each command that comes back */

    int lost;                  /* 0, or the negative errno that all calls fail with */
    bool leading;              /* a thread sleeps on epoll_fd */
    struct waiter *waiters;    /* on their stacks */
    pthread_cond_t no_waiters; /* for aliquot_close() */

    uint64_t last_fence_id;
    uint32_t next_context_id, next_resource_id; /* 0 = used up */
    struct aliquot_context *contexts;           /* owned, by their next */
    struct aliquot_resource *resources;         /* owned, by their next: those the user holds */

    unsigned exported;   /* fences in flight that have a descriptor */
    bool reaper_running; /* its loop has not ended */
    bool reaper_joinable;
    pthread_t reaper;

    uint64_t errors;
    char error_text[ERROR_TEXT_BYTES];
};

struct aliquot_context {
    struct aliquot_vgpu *vgpu; /* borrowed */
    uint32_t id;
    struct aliquot_context *prev, *next; /* in vgpu->contexts */
};

struct aliquot_resource {
    struct aliquot_vgpu *vgpu; /* borrowed */
    unsigned refs;             /* the user's, and each command's in flight */
    uint32_t id;
    bool is_2d;
    int error;                 /* the device's answer to the creation */
    unsigned creating;         /* commands of the creation in flight */
    bool device_has;           /* the device may know the backing */
    struct guest_block *block; /* owned, or NULL; kept for ever if the device did not let go */
    /* Of blobs: */
    uint64_t blob_bytes; /* 0 = a classic resource */
    uint32_t blob_mem, blob_flags;
    struct guest_block *place; /* owned: where it is in the host-visible region, or will be, or is
                                  until the device has answered; NULL = nowhere */
    unsigned placing;          /* MAP and UNMAP commands in flight */
    bool mapping;              /* a thread sees to the descriptor; others wait for it */
    bool shown;                /* the device has it there */
    int host_fd;               /* owned: what the server showed; -1 once it was mapped */
    uint64_t host_fd_offset;
    void *host_memory;                    /* owned mapping of all of it, or NULL */
    struct aliquot_resource *prev, *next; /* in vgpu->resources, until destroyed */
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

/* The following need the lock. */

/* Writes the error text. */
void vgpu_error(struct aliquot_vgpu *vgpu, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Gives the vGPU up with error, if it is not lost yet: everything in flight fails, everybody wakes
 * up. */
void vgpu_lose(struct aliquot_vgpu *vgpu, int error, const char *text);
/* When a wait that starts now has to end, on CLOCK_MONOTONIC. */
int64_t vgpu_deadline_ns(const struct aliquot_vgpu *vgpu);
int64_t monotonic_ns(void);

/* Allocates shared memory, waiting for commands in flight to free some: 0, -ENOMEM, -ETIMEDOUT, or
 * what the vGPU was lost with. */
int vgpu_alloc(struct aliquot_vgpu *vgpu, uint64_t bytes, struct guest_block **ret);
void vgpu_free(struct aliquot_vgpu *vgpu, struct guest_block *block);
void *vgpu_pointer(const struct aliquot_vgpu *vgpu, const struct guest_block *block);
uint64_t vgpu_gpa(const struct aliquot_vgpu *vgpu, const struct guest_block *block);

void vgpu_unref(struct aliquot_vgpu *vgpu); /* without the lock */

/* ---- ring.c: all with the lock, which waiting drops ------------------------------------------ */

/* Takes a free slot, waiting for one. Its request of request_bytes, zeroed but for the header, is
 * at *ret_request: shared memory, to be written and never read. */
int ring_command_get(struct aliquot_vgpu *vgpu, uint32_t type, uint32_t context_id,
                     uint32_t request_bytes, struct ring_command **ret, void *ret_request);
/* Gives a command back that is not in flight, with all it owns. */
void ring_command_put(struct aliquot_vgpu *vgpu, struct ring_command *cmd);
/* Asks the device for a fence on the command, whose completion completes fence (a reference is
 * taken). */
void ring_command_fence(struct aliquot_vgpu *vgpu, struct ring_command *cmd,
                        struct aliquot_fence *fence, int ring_idx);

/* Sends a command. Whatever the result, it belongs to the ring from now on. */
int ring_send(struct aliquot_vgpu *vgpu, struct ring_command *cmd, uint32_t request_bytes);
/* Sends and waits for the answer. On success the caller reads the response and puts the command;
 * on failure it is the ring's. */
int ring_call(struct aliquot_vgpu *vgpu, struct ring_command *cmd, uint32_t request_bytes);
/* Copies the first bytes of the response that ring_call() waited for: false if there are fewer. */
bool ring_response(const struct aliquot_vgpu *vgpu, const struct ring_command *cmd, void *dst,
                   uint32_t bytes);

/* Takes what has come back off the ring; true if there was something. */
bool ring_reap(struct aliquot_vgpu *vgpu);
/* Waits until ready(vgpu, arg): 0, -ETIMEDOUT, or what the vGPU was lost with. deadline_ns
 * INT64_MAX = for ever, which only the reaper may. */
int ring_wait(struct aliquot_vgpu *vgpu, wait_ready_fn ready, const void *arg, int64_t deadline_ns);
/* Wakes those whose condition holds by now. */
void ring_wake(struct aliquot_vgpu *vgpu);
/* Ends all commands in flight with error. */
void ring_fail_all(struct aliquot_vgpu *vgpu, int error);

/* ---- fence.c --------------------------------------------------------------------------------- */

/* A fence of the vGPU, not done; the caller owns one reference. NULL: out of memory. */
struct aliquot_fence *fence_create(struct aliquot_vgpu *vgpu);
/* Under the lock: the work is over, with the error or 0. */
void fence_complete(struct aliquot_fence *fence, int error);
/* Without the lock, on closing: the thread has ended after it. */
void fence_reaper_join(struct aliquot_vgpu *vgpu);

/* ---- resource.c, blob.c ---------------------------------------------------------------------- */

/* A resource that the user holds, with a number of its own: 0 or an error. The caller sends the
 * commands that make it, and calls resource_publish(), or resource_unref() if that fails. */
int resource_alloc(struct aliquot_vgpu *vgpu, uint64_t backing_bytes,
                   struct aliquot_resource **ret);
/* Sends a command of the creation, whose failure is the resource's. */
int resource_send_creation(struct aliquot_resource *resource, struct ring_command *cmd,
                           uint32_t request_bytes);
void resource_publish(struct aliquot_resource *resource);
/* The device is to forget the mapping, if there is one; waits if the server needs us for it. */
void blob_hide(struct aliquot_resource *resource);
/* Frees what is ours of a mapping; the device has no part in it. */
void blob_release(struct aliquot_resource *resource);

void resource_unref(struct aliquot_resource *resource); /* under the lock */
struct aliquot_resource *resource_ref(struct aliquot_resource *resource);

#endif
