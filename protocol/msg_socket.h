/* SPDX-License-Identifier: MIT */
/*
 * Messages with descriptors over AF_UNIX sockets, with all-or-nothing ownership: a call that fails
 * leaves the caller's descriptors with the caller and hands it none.
 *
 * Two kinds of socket: SOCK_SEQPACKET (one message is one packet: broker to renderer, render
 * server) and SOCK_STREAM (vhost-user: a fixed header says how much follows, descriptors come with
 * its first byte). Received descriptors are CLOEXEC. No call raises SIGPIPE; all retry on EINTR.
 */
#ifndef ALIQUOT_PROTOCOL_MSG_SOCKET_H
#define ALIQUOT_PROTOCOL_MSG_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The most descriptors one message can carry here (the kernel's own limit is 253). */
#define MSG_FDS_MAX 64

/*
 * Sends one packet with n_fds descriptors, which stay the caller's. Returns 0, or
 *   -EAGAIN   a non-blocking socket is full
 *   -EPIPE    the peer is gone (so is -ECONNRESET)
 *   -EMSGSIZE larger than the socket takes
 *   other negative errno of sendmsg(2).
 * A SOCK_STREAM socket may take a part; then msg_send goes on (poll(2) on a non-blocking one)
 * until all is sent, for no longer than timeout_ms (-1 = for ever): -ETIMEDOUT leaves the stream
 * unusable.
 */
int msg_send(int sock, const struct iovec *iov, size_t iov_count, const int *fds, size_t n_fds,
             int timeout_ms);

/*
 * Receives one packet of at most size bytes and at most max_fds descriptors. Returns its length
 * (0 = the peer has closed), or
 *   -EAGAIN   nothing there (non-blocking)
 *   -EMSGSIZE the packet was longer than size, or carried more than max_fds descriptors, or the
 *             kernel could not install them all: the packet is gone, its descriptors are closed
 *   other negative errno of recvmsg(2).
 * On success the descriptors are the caller's, in fds[0 … *ret_n_fds).
 */
ssize_t msg_recv(int sock, void *buf, size_t size, int *fds, size_t max_fds, size_t *ret_n_fds);

/*
 * Reads exactly size bytes from a stream. Descriptors that come along are appended to
 * fds[*n_fds … max_fds); one too many is an error. Waits for no longer than timeout_ms for the
 * whole
 * (-1 = for ever), whether or not the socket blocks. Returns 0, or
 *   -ENODATA   the peer closed before the first byte
 *   -ECONNRESET the peer closed in the middle
 *   -ETIMEDOUT
 *   -EMSGSIZE  too many descriptors
 *   other negative errno.
 * On error all descriptors in fds[0 … *n_fds) are closed and *n_fds is 0.
 */
int stream_read(int sock, void *buf, size_t size, int *fds, size_t max_fds, size_t *n_fds,
                int timeout_ms);

/* Closes fds[0 … n) and sets them to -1. */
void close_fds(int *fds, size_t n);

#endif
