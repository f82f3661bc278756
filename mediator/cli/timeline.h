/* SPDX-License-Identifier: MIT */
/*
 * Turns the daemon's events into a timeline in the trace event format of Chrome, which Perfetto
 * (ui.perfetto.dev) reads too: a process for each GPU, a thread for each vGPU, and on it what the
 * vGPU did: "wait", "slice", and "reset"; on a GPU that drains, "drain" at the end of a slice; on
 * one that preempts, "preempted" between two. Beside it, what the GPU did for the vGPU: "NAME
 * fences" and, for each process with Vulkan, "NAME Vulkan N", and counters of "NAME memory". The
 * former may be several at a time: they are the format's asynchronous events, those that do not
 * overlap with one id. What began before the trace and what has not ended with it is left out or
 * cut. Does no I/O but writing to a stream.
 */
#ifndef ALIQUOT_CLI_TIMELINE_H
#define ALIQUOT_CLI_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* More vGPUs than a host has over the time of a trace; what is beyond is left out. */
#define TIMELINE_TRACKS_MAX 65536
/* What may be going on at a time in one track of fences; more are not shown, but counted. */
#define TIMELINE_LANES_MAX 256
/* GPUs with a greater number are taken for draining ones. */
#define TIMELINE_GPUS_MAX 63

enum timeline_kind {
    TIMELINE_WAIT,
    TIMELINE_GRANT,
    TIMELINE_YIELD,
    TIMELINE_RELEASE,
    TIMELINE_RESET,
    TIMELINE_N_KINDS,
};
/* "wait", "grant", "yield", "release", "reset"; false: another name. */
bool timeline_kind_from_name(const char *name, enum timeline_kind *ret);

struct timeline_track;

struct timeline {
    FILE *out; /* borrowed */
    bool comma;
    uint64_t preempting;           /* bit i: GPU i does, and does not drain */
    struct timeline_track *tracks; /* owned array */
    size_t n_tracks;
    uint64_t begin_ns;
};

/* Begins the file, of a trace that begins at begin_ns. */
void timeline_init(struct timeline *t, FILE *out, uint64_t begin_ns);
/* Ends what is open at time_ns, ends the file. */
void timeline_finish(struct timeline *t, uint64_t time_ns);

/* Name of a GPU (numbered from 1 on by the caller), before its first event. preempts: a vGPU that
 * is asked to stop does not keep the others off until it has. */
void timeline_name_gpu(struct timeline *t, unsigned gpu, const char *name, bool preempts);
/* Name of a vGPU on it: at any time, once or more often. */
void timeline_name_vgpu(struct timeline *t, unsigned gpu, uint32_t vgpu, const char *name);

/* The next event of a GPU; those of one GPU come in the order of their time. Times are
 * CLOCK_MONOTONIC. */
void timeline_add(struct timeline *t, unsigned gpu, uint32_t vgpu, enum timeline_kind kind,
                  uint64_t time_ns, uint64_t value);
/* Events of this GPU are missing here: what was open ends unknown, and is left out. */
void timeline_gap(struct timeline *t, unsigned gpu, uint64_t time_ns, uint64_t lost);

/* What the GPU did for a vGPU. slot 0: fences of its renderer; others: a process with Vulkan. Those
 * of a slot come in the order of their ends, more or less. */
struct timeline_work {
    uint64_t begin_ns, end_ns;
    uint32_t slot, queue;
    uint64_t count; /* of command streams or submissions */
};
void timeline_work(struct timeline *t, unsigned gpu, uint32_t vgpu, const struct timeline_work *w);
/* So many of those are missing here. vgpu: 0 = of any. */
void timeline_work_gap(struct timeline *t, unsigned gpu, uint32_t vgpu, uint64_t time_ns,
                       uint64_t lost);

/* What a vGPU has of the GPU's memory at that time. Times of one vGPU grow. */
void timeline_memory(struct timeline *t, unsigned gpu, uint32_t vgpu, uint64_t time_ns,
                     uint64_t resource_bytes, uint64_t vulkan_bytes);
/* Those of the GPU that were not named with this time have nothing any more. */
void timeline_memory_of_gone(struct timeline *t, unsigned gpu, uint64_t time_ns);

#endif
