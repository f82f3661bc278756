/* SPDX-License-Identifier: MIT */
#include "samples/frame_times.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define ALLOCATED_FIRST 256

uint64_t frame_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

int frame_times_add(struct frame_times *times, uint64_t ns)
{
    if (times->count == times->allocated) {
        size_t wanted = times->allocated ? 2 * times->allocated : ALLOCATED_FIRST;
        uint64_t *grown = reallocarray(times->ns, wanted, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        times->ns = grown;
        times->allocated = wanted;
    }
    times->ns[times->count++] = ns;
    return 0;
}

void frame_times_finish(struct frame_times *times)
{
    free(times->ns);
    *times = (struct frame_times){0};
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(const struct frame_times *sorted, unsigned percent)
{
    uint64_t rank = ((uint64_t)sorted->count * percent + 99) / 100;
    return sorted->ns[rank ? rank - 1 : 0] / 1e6;
}

struct frame_figures frame_times_figures(struct frame_times *times)
{
    if (times->count == 0)
        return (struct frame_figures){0};
    uint64_t sum = 0;
    for (size_t i = 0; i < times->count; i++)
        sum += times->ns[i];
    qsort(times->ns, times->count, sizeof(*times->ns), compare_u64);
    return (struct frame_figures){
        .frames = times->count,
        .min_ms = times->ns[0] / 1e6,
        .p50_ms = percentile_ms(times, 50),
        .p99_ms = percentile_ms(times, 99),
        .max_ms = times->ns[times->count - 1] / 1e6,
        .fps = sum ? times->count * 1e9 / sum : 0,
    };
}

void frame_figures_print(const struct frame_figures *figures, const char *what)
{
    printf("%zu %s, %.1f a second; each min %.2f ms, p50 %.2f ms, p99 %.2f ms, max %.2f ms\n",
           figures->frames, what, figures->fps, figures->min_ms, figures->p50_ms, figures->p99_ms,
           figures->max_ms);
    fflush(stdout);
}

void frame_figures_print_json(const struct frame_figures *figures, FILE *f)
{
    fprintf(f, "{\"min\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}", figures->min_ms,
            figures->p50_ms, figures->p99_ms, figures->max_ms);
}
