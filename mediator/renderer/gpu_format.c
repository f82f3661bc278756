/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/gpu_format.h"

#include "mediator/base/util.h"
#include "protocol/virtio_gpu.h"

#include <string.h>

bool gpu_format_is_2d(uint32_t format)
{
    switch (format) {
    case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
    case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
    case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
    case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
    case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
    case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
    case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
    case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
        return true;
    default:
        return false;
    }
}

static uint64_t saturating_mul(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint64_t gpu_format_resource_bytes(const struct backend_resource_args *args, uint32_t row_align)
{
    const struct gpu_format f = gpu_format_get(args->format);
    uint64_t layers = MAX(args->array_size, 1u), samples = MAX(args->nr_samples, 1u), total = 0;

    if (args->target == GPU_TARGET_BUFFER)
        return args->width;

    for (uint32_t level = 0; level <= args->last_level && level < 32; level++) {
        uint64_t w = gpu_format_minify(args->width, level);
        uint64_t h = gpu_format_minify(args->height, level);
        uint64_t d = gpu_format_minify(args->depth, level);
        uint64_t bytes = f.block_bytes;

        bytes = saturating_mul(bytes, (w + f.block_width - 1) / f.block_width);
        if (__builtin_add_overflow(bytes, row_align - 1, &bytes))
            return UINT64_MAX;
        bytes &= ~(uint64_t)(row_align - 1);
        bytes = saturating_mul(bytes, (h + f.block_height - 1) / f.block_height);
        bytes = saturating_mul(bytes, d);
        bytes = saturating_mul(bytes, layers);
        bytes = saturating_mul(bytes, samples);
        if (__builtin_add_overflow(total, bytes, &total))
            return UINT64_MAX;
    }
    return total;
}

/* Where blue, green, red and alpha (or nothing) lie in a pixel; B G R A for the unknown. */
static const uint8_t *byte_order(uint32_t format)
{
    static const uint8_t bgra[4] = {0, 1, 2, 3}, rgba[4] = {2, 1, 0, 3};
    static const uint8_t argb[4] = {3, 2, 1, 0}, abgr[4] = {1, 2, 3, 0};

    switch (format) {
    case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
    case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
        return rgba;
    case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
    case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
        return argb;
    case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
    case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
        return abgr;
    default:
        return bgra;
    }
}

void gpu_format_to_bgra(uint32_t format, uint8_t *to, const uint8_t *from, uint32_t n)
{
    const uint8_t *order = byte_order(format);

    if (order[0] == 0) {
        if (to != from)
            memcpy(to, from, (size_t)n * 4);
        return;
    }
    for (uint32_t i = 0; i < n; i++, to += 4, from += 4) {
        const uint8_t pixel[4] = {from[0], from[1], from[2], from[3]};
        for (unsigned c = 0; c < 4; c++)
            to[c] = pixel[order[c]];
    }
}
