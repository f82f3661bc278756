/* SPDX-License-Identifier: MIT */
/*
 * What the device model makes of formats (protocol/gpu_format.h): the size of resources, which it
 * charges, and the pixels of displays. Whether a format can be drawn is the backend's question.
 */
#ifndef ALIQUOT_RENDERER_GPU_FORMAT_H
#define ALIQUOT_RENDERER_GPU_FORMAT_H

#include "mediator/renderer/backend.h"
#include "protocol/gpu_format.h"

#include <stdbool.h>
#include <stdint.h>

/* True for the formats that RESOURCE_CREATE_2D has, all of 32 bits a pixel. */
bool gpu_format_is_2d(uint32_t format);

/* Copies n pixels of a format that RESOURCE_CREATE_2D has, turned into the memory order B G R A. to
 * may be from. */
void gpu_format_to_bgra(uint32_t format, uint8_t *to, const uint8_t *from, uint32_t n);

/* Bytes that a resource needs on the host: all levels, layers and samples. Saturates at
 * UINT64_MAX. row_align: of struct backend_memory. */
uint64_t gpu_format_resource_bytes(const struct backend_resource_args *args, uint32_t row_align);

#endif
