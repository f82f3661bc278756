/* SPDX-License-Identifier: MIT */
/*
 * Copying cursors over scattered memory.
 *
 * Everything that another process can change while we look at it (guest memory, a message) is
 * read through one of these: iov_take() copies a value out once, and the copy is what is checked
 * and used. A cursor never reads or writes past its iovecs, and a take that does not fit moves
 * nothing. Used by the renderer for requests and responses in guest memory, and by everyone who
 * parses a flat message (one iovec).
 */
#ifndef ALIQUOT_PROTOCOL_IOV_H
#define ALIQUOT_PROTOCOL_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct iov_cursor {
    const struct iovec *iov; /* borrowed */
    size_t count;            /* iovecs in iov */
    size_t index;            /* iovec the cursor stands in */
    size_t offset;           /* bytes into iov[index] */
};

/* Starts at the first byte of iov[0 … count). The array is borrowed, not copied. */
void iov_cursor_init(struct iov_cursor *cur, const struct iovec *iov, size_t count);

/* Bytes from the cursor to the end. */
size_t iov_remaining(const struct iov_cursor *cur);

/* Copies the next len bytes to dst and moves on; false, with nothing copied, if fewer are left. */
bool iov_take(struct iov_cursor *cur, void *dst, size_t len);
#define IOV_TAKE(cur, ptr) iov_take((cur), (ptr), sizeof(*(ptr)))

/* Copies len bytes from src to the cursor and moves on; false, with nothing written, if the space
 * left is smaller. */
bool iov_put(struct iov_cursor *cur, const void *src, size_t len);

/* Moves on by len bytes; false, without moving, if fewer are left. */
bool iov_skip(struct iov_cursor *cur, size_t len);

/* Sum of the lengths of count iovecs; saturates at SIZE_MAX. */
size_t iov_total(const struct iovec *iov, size_t count);

/* Copies up to len bytes out of (into) an iovec array from byte offset on; returns the bytes
 * copied, less than len only where the array ends. */
size_t iov_read_at(const struct iovec *iov, size_t count, size_t offset, void *dst, size_t len);
size_t iov_write_at(const struct iovec *iov, size_t count, size_t offset, const void *src,
                    size_t len);

#endif
