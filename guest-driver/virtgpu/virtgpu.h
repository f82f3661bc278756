/* SPDX-License-Identifier: MIT */
/*
 * The transport inside a virtual machine: the kernel's virtio_gpu driver, through its render node.
 * struct virtgpu_vgpu, and what its files offer each other:
 *   transport.c  life, waiting         node.c      open nodes, what they have, finding one
 *   capset.c     capsets               context.c   contexts, submission, fences
 *   resource.c   resources, blobs and their mapping         transfer.c  transfers
 *
 * To the kernel each open render node is a context with handles of its own. So a context is a node
 * here, and there is a main one for what is made without a context. A resource has a handle in the
 * node in which it was made, its home, and in those of the contexts it is attached to.
 *
 * The driver tells nobody what the device answers. What it refuses to do itself is an error here;
 * what the device refuses is found in the kernel's log alone.
 *
 * Most calls of the kernel send a command, and sleep where its ring is full. So none is made with
 * the vGPU's lock, and whoever waits for a fence, or asks for what is known, waits for nobody's
 * ring.
 */
#ifndef ALIQUOT_GUEST_VIRTGPU_H
#define ALIQUOT_GUEST_VIRTGPU_H

#include "guest-driver/vgpu.h"
#include "guest-driver/virtgpu/libdrm.h"

#include <drm/virtgpu_drm.h>
#include <stdatomic.h>

/* Where nodes are looked for. */
#define VIRTGPU_DIRECTORY "/dev/dri"

/* Capset ids are bits of a 64-bit mask. */
#define VIRTGPU_CAPSETS 64

extern const struct transport transport_virtgpu;

/* A render node that is open. */
struct node {
    int fd;            /* owned */
    atomic_uint users; /* the vGPU or context, the resources made in it, attachments to it */
};

struct virtgpu_vgpu {
    struct aliquot_vgpu base;
    struct libdrm drm; /* owned */
    char *path;        /* owned: of the node, for contexts */
    struct node *main; /* a user's */
    int wake_fd;       /* owned: readable once the vGPU is lost */
    uint8_t capset_ids[VIRTGPU_CAPSETS];
    bool host_visible; /* blobs of the host can be mapped */
    bool debug_name;   /* contexts can have one */
    /* Who attaches, detaches, or uses a handle that another may detach. The kernel gives an object
     * one handle in a node, so two at once would close each other's. Taken before the lock. */
    pthread_mutex_t attaching;
    /* Under the lock: */
    uint64_t used_bytes; /* of base.memory_bytes */
};

struct virtgpu_context {
    struct aliquot_context base;
    struct node *node; /* a user's */
};

/* A resource's handle in a node. */
struct attachment {
    struct node *node; /* a user's */
    uint32_t handle;
    struct attachment *next;
};

struct virtgpu_resource {
    struct aliquot_resource base;
    struct attachment home;
    struct attachment *others;      /* owned, by their next */
    uint32_t format, width, height; /* of classic resources: what rows are long */
    uint64_t charged_bytes;         /* in used_bytes */
};

struct virtgpu_fence {
    struct aliquot_fence base;
    int sync_fd; /* owned: a sync_file */
};

static inline struct virtgpu_vgpu *virtgpu_vgpu(struct aliquot_vgpu *base)
{
    return (struct virtgpu_vgpu *)base;
}

static inline struct virtgpu_context *virtgpu_context(struct aliquot_context *base)
{
    return (struct virtgpu_context *)base;
}

static inline struct virtgpu_resource *virtgpu_resource(struct aliquot_resource *base)
{
    return (struct virtgpu_resource *)base;
}

/* All of the following need the lock, unless they say otherwise; those that call the kernel drop it
 * meanwhile. */

/* ---- transport.c ----------------------------------------------------------------------------- */

/* Says why a call of the kernel failed, and gives the vGPU up if the device is gone. error is
 * negative; returns what the caller is to return. */
int virtgpu_failed(struct virtgpu_vgpu *vgpu, const char *what, int error);
/* 0, or virtgpu_failed(). */
int virtgpu_ioctl(struct virtgpu_vgpu *vgpu, const struct node *node, unsigned long request,
                  void *arg, const char *what);
