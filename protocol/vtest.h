/* SPDX-License-Identifier: MIT */
/*
 * The vtest protocol, as Mesa's virpipe driver speaks it over a stream socket: command numbers,
 * wire structs, and a table that says for each command how long it may be and how its length is
 * counted. Used by the renderer (server). Versions 0 to 4; all integers are in host byte order.
 *
 * Every message, both ways, starts with struct vtest_header. The length is in units of 32 bits and
 * does not count the header; enum vtest_length has the exceptions. A descriptor travels with one
 * byte of its own, after the answer that it belongs to.
 */
#ifndef ALIQUOT_PROTOCOL_VTEST_H
#define ALIQUOT_PROTOCOL_VTEST_H

#include <stddef.h>
#include <stdint.h>

enum vtest_command {
    VTEST_GET_CAPS = 1,
    VTEST_RESOURCE_CREATE = 2,
    VTEST_RESOURCE_UNREF = 3,
    VTEST_TRANSFER_GET = 4,
    VTEST_TRANSFER_PUT = 5,
    VTEST_SUBMIT_CMD = 6,
    VTEST_RESOURCE_BUSY_WAIT = 7,
    VTEST_CREATE_RENDERER = 8, /* the first one, always */
    VTEST_GET_CAPS2 = 9,
    VTEST_PING_PROTOCOL_VERSION = 10,
    VTEST_PROTOCOL_VERSION = 11,
    /* since version 2: resources with shared memory */
    VTEST_RESOURCE_CREATE2 = 12,
    VTEST_TRANSFER_GET2 = 13,
    VTEST_TRANSFER_PUT2 = 14,
    /* since version 3: the server chooses resource ids */
    VTEST_GET_PARAM = 15,
    VTEST_GET_CAPSET = 16,
    VTEST_CONTEXT_INIT = 17,
    VTEST_RESOURCE_CREATE_BLOB = 18,
    VTEST_SYNC_CREATE = 19,
    VTEST_SYNC_UNREF = 20,
    VTEST_SYNC_READ = 21,
    VTEST_SYNC_WRITE = 22,
    VTEST_SYNC_WAIT = 23,
    VTEST_SUBMIT_CMD2 = 24,
    /* since version 4: DRM sync objects, for servers that have some (25 to 37) */
    VTEST_DRM_SYNC_CREATE = 25,
    VTEST_DRM_SYNC_TRANSFER = 37,
    VTEST_RESOURCE_EXPORT_FD = 38,
    VTEST_COMMANDS,
};

#define VTEST_VERSION_MAX 4u
/* Never shipped for long: who asks for it gets 0. */
#define VTEST_VERSION_WITHDRAWN 1u
/* From these versions on. */
#define VTEST_VERSION_SHM 2u
#define VTEST_VERSION_SERVER_IDS 3u

struct vtest_header {
    uint32_t length;
    uint32_t command;
};

struct vtest_resource_create {
    uint32_t handle; /* the client's choice; 0 where the server chooses */
    uint32_t target, format, bind;
    uint32_t width, height, depth, array_size;
    uint32_t last_level, nr_samples;
};

struct vtest_resource_create2 {
    struct vtest_resource_create args;
    uint32_t data_size; /* bytes of shared memory, 0 = none */
};

/* Of TRANSFER_GET and _PUT: the data is inline. */
struct vtest_transfer {
    uint32_t handle, level;
    uint32_t stride, layer_stride; /* bytes */
    uint32_t x, y, z, w, h, d;
    uint32_t data_size; /* bytes that follow this (PUT), or that are the answer, bare (GET) */
};

/* Of TRANSFER_GET2 and _PUT2: the data is in the resource's shared memory. */
struct vtest_transfer2 {
    uint32_t handle, level;
    uint32_t x, y, z, w, h, d;
    uint32_t data_size; /* a claim that nobody needs */
    uint32_t offset;    /* bytes */
};

#define VTEST_BUSY_WAIT_FLAG_WAIT 1u
struct vtest_busy_wait {
    uint32_t handle; /* 0 = none in particular */
    uint32_t flags;
};

struct vtest_get_capset {
    uint32_t id, version;
};

enum vtest_param {
    VTEST_PARAM_MAX_TIMELINE_COUNT = 1,
    VTEST_PARAM_HAS_TIMELINE_SYNCOBJ = 2,
};

/* The answer is the resource's id, and then a descriptor: its memory, from offset 0 on. mem and
 * flags are those of virtio-gpu's RESOURCE_CREATE_BLOB. */
struct vtest_create_blob {
    uint32_t mem, flags;
    uint32_t bytes_lo, bytes_hi;
    uint32_t blob_id_lo, blob_id_hi;
};

/* A synchronisation object has a value, which somebody may wait for. A point is a value of one;
 * so is what SYNC_WRITE sets. */
struct vtest_sync_value {
    uint32_t lo, hi;
};
struct vtest_sync_point {
    uint32_t id;
    struct vtest_sync_value value;
};

/* The answer is empty, and then a descriptor that becomes readable. Points follow. */
#define VTEST_SYNC_WAIT_ANY 1u
#define VTEST_SYNC_WAIT_FOREVER_MS 0x80000000u /* and above */
struct vtest_sync_wait {
    uint32_t flags;
    uint32_t timeout_ms; /* after it nobody looks at the descriptor any more */
};

/* SUBMIT_CMD2 is a count and as many batches; offsets and sizes are in words, offsets from the
 * count on. When its commands are done on their timeline, a batch's points are reached. */
#define VTEST_BATCH_RING_IDX 1u /* ring_idx counts; otherwise the points are reached at once */
struct vtest_batch {
    uint32_t flags;
    uint32_t commands_offset, commands_size;
    uint32_t points_offset, points_count;
    uint32_t ring_idx;
    /* since version 4: DRM sync objects, for servers that have some */
    uint32_t in_syncobjs, out_syncobjs;
};
#define VTEST_BATCH_BYTES_V3 offsetof(struct vtest_batch, in_syncobjs)
#define VTEST_VERSION_SYNCOBJS 4u

_Static_assert(sizeof(struct vtest_create_blob) == 6 * 4, "wire size");
_Static_assert(sizeof(struct vtest_sync_point) == 3 * 4, "wire size");
_Static_assert(sizeof(struct vtest_batch) == 8 * 4, "wire size");
_Static_assert(sizeof(struct vtest_header) == 8, "wire size");
_Static_assert(sizeof(struct vtest_resource_create) == 10 * 4, "wire size");
_Static_assert(sizeof(struct vtest_resource_create2) == 11 * 4, "wire size");
_Static_assert(sizeof(struct vtest_transfer) == 11 * 4, "wire size");
_Static_assert(sizeof(struct vtest_transfer2) == 10 * 4, "wire size");

/* How many bytes follow the header. */
enum vtest_length {
    VTEST_LENGTH_WORDS,  /* 4 × length */
    VTEST_LENGTH_BYTES,  /* length */
    VTEST_LENGTH_FIXED,  /* 4 × min_length; clients say more and don't send it */
    VTEST_LENGTH_INLINE, /* a struct vtest_transfer and the bytes that its data_size says */
};

/* What a client may send. */
struct vtest_command_info {
    const char *name;
    uint32_t min_length, max_length; /* of the header's length, both inclusive */
    enum vtest_length counted;
};

/* The row of a command, or NULL if the protocol has none of this number. */
const struct vtest_command_info *vtest_command_info(uint32_t command);

#endif
