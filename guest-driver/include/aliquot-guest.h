/* SPDX-License-Identifier: MIT */
/*
 * libaliquot-guest: a vGPU for a process, in a virtual machine or without one.
 *
 * The library offers what a kernel driver offers to Mesa: capsets, contexts, resources with backing
 * in shared memory, transfers, command submission and fences. It neither knows nor produces virgl
 * or Venus commands; that is the caller's job. Memory of the host (Vulkan's, the rings of Venus) is
 * mapped as blob resources. There are two ways to the device, and a program need not know which it
 * is on.
 *
 * A socket of aliquotd, or of a stand-alone aliquot-renderer, without a virtual machine. The
 * library is a virtio-gpu driver in user space then: it connects as a vhost-user front-end, with a
 * memfd of its own in the part of guest memory.
 *
 * A render node of Linux's virtio_gpu driver, /dev/dri/renderD*, in a virtual machine. The kernel's
 * driver has the virtqueues, and the library asks it through libdrm, which is loaded when such a
 * node is opened.
 *
 * What differs on a render node, because the kernel is in between. It keeps the device's answers to
 * itself (its log has those that are errors), so what the device refuses looks done: no fence, and
 * no aliquot_resource_wait(), tells of it; aliquot_info.errors and in_flight stay 0. What the
 * kernel refuses is an error of the call, at once. A call that sends something may wait in the
 * kernel, where the device does not take up commands, for longer than the time-out; fences and
 * what is known already are not kept from other threads by it. A context exists on the device as
 * long as it or a resource that was made in it does, and as long as a fork of the process has its
 * descriptors. What lies in guest memory alone (ALIQUOT_BLOB_GUEST) can be attached to another
 * context only if it is shareable, and transferred only without strides.
 *
 * Rules for all calls
 *
 * Errors. Calls return 0 or a negative errno and never exit, abort, print or raise SIGPIPE.
 *   `ret_` parameters are untouched on failure. Each call names its own errors; all of them can
 *   also fail with
 *     -ECONNRESET  the vGPU is lost: the server closed the connection or died. For ever; so are
 *     -EPROTO      … the server broke the protocol (aliquot_last_error() says how),
 *     -EOWNERDEAD  this process is a fork of the one that opened the vGPU: only the destroy, unref
 *                  and close calls do anything there, and they release the child's copies alone,
 *     -ETIMEDOUT   the vGPU's time-out passed (below). The vGPU is not lost, the command may still
 *                  be executed later.
 * Errors of the device. Its answers are mapped so: out of memory -ENOMEM, unknown resource -ENOENT,
 *   unknown context -ENXIO, unknown scan-out or bad parameter -EINVAL, unspecified -EIO.
 *   Creating a resource, attaching, detaching and destroying do not wait for the device's answer;
 *   nor do transfers and submits. What fails there is found in the fence, if one was asked for, and
 *   otherwise counted in aliquot_info.errors and described by aliquot_last_error().
 *   The device executes commands in the order in which they were sent.
 * Time. No call waits for the server longer than the vGPU's time-out
 *   (aliquot_open_args.timeout_ms), or its own parameter where it has one. Sending waits only when
 *   the ring or the shared memory is full. When the server goes away all waiting calls return at
 *   once; a call that does not wait may not notice yet.
 * Threads. All calls on one vGPU and its objects may come from any thread at any time, with the
 *   usual exception: nobody may be using what is being destroyed or closed. A thread that waits
 * takes the device's notification itself; the library has a thread of its own only while a
 * descriptor from aliquot_fence_fd() belongs to a fence that is not done. Descriptors that the
 * library makes are close-on-exec.
 */
#ifndef ALIQUOT_GUEST_H
#define ALIQUOT_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ALIQUOT_EXPORT __attribute__((visibility("default")))

struct aliquot_vgpu;     /* a connection: what a guest sees as one GPU */
struct aliquot_context;  /* a rendering context on it */
struct aliquot_resource; /* a texture or buffer on it, with its backing */
struct aliquot_fence;    /* the completion of a command, reference-counted */

/* ---- opening and closing -------------------------------------------------------------------- */

#define ALIQUOT_MEMORY_DEFAULT_BYTES (256ull << 20)
#define ALIQUOT_MEMORY_MIN_BYTES (2ull << 20)
#define ALIQUOT_MEMORY_MAX_BYTES (64ull << 30)
#define ALIQUOT_TIMEOUT_DEFAULT_MS 10000