/* Waits for a sync_file without the lock: 0, -ETIMEDOUT, or what the vGPU was lost with. */
int virtgpu_wait(struct virtgpu_vgpu *vgpu, int sync_fd, int64_t deadline_ns);

/* ---- node.c ---------------------------------------------------------------------------------- */

/* Opens the node once more: 0 or a negative errno, having said why. Has one user. */
int node_open(struct virtgpu_vgpu *vgpu, struct node **ret);
/* Without the lock, if this may be the last user: closing it ends the context. */
void node_unref(struct node *node);
/* Sees to it that the main node is what we need, and reads what the device has. */
int node_probe(struct virtgpu_vgpu *vgpu);

/* Without a vGPU: the path of the virtio_gpu render node with the smallest number in directory, for
 * free(3). -ENOENT: there is none. reason, of ERROR_TEXT_BYTES, says why then. */
int node_find(const struct libdrm *drm, const char *directory, char **ret_path, char *reason);

/* ---- capset.c -------------------------------------------------------------------------------- */

/* Fills in capset_ids and num_capsets, for open. */
int virtgpu_list_capsets(struct virtgpu_vgpu *vgpu);
int virtgpu_capset_info(struct aliquot_vgpu *vgpu, uint32_t index, struct aliquot_capset_info *ret);
int virtgpu_capset(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version, void *buf, size_t size,
                   size_t *ret_bytes);

/* ---- context.c ------------------------------------------------------------------------------- */

int virtgpu_context_create(struct aliquot_context *context, uint32_t capset_id, const char *name);
void virtgpu_context_destroy(struct aliquot_context *context);
void virtgpu_context_release(struct aliquot_context *context);
int virtgpu_attach(struct aliquot_context *context, struct aliquot_resource *resource);
int virtgpu_detach(struct aliquot_context *context, struct aliquot_resource *resource);
int virtgpu_submit(struct aliquot_context *context, const void *commands, uint32_t bytes,
                   int ring_idx, struct aliquot_fence *fence);
/* A fence on what the node has sent so far, the caller's to close. */
int virtgpu_mark(struct virtgpu_vgpu *vgpu, const struct node *node, int *ret_sync_fd);
/* The same, waited for as long as the vGPU's time-out says. */
int virtgpu_settle(struct virtgpu_vgpu *vgpu, const struct node *node);

/* ---- resource.c, transfer.c ------------------------------------------------------------------ */

int virtgpu_resource_create(struct aliquot_vgpu *vgpu, bool is_2d,
                            const struct aliquot_resource_args *args,
                            struct aliquot_resource **ret);
int virtgpu_blob_create(struct aliquot_vgpu *vgpu, struct aliquot_context *context,
                        const struct aliquot_blob_args *args, struct aliquot_resource **ret);
int virtgpu_resource_wait(struct aliquot_resource *resource);
void virtgpu_resource_destroy(struct aliquot_resource *resource);
void virtgpu_resource_release(struct aliquot_resource *resource);
int virtgpu_blob_mmap(struct aliquot_resource *resource, size_t length, int prot, int flags,
                      uint64_t offset, void **address);
/* The handle in a node, or NULL. */
const struct attachment *resource_attachment(const struct virtgpu_resource *resource,
                                             const struct node *node);
/* The same for a node that it is attached to besides its home: taken out of the list. */
struct attachment *resource_take_attachment(struct virtgpu_resource *resource,
                                            const struct node *node);
/* Without the lock: closes the handle of what was taken out, and frees it. */
void attachment_close(const struct libdrm *drm, struct attachment *attachment);
/* Takes vgpu->attaching, which the caller unlocks: 0, or what the vGPU was lost with meanwhile; not
 * taken then. */
int virtgpu_begin_attaching(struct virtgpu_vgpu *vgpu);

int virtgpu_transfer(struct aliquot_context *context, struct aliquot_resource *resource,
                     const struct aliquot_transfer *t, bool to_host, struct aliquot_fence *fence);

#endif
