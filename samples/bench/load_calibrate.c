/* SPDX-License-Identifier: MIT */
#include "samples/bench/load_calibrate.h"
#include "samples/bench/load_record.h"

#define SAMPLES 7 /* frames of a measurement; the shortest counts: others had no part in it */
#define REFINEMENTS 3

uint32_t load_frame_part(const struct load_frame *frame, uint32_t i)
{
    uint64_t before = (uint64_t)frame->work * i / frame->draws;
    uint64_t after = (uint64_t)frame->work * (i + 1) / frame->draws;

    return (uint32_t)(after - before);
}

static int measure(const struct load_frame *frame, load_draw_fn *draw, int64_t *ret_ns)
{
    int64_t best_ns = INT64_MAX;

    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t start_ns = load_now_ns();
        int result = draw(frame);
        if (result < 0)
            return result;
        int64_t ns = load_now_ns() - start_ns;
        if (ns < best_ns)
            best_ns = ns;
    }
    *ret_ns = best_ns;
    return 0;
}

static uint32_t clamp_work(double work)
{
    return work < 1 ? 1 : work > LOAD_WORK_MAX ? LOAD_WORK_MAX : (uint32_t)(work + 0.5);
}

int load_calibrate(struct load_frame *frame, load_draw_fn *draw, int64_t frame_ns)
{
    struct load_frame half = {.work = 1, .draws = frame->draws};
    int64_t half_ns = 0, ns = 0;

    frame->work = 2;
    int result = measure(&half, draw, &half_ns); /* the shader gets compiled */
    if (result == 0)
        result = measure(&half, draw, &half_ns);
    if (result == 0)
        result = measure(frame, draw, &ns);
    while (result == 0 && ns < frame_ns && frame->work <= LOAD_WORK_MAX / 2) {
        half = *frame;
        half_ns = ns;
        frame->work *= 2;
        result = measure(frame, draw, &ns);
    }
    double unit_ns = (double)(ns - half_ns) / (frame->work - half.work);
    for (unsigned i = 0; i < REFINEMENTS && unit_ns > 0 && result == 0; i++) {
        frame->work = clamp_work(frame->work + (double)(frame_ns - ns) / unit_ns);
        result = measure(frame, draw, &ns);
    }
    return result;
}