/*
 * As path: the vGPU that this program is meant to have. That is the one that the environment
 * variable ALIQUOT_SOCKET names (aliquot run sets it), a socket or a render node; else the
 * 3D-capable virtio_gpu render node with the smallest number; else one on demand, from the socket
 * aliquot.sock in /run/aliquot as root, else in $XDG_RUNTIME_DIR/aliquot.
 */
#define ALIQUOT_PATH_DEFAULT ""

/* Zero it, then set what you need: 0 and NULL mean the default. */
struct aliquot_open_args {
    /* The socket to connect to, or the render node to open (/dev/dri/renderD128: what is a
     * character device is taken for one), or ALIQUOT_PATH_DEFAULT. */
    const char *path;
    /* A connected SOCK_STREAM socket, used when path is NULL. It is consumed on success only. */
    int fd;
    uint32_t timeout_ms; /* of every wait; default ALIQUOT_TIMEOUT_DEFAULT_MS */
    /* Shared memory for backing and commands, rounded up to a page. Pages cost nothing until they
     * are used. On a render node the kernel finds the memory, and this is what it is asked for at
     * most. Default ALIQUOT_MEMORY_DEFAULT_BYTES. */
    uint64_t memory_bytes;
    char *error; /* receives one line about a failed aliquot_open(), NUL-terminated */
    size_t error_size;
    uint64_t reserved[4]; /* must be 0 */
};

/*
 * Connects, negotiates and starts the vGPU. The caller owns *ret until aliquot_close().
 *   -EINVAL    arguments: no path and fd negative, memory_bytes out of range, reserved not 0
 *   -ENOENT, -ECONNREFUSED, -EACCES, … of connect(2), or open(2) of the render node
 *   -ENOENT    ALIQUOT_PATH_DEFAULT finds nothing
 *   -ENODEV    the device is no render node, or not one of virtio_gpu
 *   -ENOPKG    there is no libdrm for the render node
 *   -EPROTO    the other side does not speak vhost-user, or not well
 *   -EPROTONOSUPPORT it lacks a feature we can't do without; a render node has to have 3D
 *   -ECONNRESET the other side hung up, which is also how it refuses
 *   -ETIMEDOUT, -ENOMEM, -EMFILE, …
 */
ALIQUOT_EXPORT int aliquot_open(const struct aliquot_open_args *args, struct aliquot_vgpu **ret);

/*
 * Closes the connection; the server drops all that was made on it. Contexts and resources of the
 * vGPU are freed, their backing is unmapped: do not use them any more. Fences stay yours: those not
 * done are lost (-ECONNRESET, also for threads that wait for them now), and are released with
 * aliquot_fence_unref() as always. NULL is fine.
 */
ALIQUOT_EXPORT void aliquot_close(struct aliquot_vgpu *vgpu);

/* ---- asking --------------------------------------------------------------------------------- */

#define ALIQUOT_BYTES_UNKNOWN UINT64_MAX

struct aliquot_info {
    /* Negotiated virtio feature bits, as masks: bit VIRTIO_GPU_F_VIRGL, …; on a render node those
     * of them that the kernel tells. */
    uint64_t features;
    uint32_t num_scanouts; /* 0 on a render node, which has none */
    uint32_t num_capsets;
    uint64_t memory_bytes;            /* of shared memory for backing and large submits */
    uint64_t memory_free_bytes;       /* of it now */
    uint64_t errors;                  /* commands that failed with nobody waiting */
    uint64_t in_flight;               /* commands that the device has not answered */
    uint64_t host_visible_bytes;      /* of the region in which blobs of the host can be mapped at
                                         once; 0 = none can; ALIQUOT_BYTES_UNKNOWN on a render node
                                         that has one */
    uint64_t host_visible_free_bytes; /* of it now */
};
ALIQUOT_EXPORT int aliquot_get_info(struct aliquot_vgpu *vgpu, struct aliquot_info *ret);

struct aliquot_capset_info {
    uint32_t id;
    uint32_t max_version;
    uint32_t max_bytes;
};

/* What capset number index (0 … num_capsets - 1) is. -EINVAL: no such index. A round trip. */
ALIQUOT_EXPORT int aliquot_capset_info(struct aliquot_vgpu *vgpu, uint32_t index,
                                       struct aliquot_capset_info *ret);

/*
 * Reads capset id in the given version into buf, at most size bytes; *ret_bytes (if not NULL) is
 * what the device has sent, at most size. -EINVAL: unknown id or version, or size 0 or over 1 MiB.
 * A round trip.
 */
ALIQUOT_EXPORT int aliquot_capset(struct aliquot_vgpu *vgpu, uint32_t id, uint32_t version,
                                  void *buf, size_t size, size_t *ret_bytes);

