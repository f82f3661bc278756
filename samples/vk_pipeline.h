/* SPDX-License-Identifier: MIT */
/*
 * Vulkan pipelines of the samples, from SPIR-V that was compiled into the program.
 */
#ifndef ALIQUOT_SAMPLES_VK_PIPELINE_H
#define ALIQUOT_SAMPLES_VK_PIPELINE_H

#include "samples/vk_device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vk_shader {
    const uint32_t *code; /* borrowed */
    size_t bytes;
};

/* From the array of a generated header. */
#define VK_SHADER(array) ((struct vk_shader){(array), sizeof(array)})

/* Triangles, one colour attachment; viewport and scissor are set when they are drawn. */
struct vk_graphics {
    struct vk_shader vertex, fragment;
    VkPipelineLayout layout;
    VkRenderPass pass;
    uint32_t vertex_bytes;                               /* 0 = no vertex buffer */
    const VkVertexInputAttributeDescription *attributes; /* borrowed */
    uint32_t attribute_count;
    bool depth; /* test and write: nearer wins */
    bool cull;  /* what is seen from behind; counter-clockwise is the front */
    bool add;   /* colours add up */
};

/* Both return 0, or a negative errno after a message on stderr. */
int vk_pipeline_graphics(const struct vk_device *d, const struct vk_graphics *g, VkPipeline *ret);
int vk_pipeline_compute(const struct vk_device *d, struct vk_shader shader, VkPipelineLayout layout,
                        VkPipeline *ret);

#endif
