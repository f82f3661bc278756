/* SPDX-License-Identifier: MIT */
/*
 * The ends of a queue's pieces: who sees them, and takes them out of the lease.
 *
 * That is the watcher, a thread of each queue. It waits in the driver for a piece that takes long,
 * for the only one in flight while somebody in the guest sleeps until it ends, and for every piece
 * while other vGPUs wait. A short one it leaves alone for a moment, since to
 * wake a thread costs more than such a piece: mostly whoever waits for the piece in the
 * application, or submits the next one, finds its end before the watcher looks.
 */
#ifndef ALIQUOT_LAYER_COMPLETION_H
#define ALIQUOT_LAYER_COMPLETION_H

#include "mediator/layer/gate.h"

/* The watcher's thread. */
void *completion_watch(void *queue);

/* A piece has been queued, or the queue closes. */
void completion_wake(struct gate_queue *q);

/* For who has reason to believe that something is complete, unless the watcher waits for it: looks,
 * and accounts for it. Never blocks. */
void completion_harvest(struct gate_queue *q);
void completion_harvest_all(struct layer_device *d);

#endif