/*
 * Waits until the device has taken up all commands sent before, by one round trip of a command that
 * does nothing. It does not wait for the GPU: that is what fences are for (but on a render node it
 * does, since the kernel has no less). After it aliquot_info.errors tells of all earlier commands
 * that had no fence.
 */
ALIQUOT_EXPORT int aliquot_sync(struct aliquot_vgpu *vgpu);

/*
 * For who has a way of his own to see whether Vulkan's work is done, as by looking into a buffer
 * that the work writes to: in place of looking again and again, he sleeps until something of the
 * vGPU has ended on the GPU.
 *
 * aliquot_completions() gives the number of such events so far, which wraps; it is read before one
 * looks. aliquot_completions_wait() sleeps until there was one more than `seen`, at most for
 * timeout_ns (or ALIQUOT_TIMEOUT_DEFAULT_NS), and returns 0 in either case, or for no reason at
 * all: what has ended may be somebody else's, and not every end is told. Not for OpenGL: that is
 * what fences are for. -EOPNOTSUPP: the device tells nothing, or has not answered anything yet;
 * always so through a render node. Otherwise as all calls; the first takes no lock.
 */
ALIQUOT_EXPORT int aliquot_completions(struct aliquot_vgpu *vgpu, uint32_t *ret_count);
ALIQUOT_EXPORT int aliquot_completions_wait(struct aliquot_vgpu *vgpu, uint32_t seen,
                                            int64_t timeout_ns);
/*
 * How many contexts of Vulkan have been lost, because the process on the host that worked for them
 * has ended: nothing of theirs will ever be done. Each counts as an end of the above, too.
 * -EOPNOTSUPP as above.
 */
ALIQUOT_EXPORT int aliquot_contexts_lost(struct aliquot_vgpu *vgpu, uint32_t *ret_count);

/*
 * Copies the last error's text ("SUBMIT_3D: ERR_INVALID_PARAMETER") to buf, cut to size and
 * NUL-terminated; "" if there was none. Returns the length of the whole text, or -EOWNERDEAD. Works
 * on a lost vGPU.
 */
ALIQUOT_EXPORT int aliquot_last_error(struct aliquot_vgpu *vgpu, char *buf, size_t size);

/* ---- contexts ------------------------------------------------------------------------------- */

/*
 * Makes a rendering context. capset_id says for which API (2 = virgl2, 4 = Venus); 0 is the
 * device's default, virgl. name is for the operator's eyes, cut to 63 bytes; NULL = the program's
 * (older kernels always take the program's). A round trip over a socket.
 *   -EOPNOTSUPP the vGPU has no 3D
 *   -EINVAL     no such capset; or one above 2 where CONTEXT_INIT was not negotiated, because the
 *               device does not offer it or the guest's kernel is too old: aliquot_last_error()
 * says which
 */
ALIQUOT_EXPORT int aliquot_context_create(struct aliquot_vgpu *vgpu, uint32_t capset_id,
                                          const char *name, struct aliquot_context **ret);
/* NULL is fine. */
ALIQUOT_EXPORT void aliquot_context_destroy(struct aliquot_context *context);
/* The number the device knows it by; 0 on a render node, where the kernel keeps it to itself. */
ALIQUOT_EXPORT uint32_t aliquot_context_id(const struct aliquot_context *context);

/* Lets commands of the context use the resource (or no longer). Not waited for. On a render node
 * the kernel answers: -EINVAL: a blob of another context that is not ALIQUOT_BLOB_SHAREABLE;
 * -ENOENT: it is not attached. Where a resource was made, it stays attached. */
ALIQUOT_EXPORT int aliquot_context_attach(struct aliquot_context *context,
                                          struct aliquot_resource *resource);
ALIQUOT_EXPORT int aliquot_context_detach(struct aliquot_context *context,
                                          struct aliquot_resource *resource);

/* ---- resources ------------------------------------------------------------------------------ */

/* As RESOURCE_CREATE_3D has it; targets, formats and bind flags are virgl's numbers. */
struct aliquot_resource_args {
    uint32_t target, format, bind;
    uint32_t width, height, depth, array_size;
    uint32_t last_level, nr_samples, flags;
    uint64_t backing_bytes; /* of shared memory; 0 = no backing, no transfers */
};

