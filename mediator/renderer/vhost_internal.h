/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the vhost-user back-end share; see vhost_backend.h. Nobody else includes this.
 */
#ifndef ALIQUOT_RENDERER_VHOST_INTERNAL_H
#define ALIQUOT_RENDERER_VHOST_INTERNAL_H

#include "mediator/base/log.h"
#include "mediator/renderer/guest_mem.h"
#include "mediator/renderer/request_watch.h"
#include "mediator/renderer/vhost_backend.h"
#include "protocol/vhost_user.h"

/* Requests that are kept for reuse. A desktop guest has a handful on their way. */
#define VHOST_SPARE_REQUESTS 32

/* Of the front-end to a request of ours: a header and a u64. */
#define VHOST_SHMEM_ANSWER_BYTES (sizeof(struct vhost_user_header) + sizeof(uint64_t))

/* A request on its way through the device. */
struct vhost_request {
    struct gpu_cmd cmd; /* first: the device knows this part */
    struct vhost_request *next_spare;
};

enum vhost_ring_part { RING_DESC, RING_AVAIL, RING_USED, RING_PARTS };

/* Where a ring is, and references that keep it there. */
struct vhost_ring_memory {
    void *part[RING_PARTS];
    struct guest_map *map[RING_PARTS]; /* owned */
};

/*
 * A ring is *started* from the kick descriptor's arrival to GET_VRING_BASE; only then are its
 * pointers valid, and used elements go back. Requests are popped while it is also enabled, mapped
 * and not blocked.
 */
struct vhost_queue {
    struct vhost_backend *be; /* the owner */
    enum virtio_gpu_queue index;
    struct vring_dev ring;           /* points into memory */
    struct vhost_ring_memory memory; /* pinned while started */
    struct vhost_user_vring_addr addr;
    uint16_t base; /* where to start next */
    bool has_addr; /* addr was told */
    bool started, enabled;
    bool mapped;      /* the memory table still has it: false between a REM and an ADD */
    bool blocked;     /* a request waits for the display */
    bool notify;      /* something was pushed, and the driver not told yet */
    bool call_missed; /* the driver wanted to know while there was no call_fd */
    uint32_t in_flight;
    uint32_t generation;          /* grows when requests in flight are given up */
    int kick_fd, call_fd, err_fd; /* owned, eventfds; -1 = none */
    sd_event_source *kick_source;
    sd_event_source *again_source; /* off, or oneshot: run the queue from the event loop */
};

/*
 * The host-visible region, as the front-end shows it, and the socket on which it is asked to.
 *
 * A map lives from SHMEM_MAP to the answer to its SHMEM_UNMAP, or to its refusal. Requests are
 * answered in their order, and sent one by one; see vhost_shmem.c.
 */
struct vhost_shmem {
    int fd; /* owned: requests of ours to the front-end; -1 = none */
    sd_event_source *fd_source;
    sd_event_source *check_source;        /* enabled while anything is waited for */
    struct vhost_shmem_map *maps;         /* owned list */
    struct vhost_shmem_request *requests; /* owned list: waits for its answer, oldest first */
    struct vhost_shmem_request **tail;    /* the link at its end */
    uint64_t progress_us; /* when the last answer came, or requests could be sent again */
    uint8_t in[VHOST_SHMEM_ANSWER_BYTES]; /* of an answer */
    size_t in_bytes;                      /* of it, that are there */
    struct vhost_user_region *regions;    /* owned; maps in the front-end's memory table */
    size_t n_regions;                     /* room is for GUEST_MEM_REGIONS_MAX */
    bool lists_maps, never_lists;         /* it is known to put them there, or not to */
};

struct vhost_backend {
    struct connection_config config;
    int fd; /* owned: the connection */
    struct vhost_shmem shmem;
    sd_event_source *fd_source, *fence_source;
    sd_event_source *end_source; /* oneshot once the connection is over */
    struct gpu_device *device;   /* owned */
    struct gpu_display *display; /* owned; NULL = none */
    struct guest_mem memory;
    struct guest_pins pins; /* removed memory that requests in the device point into */
    unsigned in_device;     /* requests that the device has, of both queues */
    struct vhost_queue queues[VIRTIO_GPU_QUEUES];
    struct vhost_request *spare; /* owned list */
    unsigned n_spare;
    unsigned batch;    /* depth of vhost_batch_begin: > 0 = notifications wait for the end */
    uint64_t features; /* negotiated */
    uint64_t protocol_features;
    struct request_watch watch;
    bool device_used; /* has seen a request since its last reset */
    bool ended;
    bool closed; /* ended, and by the front-end's will */
    char end_reason[BROKER_TEXT_MAX];
    struct log_limit refused_limit;
};

