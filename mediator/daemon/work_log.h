/* SPDX-License-Identifier: MIT */
/*
 * What the vGPUs of one GPU had it do, for the trace: the last intervals from submission to
 * completion, taken out of the rings that renderers and their Vulkan layers fill
 * (protocol/work_ring.h). Nothing is taken unless somebody records, or a renderer has ended, so
 * that it costs nobody anything otherwise. What can't be true is left out and counted as lost. For
 * the daemon's main thread.
 */
#ifndef ALIQUOT_DAEMON_WORK_LOG_H
#define ALIQUOT_DAEMON_WORK_LOG_H

#include "mediator/daemon/arbiter.h"
#include "protocol/work_ring.h"

#include <stddef.h>
#include <stdint.h>

/* As many as the arbiter keeps events. */
#define WORK_LOG_RECORDS 65536u

struct work_record {
    uint32_t vgpu; /* arbiter_vgpu_number() */
    uint32_t slot;
    uint64_t
        lost; /* 0, or how many are missing here; then work has only end_ns, when it was seen */
    struct work work; /* of the slot's process, in its words */
};

struct work_log;

/* NULL: no memory. */
struct work_log *work_log_create(void);
void work_log_destroy(struct work_log *log); /* NULL is fine */

/* The rings of one renderer, and how far they were read. */
struct work_source {
    const struct work_rings *rings; /* owned mapping; NULL = none */
    uint64_t born_ns;               /* no time in them can be earlier */
    uint64_t cursors[LEASE_SLOTS_MAX];
};
/* Makes the rings. Negative errno; the caller owns *ret_fd, which is for the renderer. */
int work_source_init(struct work_source *s, int *ret_fd);
void work_source_finish(struct work_source *s);

/* Adds how long Vulkan's submissions took, as far as it can be: none began before the renderer did,
 * and no slot completed more than one a microsecond since. Never wraps. */
void work_source_add_latency(const struct work_source *s, struct arbiter_histogram *sum);

/* Takes all that is in the rings. */
void work_log_take(struct work_log *log, struct work_source *s, uint32_t vgpu);

/* As arbiter_read_events(). */
size_t work_log_read(const struct work_log *log, uint64_t *cursor, struct work_record *ret,
                     size_t max, uint64_t *ret_lost);

#endif
