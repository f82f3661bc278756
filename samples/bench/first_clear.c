/* SPDX-License-Identifier: MIT */
#include "samples/bench/bench.h"
#include "samples/virgl_encode.h"

#include <aliquot-guest.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of the cleared picture: small, so that the time is that of the way and not of the pixels. */
#define SIDE 64
#define SURFACE 1

static int submit_clear(struct aliquot_context *context, struct aliquot_resource *target)
{
    static const float color[4] = {0.2f, 0.4f, 0.6f, 1};
    struct virgl_stream s = {0};
    struct aliquot_fence *fence;

    virgl_create_surface(&s, SURFACE, aliquot_resource_id(target), VIRGL_FORMAT_BGRA8);
    virgl_set_framebuffer(&s, SURFACE);
    virgl_clear(&s, color);
    int result = aliquot_submit(context, s.words, s.count * 4, ALIQUOT_RING_NONE, &fence);
    return result < 0 ? result : aliquot_fence_finish(fence);
}

/* What any GL driver does before its first frame: the capset, a context, a target. */
static int clear_once(struct aliquot_vgpu *vgpu)
{
    const struct aliquot_resource_args args = {
        .target = VIRGL_TARGET_2D,
        .format = VIRGL_FORMAT_BGRA8,
        .bind = VIRGL_USE_RENDER_TARGET,
        .width = SIDE,
        .height = SIDE,
        .depth = 1,
        .array_size = 1,
        .backing_bytes = SIDE * SIDE * 4,
    };
    static char data[64 << 10];
    struct aliquot_info info;
    struct aliquot_capset_info capset = {0}, chosen = {0};
    struct aliquot_context *context;
    struct aliquot_resource *target;

    int result = aliquot_get_info(vgpu, &info);
    for (uint32_t i = 0; result == 0 && i < info.num_capsets; i++) {
        result = aliquot_capset_info(vgpu, i, &capset);
        if (result == 0 && capset.id <= 2 && capset.id > chosen.id)
            chosen = capset;
    }
    if (result == 0 && (chosen.id == 0 || chosen.max_bytes > sizeof(data)))
        result = -EOPNOTSUPP;
    if (result == 0)
        result = aliquot_capset(vgpu, chosen.id, chosen.max_version, data, chosen.max_bytes, NULL);
    if (result == 0)
        result = aliquot_context_create(vgpu, chosen.id, "first-clear", &context);
    if (result == 0)
        result = aliquot_resource_create_3d(vgpu, &args, &target);
    if (result == 0)
        result = aliquot_context_attach(context, target);
    if (result == 0)
        result = submit_clear(context, target);
    return result;
}

int bench_first_clear(const struct bench_options *options)
{
    char error[256] = "";
    struct aliquot_open_args args = {
        .path = options->socket, .error = error, .error_size = sizeof(error)};
    struct aliquot_vgpu *vgpu = NULL;

    int64_t start_ns = bench_now_ns();
    int result = aliquot_open(&args, &vgpu);
    int64_t open_ns = bench_now_ns();
    if (result == 0) {
        result = clear_once(vgpu);
        if (result < 0)
            aliquot_last_error(vgpu, error, sizeof(error));
    }
    int64_t clear_ns = bench_now_ns();
    if (result == 0)
        printf("{\"bench\": \"first-clear\", \"open_ms\": %.3f, \"first_clear_ms\": %.3f}\n",
               (double)(open_ns - start_ns) / 1e6, (double)(clear_ns - start_ns) / 1e6);
    else
        fprintf(stderr, "aliquot-bench: %s\n", error[0] ? error : strerror(-result));
    if (result == 0 && options->hold) {
        fflush(stdout);
        while (getchar() != EOF)
            ;
    }
    aliquot_close(vgpu);
    return result;
}
