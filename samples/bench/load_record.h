/* SPDX-License-Identifier: MIT */
/*
 * When the frames of gl-load and vk-load began and ended, and what follows from that. Times are ns
 * of CLOCK_MONOTONIC, so that those of several processes can be compared.
 */
#ifndef ALIQUOT_SAMPLES_LOAD_RECORD_H
#define ALIQUOT_SAMPLES_LOAD_RECORD_H

#include <stddef.h>
#include <stdint.h>

struct load_span {
    int64_t start_ns; /* when the frame was due; without a rate, when the one before ended */
    int64_t end_ns;   /* when it was complete */
    uint64_t gpu_ns;  /* in which the GPU did it; 0 = it was not asked */
};

struct load_record {
    struct load_span *spans; /* owned */
    size_t count, allocated;
};

/* Of the frames that ended in an interval. */
struct load_summary {
    size_t frames, missed; /* missed: took longer than the period */
    double p50_ms, p99_ms, max_ms;
    double gpu_ms; /* of all of them */
};

int64_t load_now_ns(void);

/* 0 or -ENOMEM. */
int load_record_add(struct load_record *record, int64_t start_ns, int64_t end_ns, uint64_t gpu_ns);
void load_record_finish(struct load_record *record);

/* period_ns: 0 = none, nothing is missed. Returns 0, -ENOMEM, or -ENODATA without any frame. */
int load_record_summarize(const struct load_record *record, int64_t from_ns, int64_t to_ns,
                          int64_t period_ns, struct load_summary *ret);

/* A line for each frame, start and end. Returns 0 or a negative errno. */
int load_record_write(const struct load_record *record, const char *path);

#endif
