/* SPDX-License-Identifier: MIT */
#include "samples/bench/bench.h"

#include <aliquot-guest.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Round trips before the clock counts: caches, pages of the ring. */
#define WARM_UP 200

static int measure(struct aliquot_vgpu *vgpu, double seconds, struct bench_times *times)
{
    int64_t end_ns = 0, before_ns = 0;
    int result = 0;

    for (unsigned i = 0; i < WARM_UP && result == 0; i++)
        result = aliquot_sync(vgpu);
    before_ns = bench_now_ns();
    end_ns = before_ns + (int64_t)(seconds * 1e9);
    while (result == 0 && before_ns < end_ns) {
        result = aliquot_sync(vgpu);
        int64_t after_ns = bench_now_ns();
        bench_times_add(times, after_ns - before_ns);
        before_ns = after_ns;
    }
    return result;
}

int bench_ring(const struct bench_options *options)
{
    char error[256] = "";
    struct aliquot_open_args args = {
        .path = options->socket, .error = error, .error_size = sizeof(error)};
    struct aliquot_vgpu *vgpu = NULL;
    struct bench_times *times = calloc(1, sizeof(*times));

    int result = times ? bench_pin(options->cpu) : -ENOMEM;
    if (result == 0)
        result = aliquot_open(&args, &vgpu);
    if (result == 0) {
        result = measure(vgpu, options->seconds, times);
        if (result < 0)
            aliquot_last_error(vgpu, error, sizeof(error));
    }
    if (result == 0)
        bench_times_print(times, "ring");
    else
        fprintf(stderr, "aliquot-bench: %s\n", error[0] ? error : strerror(-result));
    aliquot_close(vgpu);
    free(times);
    return result;
}
