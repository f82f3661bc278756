/* SPDX-License-Identifier: MIT */
/*
 * What the daemon's counters are at one moment, and what two moments say about the time between:
 * the numbers of "aliquot top". All but sample_read() are pure functions.
 */
#ifndef ALIQUOT_CLI_SAMPLE_H
#define ALIQUOT_CLI_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-varlink.h>

#define SAMPLE_TEXT_MAX 64
#define SAMPLE_BUCKETS_MAX 40

/* counts[i] are below bounds_usec[i], the last ones of any length. */
struct sample_histogram {
    int64_t counts[SAMPLE_BUCKETS_MAX], bounds_usec[SAMPLE_BUCKETS_MAX];
    size_t n_buckets;
};

struct sample_vgpu {
    char name[SAMPLE_TEXT_MAX], state[SAMPLE_TEXT_MAX], gpu[SAMPLE_TEXT_MAX];
    int64_t number;                    /* on its gpu: who it is, whatever its name */
    int64_t weight, memory_bytes;      /* Vulkan's included */
    int64_t contexts, vulkan_contexts; /* all of them, and those of Vulkan */
    int64_t vulkan_usec;
    int64_t gpu_usec, waiting_usec, submits;
    struct sample_histogram waits;     /* for the GPU */
    struct sample_histogram latencies; /* of command streams, to their completion */
};

struct sample_gpu {
    char gpu[SAMPLE_TEXT_MAX], policy[SAMPLE_TEXT_MAX], reserved[SAMPLE_TEXT_MAX];
    int64_t vgpus, busy_usec;
};

struct sample {
    int64_t monotonic_usec;
    struct sample_vgpu *vgpus; /* owned array */
    size_t n_vgpus;
    struct sample_gpu *gpus; /* owned array */
    size_t n_gpus;
};

/* Asks the daemon. A negative errno after a message. */
int sample_read(sd_varlink *link, const char *path, struct sample *ret);
void sample_finish(struct sample *s);

/* Of one vGPU over the time between two samples. */
struct sample_rates {
    double share, waiting, vulkan; /* percent of the time */
    double submits;                /* a second */
    /* 99 % of the waits, or streams, that ended were shorter; -1 = there were none, or the daemon
     * knows only that it was longer than its last bound. */
    int64_t p99_usec, latency_p99_usec;
};
/* before: NULL, or a sample in which the vGPU need not be: all that it has is new then. */
void sample_vgpu_rates(const struct sample *before, const struct sample *now, size_t vgpu,
                       struct sample_rates *ret);
/* Percent of the time that the GPU was in use. */
double sample_gpu_busy(const struct sample *before, const struct sample *now, size_t gpu);

#endif
