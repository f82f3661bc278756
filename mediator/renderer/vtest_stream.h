/* SPDX-License-Identifier: MIT */
/*
 * The two directions of a vtest connection: bytes that came and were not looked at yet, and answers
 * that the socket has not taken yet. Used by vtest_session.c and the handlers. Nothing here waits,
 * raises SIGPIPE, or looks at what the bytes mean.
 */
#ifndef ALIQUOT_RENDERER_VTEST_STREAM_H
#define ALIQUOT_RENDERER_VTEST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a buffer keeps once it has grown for a large message. Mesa's streams stay below it. */
#define VTEST_BUFFER_KEEP (512u << 10)

struct vtest_input {
    uint8_t *data; /* owned */
    size_t start, end, capacity;
};

void vtest_input_finish(struct vtest_input *in);

static inline size_t vtest_input_bytes(const struct vtest_input *in)
{
    return in->end - in->start;
}

/* Makes room for a message of size bytes that begins at the first byte not consumed, and puts that
 * byte where the message's body (after a header of 8 bytes) is aligned to 8. 0 or -ENOMEM. */
int vtest_input_reserve(struct vtest_input *in, size_t size);

/* Reads what the socket has and the room takes. Returns the bytes read, 0 at the end of the stream,
 * -EAGAIN or another negative errno. There must be room. Descriptors that come along are closed by
 * the kernel. */
ssize_t vtest_input_fill(struct vtest_input *in, int sock);

/* The first bytes are done with. */
void vtest_input_consume(struct vtest_input *in, size_t bytes);

struct vtest_output {
    uint8_t *data; /* owned */
    size_t start, end, capacity;
    int fd; /* owned; sent with one more byte, after all that is in data; -1 = none */
};

void vtest_output_init(struct vtest_output *out);
void vtest_output_finish(struct vtest_output *out);

static inline bool vtest_output_empty(const struct vtest_output *out)
{
    return out->start == out->end && out->fd < 0;
}

/* Adds size zeroed bytes and returns them, for the caller to fill in before anything else is done
 * with out; NULL: no memory. Not after vtest_output_fd(). */
void *vtest_output_add(struct vtest_output *out, size_t size);

/* Adds a byte with a descriptor, which is always consumed. Only one at a time. */
void vtest_output_fd(struct vtest_output *out, int fd);

/* Sends what the socket takes. Returns 0 when all is sent, -EAGAIN if something is left, -EPIPE if
 * the peer is gone, or another negative errno. */
int vtest_output_send(struct vtest_output *out, int sock);

#endif