/*
 * Makes a resource and, with backing_bytes, its backing: page-aligned, mapped
 * (aliquot_resource_map()), its contents undefined, shared with the device, so that nothing is
 * copied but by transfers. Does not wait for the device: see aliquot_resource_wait().
 *   -ENOMEM  shared memory is used up (after waiting for commands in flight to free some)
 *   -EINVAL  backing_bytes over the vGPU's memory or 4 GiB - 1
 *   -EOPNOTSUPP the vGPU has no 3D (create_3d)
 * create_2d is for devices without 3D: format is a VIRTIO_GPU_FORMAT, the backing is
 * width × height × 4 bytes.
 */
ALIQUOT_EXPORT int aliquot_resource_create_3d(struct aliquot_vgpu *vgpu,
                                              const struct aliquot_resource_args *args,
                                              struct aliquot_resource **ret);
ALIQUOT_EXPORT int aliquot_resource_create_2d(struct aliquot_vgpu *vgpu, uint32_t format,
                                              uint32_t width, uint32_t height,
                                              struct aliquot_resource **ret);

/*
 * Waits until the device has answered the creation: 0, or its error. For those who want to know
 * before they use the resource.
 */
ALIQUOT_EXPORT int aliquot_resource_wait(struct aliquot_resource *resource);

/* Gives the resource up. The backing's memory is used again when the device has let go of it;
 * do not touch it any more. Commands sent before still see the resource. NULL is fine. */
ALIQUOT_EXPORT void aliquot_resource_destroy(struct aliquot_resource *resource);

/* Where the memory of a blob is; virtio-gpu's numbers. */
enum aliquot_blob_mem {
    ALIQUOT_BLOB_GUEST = 1,        /* shared memory, as the backing of other resources */
    ALIQUOT_BLOB_HOST3D = 2,       /* the host's: what blob_id names in the context */
    ALIQUOT_BLOB_HOST3D_GUEST = 3, /* both */
};

#define ALIQUOT_BLOB_MAPPABLE 1u
#define ALIQUOT_BLOB_SHAREABLE 2u
#define ALIQUOT_BLOB_CROSS_DEVICE 4u

struct aliquot_blob_args {
    uint32_t mem;   /* enum aliquot_blob_mem */
    uint32_t flags; /* ALIQUOT_BLOB_…, as RESOURCE_CREATE_BLOB has them */
    uint64_t blob_id;
    uint64_t bytes;    /* whole pages of 4096 */
    uint64_t reserved; /* must be 0 */
};

/*
 * Makes a blob resource. context is the one in which blob_id has a meaning; for ALIQUOT_BLOB_GUEST
 * it may be NULL, and blob_id is 0. Does not wait for the device: see aliquot_resource_wait().
 *   -EOPNOTSUPP the vGPU has no blobs, or no 3D; on a render node also: it has no host-visible
 *               memory for a mappable blob of the host
 *   -EINVAL     unknown mem or flags, bytes 0 or no whole pages, no context
 *   -ENOMEM     shared memory is used up
 */
ALIQUOT_EXPORT int aliquot_resource_create_blob(struct aliquot_vgpu *vgpu,
                                                struct aliquot_context *context,
                                                const struct aliquot_blob_args *args,
                                                struct aliquot_resource **ret);

/*
 * The memory of a blob, all of it: the very pages that the host has. The first call for a blob of
 * the host is a round trip or two, during which the server maps it for us. The mapping is the
 * library's, valid until the resource is destroyed or the vGPU closed. Its contents may change at
 * any time; if the server takes the memory away, against the rules, accesses fault (SIGBUS).
 *   -EINVAL     no blob, or not ALIQUOT_BLOB_MAPPABLE; or the device won't map it
 *   -EOPNOTSUPP the vGPU has no host-visible memory
 *   -ENOMEM     the region, or what the device lets us have of it, is used up
 *   the error of the blob's creation, as the device tells it (-ENOENT: there is no such resource)
 */
ALIQUOT_EXPORT int aliquot_blob_map(struct aliquot_resource *resource, void **ret,
                                    size_t *ret_bytes);

/*
 * Maps a part of a blob of the host (ALIQUOT_BLOB_HOST3D) as mmap(2) does, for callers who want it
 * at an address of their own, or protected otherwise. *address is the wish on entry (NULL = none)
 * and the mapping on success; length, prot and flags are mmap's, offset counts from the start of
 * the blob. The mapping is the caller's to unmap and outlives the resource. Errors as
 * aliquot_blob_map(), and those of mmap(2).
 */
ALIQUOT_EXPORT int aliquot_blob_mmap(struct aliquot_resource *resource, size_t length, int prot,
                                     int flags, uint64_t offset, void **address);

