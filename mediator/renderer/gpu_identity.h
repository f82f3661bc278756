/* SPDX-License-Identifier: MIT */
/*
 * By what the GPU that EGL draws on is known to Vulkan, which has no numbers in common with EGL or
 * with /dev/dri: for the Vulkan layer, which shows guests no other one. Used by the virgl backend.
 */
#ifndef ALIQUOT_RENDERER_GPU_IDENTITY_H
#define ALIQUOT_RENDERER_GPU_IDENTITY_H

#include "mediator/renderer/egl_context.h"

#define GPU_IDENTITY_MAX 160

/* As LAYER_GPU_ENV (protocol/layer.h) has it. */
void gpu_identity(const struct egl_gpu *gpu, char text[static GPU_IDENTITY_MAX]);

#endif
