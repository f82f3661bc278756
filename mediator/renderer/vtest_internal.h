/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the vtest server share; see vtest_session.h. Nobody else includes this.
 *
 * Commands are carried out by the device model (gpu_internal.h): its checks, limits and counters
 * are those of a guest's commands. Here is only what vtest has besides: ids that the server
 * chooses, shared memory that it makes, and one question about all fences.
 */
#ifndef ALIQUOT_RENDERER_VTEST_INTERNAL_H
#define ALIQUOT_RENDERER_VTEST_INTERNAL_H

#include "mediator/renderer/gpu_internal.h"
#include "mediator/renderer/request_watch.h"
#include "mediator/renderer/vtest_session.h"
#include "mediator/renderer/vtest_stream.h"
#include "protocol/vtest.h"

/* A connection has one context, and this is its id. */
#define VTEST_CTX_ID 1u

/* What a context's name is cut at. */
#define VTEST_NAME_MAX sizeof((struct virtio_gpu_ctx_create){0}.debug_name)

/* Memory that a resource can have as its backing. */
struct vtest_memory {
    void *base;
    size_t bytes;
    bool shared; /* with the client: ends with the backing */
};

struct vtest_session {
    struct connection_config config;
    int fd; /* owned: the connection */
    sd_event_source *io_source, *fence_source;
    sd_event_source *again_source; /* oneshot: more messages are there than one turn handles */
    sd_event_source *end_source;   /* oneshot once the connection is over */
    struct gpu_device *device;     /* owned */
    struct vtest_input input;
    uint64_t input_charge; /* bytes that the device was charged for a message */
    struct vtest_output output;
    uint64_t output_charge; /* the same for an answer */
    uint32_t events;        /* that io_source waits for */

    uint32_t version; /* of the protocol */
    bool greeted;     /* CREATE_RENDERER came */
    bool has_context;
    uint32_t capset_id;        /* of the context */
    char name[VTEST_NAME_MAX]; /* of the context: the client's program */
    uint32_t name_len;
    uint32_t last_id;          /* the last resource id that we chose */
    struct id_table hollow;    /* ids of blobs that could not be made, by themselves */
    struct vtest_memory *lent; /* borrowed; on its way to become a backing */

    bool dirty;         /* work was submitted that no fence covers yet */
    bool started;       /* that work is on its way to the GPU */
    bool fence_pending; /* fence is with the device */
    bool waiting;       /* a BUSY_WAIT waits for the fence; nothing else is handled */
    bool gated;         /* the first message of input waits for the lease; likewise */
    struct request_watch watch;
    size_t submitted;     /* bytes of that message's stream that are submitted */
    uint32_t batch;       /* the one of that message that is next */
    struct gpu_cmd fence; /* a fence without a command: the device answers it when it is done */
    uint64_t taken_ns;    /* when the stream that is the next message was taken up; 0 = not yet */
    struct latency_queue streams; /* that are under way */
    size_t fenced_streams;        /* the first of them, that fence is for */

    struct id_table syncs;             /* of struct vtest_sync, a reference each */
    uint32_t last_sync_id;             /* the last that we chose */
    struct vtest_sync_waiter *waiters; /* owned list */
    uint32_t n_waiters;
    uint32_t n_batches; /* that wait for their fence; each owned by the device until then */

    bool ended;
    bool closed; /* by the client, which is no fault */
    char end_reason[BROKER_TEXT_MAX];
};

/* A message on its way to its handler. */
struct vtest_message {
    uint32_t command;
    const struct vtest_command_info *info;
    void *body; /* 8-byte aligned; a copy that is ours to change */
    size_t body_bytes;
    char reason[128]; /* set by a handler that fails */
};

/* Does what the message says: 0, or a negative errno with msg->reason, which ends the connection.
 * The message has passed vtest_command_info()'s table. */
typedef int vtest_handler(struct vtest_session *s, struct vtest_message *msg);
/* A handler and what has to be there before it runs. */
struct vtest_handler_row {
    vtest_handler *run; /* NULL: not offered */
    bool needs_context; /* is made if it is not there */
    bool uses_gpu;      /* runs under the lease; may return -EAGAIN, to be called again */
};
const struct vtest_handler_row *vtest_handler_of(uint32_t command);

/* Ends the connection from the event loop; nothing is handled any more. The first reason counts. */
void vtest_end(struct vtest_session *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same because the client has. */
void vtest_closed(struct vtest_session *s);
/* The same for a peer that broke the rules: counted. */
void vtest_reject(struct vtest_session *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes msg->reason; returns -EPROTO. */
int vtest_refuse(struct vtest_message *msg, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same if response, of a command of the device model, is an error; else 0. */
int vtest_check(struct vtest_message *msg, uint32_t response);

/* Queues an answer: a header with this length and command, and bytes after it, zeroed, in *ret_body
 * for the caller to fill in. length counts as the command wants it. 0 or -ENOMEM. */
int vtest_answer(struct vtest_session *s, uint32_t length, uint32_t command, size_t bytes,
                 void *ret_body);

/* ---- vtest_wait.c ---------------------------------------------------------------------------- */

vtest_handler vtest_resource_busy_wait;

/* Nothing is to be handled just now: has the GPU begin with what was submitted. When somebody asks
 * for it, it may be done. */
void vtest_start_work(struct vtest_session *s);
/* ops->complete of the device: a fence, now or later, or because all is given up. */
void vtest_fence_done(void *s, struct gpu_cmd *cmd);
/* Counts the streams that are complete, if all work is. */
void vtest_count_streams(struct vtest_session *s);
/* A client that waits has been answered: messages can be handled again. */
bool vtest_wait_is_over(struct vtest_session *s);

/* ---- vtest_commands.c ------------------------------------------------------------------------ */

int vtest_context_create(struct vtest_session *s, struct vtest_message *msg);
/* Submits to the context: 0, -EAGAIN (has to wait; to be called again with the same), or refused.
 */
int vtest_submit(struct vtest_session *s, struct vtest_message *msg, void *commands, size_t bytes);

/* ---- vtest_resource.c ------------------------------------------------------------------------ */

vtest_handler vtest_resource_create, vtest_resource_create2, vtest_resource_unref,
    vtest_transfer_get, vtest_transfer_put, vtest_transfer_get2, vtest_transfer_put2;

/* An id that no resource has. */
uint32_t vtest_choose_id(struct vtest_session *s);

/* Memory for the client to map, *ret_fd, which is the caller's to close; or -ENOMEM. */
int vtest_memory_create(struct vtest_session *s, size_t bytes, struct vtest_memory **ret,
                        int *ret_fd);
void vtest_memory_destroy(struct vtest_session *s, struct vtest_memory *m);

/* guest_ref and guest_unref of the device's operations: a "guest address" is one of ours, in the
 * memory that is lent. */
void *vtest_memory_ref(void *s, uint64_t address, uint64_t *len, void **ret_ref);
void vtest_memory_unref(void *s, void *ref);

/* ---- vtest_blob.c ---------------------------------------------------------------------------- */

vtest_handler vtest_resource_create_blob;

/* ---- vtest_sync.c ---------------------------------------------------------------------------- */

vtest_handler vtest_sync_create, vtest_sync_unref, vtest_sync_read, vtest_sync_write,
    vtest_sync_wait, vtest_submit_cmd2;

/* The fence of a batch is done. */
void vtest_batch_done(struct vtest_session *s, struct gpu_cmd *cmd);
/* When the device is gone. */
void vtest_sync_finish(struct vtest_session *s);

#endif