/* Ends the connection from the event loop; nothing is served any more. The first reason counts. */
void vhost_end(struct vhost_backend *be, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same where the front-end wanted it. */
void vhost_closed(struct vhost_backend *be);
/* The same for a peer that broke the rules: counted. */
#define vhost_reject(be, ...)                                                                      \
    do {                                                                                           \
        vhost_count_rejected(be);                                                                  \
        vhost_end(be, __VA_ARGS__);                                                                \
    } while (0)
void vhost_count_rejected(struct vhost_backend *be);

/* ---- vhost_messages.c ----------------------------------------------------------------------- */

struct vhost_message {
    struct vhost_user_header hdr;
    union vhost_user_payload payload; /* of the request; handlers put their answer here */
    uint32_t answer_bytes;            /* set by handlers of requests that have an answer */
    int fds[VHOST_USER_FDS_MAX];      /* owned; handlers take what they keep */
    size_t n_fds;
    const char *reason; /* static; set by a handler that fails */
};

/* sd_event_io_handler_t of the connection: takes one message and handles it. */
int vhost_on_message(sd_event_source *source, int fd, uint32_t revents, void *be);

/* ---- vhost_handlers.c ----------------------------------------------------------------------- */

/* Does what the message says: 0, or a negative errno with msg->reason. The message has passed
 * vhost_user_msg_info()'s table. */
typedef int (*vhost_handler_fn)(struct vhost_backend *be, struct vhost_message *msg);
/* NULL: a request that this back-end does not know. */
vhost_handler_fn vhost_handler(uint32_t request);
/* From now on the device has no display. */
void vhost_drop_display(struct vhost_backend *be);

/* ---- vhost_shmem.c -------------------------------------------------------------------------- */

int vhost_shmem_init(struct vhost_backend *be);
void vhost_shmem_finish(struct vhost_backend *be);
/* Takes the socket for requests of ours; consumed on success. An earlier one is given up. */
int vhost_shmem_set_fd(struct vhost_backend *be, int fd);
/* True if the front-end shows blobs to the guest, by what it has negotiated. */
bool vhost_shmem_offered(const struct vhost_backend *be);
/* The regions that this front-end may know of. */
void vhost_shmem_describe(const struct vhost_backend *be, struct vhost_user_shmem_config *ret);
/* A region of the front-end's memory table that is a blob of ours is none of the guest's RAM: true,
 * and it is remembered. */
bool vhost_shmem_region_added(struct vhost_backend *be, const struct vhost_user_region *region,
                              int fd);
/* True if such a region was forgotten. */
bool vhost_shmem_region_removed(struct vhost_backend *be, const struct vhost_user_region *region);
/* The whole table comes anew. */
void vhost_shmem_regions_cleared(struct vhost_backend *be);
/* The rings are to stop. The front-end waits for that, and so does nothing for us: what is asked of
 * it fails. */
void vhost_shmem_cancel(struct vhost_backend *be);
/* The rings have started. */
void vhost_shmem_resume(struct vhost_backend *be);
/* Configuration space has changed. */
void vhost_shmem_tell_config(struct vhost_backend *be);

/* Of struct gpu_device_ops. */
int vhost_shmem_map(void *be, const struct gpu_shmem_map *map, struct gpu_cmd *cmd);
int vhost_shmem_unmap(void *be, uint64_t offset, uint64_t bytes, struct gpu_cmd *cmd);
void vhost_shmem_clear(void *be);

/* ---- vhost_queue.c -------------------------------------------------------------------------- */

int vhost_queue_init(struct vhost_queue *vq, struct vhost_backend *be, enum virtio_gpu_queue index);
/* For the end of the connection: what is in flight is answered to nobody. */
void vhost_queue_finish(struct vhost_queue *vq);

/* Checks that the ring at addr with num entries is mapped, whole and aligned. On success *ret has
 * references, for vhost_ring_unpin. */
int vhost_ring_pin(struct vhost_backend *be, const struct vhost_user_vring_addr *addr, uint32_t num,
                   struct vhost_ring_memory *ret, const char **ret_reason);
void vhost_ring_unpin(struct vhost_ring_memory *memory);

/* Starts the ring, or gives a started one another kick descriptor. fd is consumed on success. */
int vhost_queue_start(struct vhost_queue *vq, int kick_fd, const char **ret_reason);
/* Waits for what is in flight (bounded), takes back what waits for the display, and leaves the
 * index for the next start in vq->base. */
void vhost_queue_stop(struct vhost_queue *vq);
/* Takes and handles what the driver made available, up to a bound; the rest comes later. */
void vhost_queue_run(struct vhost_queue *vq);
/* The same from the event loop, soon. */
void vhost_queue_run_later(struct vhost_queue *vq);
void vhost_queue_set_call(struct vhost_queue *vq, int fd); /* consumes fd; -1 = none */
/* The memory table has changed. */
void vhost_queue_remap(struct vhost_queue *vq);
/* Drops all guest state. What is in flight is answered; what waits for the display goes back into
 * its ring, to be popped again. */
void vhost_reset_device(struct vhost_backend *be);

/* Answers that come between these make one notification, at most, for each ring. They nest. */
void vhost_batch_begin(struct vhost_backend *be);
void vhost_batch_end(struct vhost_backend *be);

/* ops->complete of the device. */
void vhost_complete(void *be, struct gpu_cmd *cmd);
void vhost_flush(void *be);

#endif
