/* SPDX-License-Identifier: MIT */
#include "samples/bench/load_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ALLOCATED_FIRST 4096

int64_t load_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int load_record_add(struct load_record *record, int64_t start_ns, int64_t end_ns, uint64_t gpu_ns)
{
    if (record->count == record->allocated) {
        size_t wanted = record->allocated ? 2 * record->allocated : ALLOCATED_FIRST;
        struct load_span *spans = reallocarray(record->spans, wanted, sizeof(*spans));
        if (!spans)
            return -ENOMEM;
        record->spans = spans;
        record->allocated = wanted;
    }
    record->spans[record->count++] = (struct load_span){start_ns, end_ns, gpu_ns};
    return 0;
}

void load_record_finish(struct load_record *record)
{
    free(record->spans);
    *record = (struct load_record){0};
}

int load_record_summarize(const struct load_record *record, int64_t from_ns, int64_t to_ns,
                          int64_t period_ns, struct load_summary *ret)
{
    int64_t *times = calloc(record->count + 1, sizeof(*times));
    struct load_summary sum = {0};

    if (!times)
        return -ENOMEM;
    for (size_t i = 0; i < record->count; i++) {
        const struct load_span *span = &record->spans[i];
        if (span->end_ns < from_ns || span->end_ns >= to_ns)
            continue;
        times[sum.frames++] = span->end_ns - span->start_ns;
        sum.gpu_ms += (double)span->gpu_ns / 1e6;
        if (period_ns && span->end_ns - span->start_ns > period_ns)
            sum.missed++;
    }
    if (sum.frames == 0) {
        free(times);
        return -ENODATA;
    }
    qsort(times, sum.frames, sizeof(*times), compare);
    size_t middle = sum.frames / 2;
    size_t late = (size_t)((double)sum.frames * 0.99);
    sum.p50_ms = (double)times[middle] / 1e6;
    sum.p99_ms = (double)times[late] / 1e6;
    sum.max_ms = (double)times[sum.frames - 1] / 1e6;
    *ret = sum;
    free(times);
    return 0;
}

int load_record_write(const struct load_record *record, const char *path)
{
    FILE *file = fopen(path, "we");

    if (!file)
        return -errno;
    for (size_t i = 0; i < record->count; i++) {
        const struct load_span *span = &record->spans[i];
        fprintf(file, "%" PRId64 " %" PRId64 "\n", span->start_ns, span->end_ns);
    }
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -EIO : 0;
}
