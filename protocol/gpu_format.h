/* SPDX-License-Identifier: MIT */
/*
 * How large texels are: bytes of a block for the formats of virtio-gpu and virgl, which share one
 * numbering. The device model charges resources by it and computes 2D strides; the guest library
 * tells strides that need to be told from those that go without saying.
 */
#ifndef ALIQUOT_PROTOCOL_GPU_FORMAT_H
#define ALIQUOT_PROTOCOL_GPU_FORMAT_H

#include <stdint.h>

/* Texture targets of RESOURCE_CREATE_3D (Gallium's numbering). */
enum gpu_target {
    GPU_TARGET_BUFFER = 0,
    GPU_TARGET_1D = 1,
    GPU_TARGET_2D = 2,
    GPU_TARGET_3D = 3,
    GPU_TARGET_CUBE = 4,
    GPU_TARGET_RECT = 5,
    GPU_TARGET_1D_ARRAY = 6,
    GPU_TARGET_2D_ARRAY = 7,
    GPU_TARGET_CUBE_ARRAY = 8,
    GPU_TARGETS = 9,
};

struct gpu_format {
    uint8_t block_width, block_height; /* texels; 1 × 1 where not compressed */
    uint8_t block_bytes;
};

/* Never fails: a format that is not in the table is taken for a large one. */
struct gpu_format gpu_format_get(uint32_t format);

/* A side at a mip level. level must be below 32. */
static inline uint32_t gpu_format_minify(uint32_t side, uint32_t level)
{
    uint32_t s = side >> level;
    return s ? s : 1;
}

#endif
