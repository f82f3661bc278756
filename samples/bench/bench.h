/* SPDX-License-Identifier: MIT */
/*
 * What the measurements of aliquot-bench share: a clock, latencies in a histogram, pinning. Each
 * measurement prints one JSON object on stdout and returns 0, or says on stderr what went wrong and
 * returns a negative errno.
 */
#ifndef ALIQUOT_BENCH_H
#define ALIQUOT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct bench_options {
    const char *socket;
    double seconds;
    int cpu;   /* to run on, or -1 */
    int other; /* the second process's CPU, or -1: the same as above */
    bool hold; /* stay connected until standard input ends */
};

int bench_ring(const struct bench_options *options);
int bench_pingpong(const struct bench_options *options);
int bench_first_clear(const struct bench_options *options);

/* Round trips by their time, in buckets of 100 ns up to 10 ms; longer ones are in the last. */
#define BENCH_BUCKET_NS 100
#define BENCH_BUCKETS 100000

struct bench_times {
    uint64_t count;
    int64_t total_ns;
    uint32_t buckets[BENCH_BUCKETS];
};

int64_t bench_now_ns(void);
void bench_times_add(struct bench_times *times, int64_t ns);
/* Prints {"bench": name, "per_s": …, "p50_us": …, "p99_us": …, "count": …}. */
void bench_times_print(const struct bench_times *times, const char *name);
/* -1 = anywhere. Returns 0 or a negative errno, having said so. */
int bench_pin(int cpu);

#endif
