/* SPDX-License-Identifier: MIT */
/*
 * How large texels are: bytes of a block for the formats of virtio-gpu and virgl, which share one
 * numbering. The device model charges resources by it and computes 2D strides; whether a format can
 * be drawn is the backend's question.
 */
#ifndef ALIQUOT_RENDERER_GPU_FORMAT_H
#define ALIQUOT_RENDERER_GPU_FORMAT_H

#include "mediator/renderer/backend.h"

#include <stdbool.h>
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

/* True for the formats that RESOURCE_CREATE_2D has, all of 32 bits a pixel. */
bool gpu_format_is_2d(uint32_t format);

/* Copies n pixels of a format that RESOURCE_CREATE_2D has, turned into the memory order B G R A. to
 * may be from. */
void gpu_format_to_bgra(uint32_t format, uint8_t *to, const uint8_t *from, uint32_t n);

/* Bytes that a resource needs on the host: all levels, layers and samples. Saturates at
 * UINT64_MAX. row_align: of struct backend_memory. */
uint64_t gpu_format_resource_bytes(const struct backend_resource_args *args, uint32_t row_align);

/* A side at a mip level. level must be below 32. */
static inline uint32_t gpu_format_minify(uint32_t side, uint32_t level)
{
    uint32_t s = side >> level;
    return s ? s : 1;
}

#endif
