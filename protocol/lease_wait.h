/* SPDX-License-Identifier: MIT */
/*
 * The system calls of the lease: threads that block until they may submit, wake-ups, doorbells and
 * the two pages themselves. What is decided is decided in lease.h; an event loop uses that directly
 * and only lease_do() from here.
 */
#ifndef ALIQUOT_PROTOCOL_LEASE_WAIT_H
#define ALIQUOT_PROTOCOL_LEASE_WAIT_H

#include "protocol/lease.h"

/* ---- participants --------------------------------------------------------------------------- */

/* Does what a call of lease.h left to do. doorbell_fd: the vGPU's eventfd, non-blocking. */
void lease_do(const struct lease_participant *p, int doorbell_fd, uint32_t duties);

/*
 * lease_enter() for a thread that may block: waits for a grant, and for room, which somebody else
 * (a thread that waits for fences) must be making. deadline_ns: CLOCK_MONOTONIC, 0 = none. Returns
 * 0 (start the work; lease_release() when it is done), or -ECANCELED the lease is revoked
 * -ETIMEDOUT
 */
int lease_acquire(const struct lease_participant *p, int doorbell_fd, uint32_t predicted_us,
                  uint64_t deadline_ns);

/* lease_exit() and its duties. */
void lease_release(const struct lease_participant *p, int doorbell_fd, uint32_t predicted_us,
                   uint64_t submitted_ns, uint64_t completed_ns, bool idle);

/* ---- the broker ----------------------------------------------------------------------------- */

/* Wakes whom lease_grant() or lease_revoke() named. slot_fds: an eventfd, or -1, for each slot of
 * b, non-blocking. */
void lease_wake(const struct lease_broker *b, const int *slot_fds, uint32_t wakes);

/*
 * Makes a page, all zeroes, and maps it. The grant page can be mapped for writing by nobody else,
 * ever; the ack page is mapped for reading here. Neither can be resized. Both descriptors may be
 * given to participants. Returns 0 or a negative errno; the caller owns *ret_fd and unmaps
 * *ret_page.
 */
int lease_grant_page_create(int *ret_fd, struct lease_grant_page **ret_page);
int lease_ack_page_create(int *ret_fd, const struct lease_ack_page **ret_page);

/* Maps a page that the broker made. -EINVAL: too small. The descriptor stays the caller's. */
int lease_grant_page_map(int fd, const struct lease_grant_page **ret_page);
int lease_ack_page_map(int fd, struct lease_ack_page **ret_page);

void lease_page_unmap(const void *page); /* any of the four; NULL is fine */

#endif
