/* SPDX-License-Identifier: MIT */
/*
 * An eventcount in a page that the processes of one vGPU share: the Vulkan layer counts what ends
 * on the GPU, and who waits for one of these ends in the guest's own process sleeps until there is
 * news, in place of looking for it now and then.
 *
 * Of what will never end, because the process that does it is gone, it says so once.
 *
 * It is a hint and nothing else: news may be of somebody else's work, and who waits does so for a
 * limited time and then looks himself. Every process of the vGPU can write to it, and so can make
 * the others look for nothing, or give a wait up that would not end soon: what is worse is in the
 * hands of those that work for the vGPU anyhow. One that ends while it waits leaves nothing behind
 * but `wanted`, which the next signal takes back.
 */
#ifndef ALIQUOT_PROTOCOL_EVENTCOUNT_H
#define ALIQUOT_PROTOCOL_EVENTCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the file, and what is mapped. */
#define EVENTCOUNT_BYTES 4096

struct eventcount {
    _Alignas(64) uint32_t count;  /* grows with each signal, and wraps; futex */
    _Alignas(64) uint32_t wanted; /* somebody waits since the last signal; futex */
    _Alignas(64) uint32_t lost;   /* contexts whose work will never end; grows */
};

_Static_assert(offsetof(struct eventcount, wanted) == 64 &&
                   offsetof(struct eventcount, lost) == 128 &&
                   sizeof(struct eventcount) <= EVENTCOUNT_BYTES,
               "in memory of processes of other builds, too");

/* A page of zeroes that can't be resized, mapped. Returns 0 or a negative errno; the caller owns
 * *ret_fd and unmaps *ret. */
int eventcount_create(int *ret_fd, struct eventcount **ret);
/* Maps one that somebody else has made; -EINVAL: it is too short. The descriptor stays the
 * caller's. */
int eventcount_map(int fd, struct eventcount **ret);
void eventcount_unmap(struct eventcount *e); /* NULL is fine */

/* Something has ended: wakes all who wait. Without anybody who does, no system call. */
void eventcount_signal(struct eventcount *e);
/* A context will never end anything any more: signals that, too. */
void eventcount_lose(struct eventcount *e);
/* Somebody waits for a signal, or did until his time was over. */
bool eventcount_is_wanted(const struct eventcount *e);
/* For who will signal: sleeps so long, or until somebody starts to wait. Not at all if somebody
 * does. */
void eventcount_rest(const struct eventcount *e, unsigned us);

/* What to compare with: to be read before one looks whether there is still something to wait for.
 */
uint32_t eventcount_read(const struct eventcount *e);
/* How many contexts have been lost. */
uint32_t eventcount_lost(const struct eventcount *e);
/* Sleeps until there was a signal since `seen` was read, at most for timeout_ns; it may also wake
 * up for no reason. */
void eventcount_wait(struct eventcount *e, uint32_t seen, int64_t timeout_ns);

#endif
