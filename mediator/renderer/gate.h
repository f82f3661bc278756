/* SPDX-License-Identifier: MIT */
/*
 * The renderer's part in the lease (protocol/lease.h): whether this vGPU may put work on the GPU
 * now. The event loop never blocks here: who may not, is told when he may. Used by the device model
 * (gpu_gate.c).
 *
 * One burst at a time is in flight: from the first work after the GPU was idle, or its slice began,
 * until all is complete. opened() comes from the event loop or gate_dispatch(), never from another
 * function here.
 */
#ifndef ALIQUOT_RENDERER_GATE_H
#define ALIQUOT_RENDERER_GATE_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct gate;

/* As aliquotd gives them; borrowed during the call, but for doorbell and wake, which are borrowed
 * for the gate's life. */
struct gate_fds {
    int grant, ack, doorbell, wake;
};

/* -EPROTO: pages of another version. */
int gate_create(sd_event *event, const struct gate_fds *fds, struct gate **ret);
/* NULL is fine. */
void gate_destroy(struct gate *g);

/* Who is told: opened() comes once, from the event loop, after gate_enter() was false. NULL =
 * nobody listens any more. */
void gate_set_client(struct gate *g, void (*opened)(void *opaque), void *opaque);

/* More work may be submitted now. False: not before opened(), and if a burst is in flight, it has
 * to end first. */
bool gate_enter(struct gate *g);
/* A burst is in flight: gate_end() is due when its work is complete. */
bool gate_is_inside(const struct gate *g);
/* opened() shall come after the next gate_end(). */
void gate_want(struct gate *g);
/* All work is complete, since just now. more: there is more to submit at once. */
void gate_end(struct gate *g, bool more);
/* Some of it is: brings what is accounted up to date. Cheap; seldom does anything. */
void gate_progress(struct gate *g);

/* Others wait for the GPU. */
bool gate_is_contended(const struct gate *g);
/* How long a piece of a long stream may take on the GPU before it is looked at again whether others
 * want it: less while they do. 0: streams need not be cut. gate_count_cut(): one was. */
uint64_t gate_piece_ns(const struct gate *g);
void gate_count_cut(struct gate *g);

/* For who waits without the event loop: gate_dispatch() before each look at the descriptor, which
 * becomes readable. */
int gate_event_fd(const struct gate *g);
void gate_dispatch(struct gate *g);

#endif