/* The number that commands name it by. */
ALIQUOT_EXPORT uint32_t aliquot_resource_id(const struct aliquot_resource *resource);
/* The backing: valid until the resource is destroyed or the vGPU closed, whether or not the vGPU is
 * lost meanwhile. NULL if it has none (blobs of the host: aliquot_blob_map()). The device may
 * change it at any time. */
ALIQUOT_EXPORT void *aliquot_resource_map(struct aliquot_resource *resource, size_t *ret_bytes);

/* ---- transfers and submission --------------------------------------------------------------- */

struct aliquot_box {
    uint32_t x, y, z;
    uint32_t w, h, d; /* texels; for buffers x and w are bytes, the others 0 and 1 */
};

/* A part of a resource, and where it lies in the backing. */
struct aliquot_transfer {
    struct aliquot_box box;
    uint32_t level;
    uint32_t stride, layer_stride; /* bytes; 0 = those of the level, tight */
    uint64_t offset;               /* bytes into the backing */
};

/*
 * Copies between backing and resource. context may be NULL (for 2D resources it must be, and only
 * to_host is possible there, -EOPNOTSUPP otherwise). With ret_fence the transfer gets a fence,
 * which the caller owns; from_host is of use only with one. Does not wait for the copy.
 *   -EINVAL  offset outside of the backing, context and resource of different vGPUs, no backing
 *   the error of the resource's creation, if the device has refused it
 * On a render node also -EINVAL: the resource is not attached to the context. There the device is
 * told no strides of resources that are no blobs; a transfer with strides that are not those of a
 * tight level is sent a row at a time.
 */
ALIQUOT_EXPORT int aliquot_transfer_to_host(struct aliquot_context *context,
                                            struct aliquot_resource *resource,
                                            const struct aliquot_transfer *transfer,
                                            struct aliquot_fence **ret_fence);
ALIQUOT_EXPORT int aliquot_transfer_from_host(struct aliquot_context *context,
                                              struct aliquot_resource *resource,
                                              const struct aliquot_transfer *transfer,
                                              struct aliquot_fence **ret_fence);

#define ALIQUOT_RING_NONE (-1)

/*
 * Submits commands (virgl words, Venus commands). They are copied, so the caller has its buffer
 * back at once. With ret_fence: done when the GPU has finished with them. ring_idx is the timeline
 * of the context on which the fence lies, or ALIQUOT_RING_NONE for the vGPU's common one.
 * With bytes 0 it is the fence alone, on everything before it on that timeline.
 *   -EINVAL    bytes is 0 without ret_fence, or no multiple of 4, ring_idx over 63, or one given
 *              where CONTEXT_INIT was not negotiated
 *
 *   -EMSGSIZE  more than the shared memory could ever hold
 *
 *   -ENOMEM    no room now, and none came free
 */
ALIQUOT_EXPORT int aliquot_submit(struct aliquot_context *context, const void *commands,
                                  size_t bytes, int ring_idx, struct aliquot_fence **ret_fence);

/* ---- fences --------------------------------------------------------------------------------- */

/* Wait as long as the vGPU's time-out says. */
#define ALIQUOT_TIMEOUT_DEFAULT_NS (-1ll)

/*
 * Waits for at most timeout_ns (0 = only look). Returns 0 when the work is done, the device's error
 * if it refused the command, -ECONNRESET or -EPROTO if the vGPU was lost first, -ETIMEDOUT.
 */
ALIQUOT_EXPORT int aliquot_fence_wait(struct aliquot_fence *fence, int64_t timeout_ns);

/* Waits as long as the vGPU's time-out says, and unrefs the fence whatever the result. */
ALIQUOT_EXPORT int aliquot_fence_finish(struct aliquot_fence *fence);

/*
 * A descriptor that becomes readable (poll(2)), and stays so, when the fence is done or lost;
 * aliquot_fence_wait(fence, 0) then says which. The caller closes it; it outlives the fence. On a
 * render node it is a sync_file, and becomes readable when the work is done even if the vGPU has
 * been closed.
 * Returns it, or -EMFILE, -ENFILE, -ENOMEM, -EAGAIN (no thread to be had).
 */
ALIQUOT_EXPORT int aliquot_fence_fd(struct aliquot_fence *fence);

ALIQUOT_EXPORT struct aliquot_fence *aliquot_fence_ref(struct aliquot_fence *fence);
/* NULL is fine. A fence that nobody holds is not cancelled, just not heard of. */
ALIQUOT_EXPORT void aliquot_fence_unref(struct aliquot_fence *fence);

#ifdef __cplusplus
}
#endif

#endif
