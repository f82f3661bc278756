/* SPDX-License-Identifier: MIT */
#include "samples/vk_pipeline.h"

#include "samples/vk_result.h"

static int create_module(const struct vk_device *d, struct vk_shader shader, VkShaderModule *ret)
{
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = shader.bytes,
        .pCode = shader.code,
    };
    return vk_check(vkCreateShaderModule(d->device, &info, NULL, ret), "vkCreateShaderModule");
}

static VkPipelineShaderStageCreateInfo stage(VkShaderStageFlagBits which, VkShaderModule module)
{
    return (VkPipelineShaderStageCreateInfo){
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
        .stage = which,
        .module = module,
        .pName = "main",
    };
}

static VkPipelineColorBlendAttachmentState blending(bool add)
{
    return (VkPipelineColorBlendAttachmentState){
        .blendEnable = add,
        .srcColorBlendFactor = VK_BLEND_FACTOR_ONE,
        .dstColorBlendFactor = VK_BLEND_FACTOR_ONE,
        .colorBlendOp = VK_BLEND_OP_ADD,
        .srcAlphaBlendFactor = VK_BLEND_FACTOR_ONE,
        .dstAlphaBlendFactor = VK_BLEND_FACTOR_ONE,
        .alphaBlendOp = VK_BLEND_OP_ADD,
        .colorWriteMask = VK_COLOR_COMPONENT_R_BIT | VK_COLOR_COMPONENT_G_BIT |
                          VK_COLOR_COMPONENT_B_BIT | VK_COLOR_COMPONENT_A_BIT,
    };
}

static int create_graphics(const struct vk_device *d, const struct vk_graphics *g,
                           VkShaderModule vertex, VkShaderModule fragment, VkPipeline *ret)
{
    static const VkDynamicState dynamics[] = {VK_DYNAMIC_STATE_VIEWPORT, VK_DYNAMIC_STATE_SCISSOR};
    const VkPipelineShaderStageCreateInfo stages[] = {
        stage(VK_SHADER_STAGE_VERTEX_BIT, vertex),
        stage(VK_SHADER_STAGE_FRAGMENT_BIT, fragment),
    };
    const VkVertexInputBindingDescription binding = {.stride = g->vertex_bytes};
    const VkPipelineVertexInputStateCreateInfo input = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO,
        .vertexBindingDescriptionCount = g->vertex_bytes ? 1 : 0,
        .pVertexBindingDescriptions = &binding,
        .vertexAttributeDescriptionCount = g->attribute_count,
        .pVertexAttributeDescriptions = g->attributes,
    };
    const VkPipelineInputAssemblyStateCreateInfo assembly = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
        .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST,
    };
    const VkPipelineViewportStateCreateInfo viewport = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
        .viewportCount = 1,
        .scissorCount = 1,
    };
    const VkPipelineRasterizationStateCreateInfo raster = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
        .polygonMode = VK_POLYGON_MODE_FILL,
        .cullMode = g->cull ? VK_CULL_MODE_BACK_BIT : VK_CULL_MODE_NONE,
        .frontFace = VK_FRONT_FACE_COUNTER_CLOCKWISE,
        .lineWidth = 1,
    };
    const VkPipelineMultisampleStateCreateInfo samples = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
        .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT,
    };
    const VkPipelineDepthStencilStateCreateInfo depth = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_DEPTH_STENCIL_STATE_CREATE_INFO,
        .depthTestEnable = g->depth,
        .depthWriteEnable = g->depth,
        .depthCompareOp = VK_COMPARE_OP_LESS,
    };
    const VkPipelineColorBlendAttachmentState attachment = blending(g->add);
    const VkPipelineColorBlendStateCreateInfo blend = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
        .attachmentCount = 1,
        .pAttachments = &attachment,
    };
    const VkPipelineDynamicStateCreateInfo dynamic = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_DYNAMIC_STATE_CREATE_INFO,
        .dynamicStateCount = sizeof(dynamics) / sizeof(dynamics[0]),
        .pDynamicStates = dynamics,
    };
    const VkGraphicsPipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
        .stageCount = sizeof(stages) / sizeof(stages[0]),
        .pStages = stages,
        .pVertexInputState = &input,
        .pInputAssemblyState = &assembly,
        .pViewportState = &viewport,
        .pRasterizationState = &raster,
        .pMultisampleState = &samples,
        .pDepthStencilState = &depth,
        .pColorBlendState = &blend,
        .pDynamicState = &dynamic,
        .layout = g->layout,
        .renderPass = g->pass,
    };
    return vk_check(vkCreateGraphicsPipelines(d->device, VK_NULL_HANDLE, 1, &info, NULL, ret),
                    "vkCreateGraphicsPipelines");
}

int vk_pipeline_graphics(const struct vk_device *d, const struct vk_graphics *g, VkPipeline *ret)
{
    VkShaderModule vertex = VK_NULL_HANDLE, fragment = VK_NULL_HANDLE;
    int r = create_module(d, g->vertex, &vertex);
    if (r == 0)
        r = create_module(d, g->fragment, &fragment);
    if (r == 0)
        r = create_graphics(d, g, vertex, fragment, ret);
    vkDestroyShaderModule(d->device, vertex, NULL);
    vkDestroyShaderModule(d->device, fragment, NULL);
    return r;
}

int vk_pipeline_compute(const struct vk_device *d, struct vk_shader shader, VkPipelineLayout layout,
                        VkPipeline *ret)
{
    VkShaderModule module = VK_NULL_HANDLE;
    int r = create_module(d, shader, &module);
    if (r < 0)
        return r;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = stage(VK_SHADER_STAGE_COMPUTE_BIT, module),
        .layout = layout,
    };
    r = vk_check(vkCreateComputePipelines(d->device, VK_NULL_HANDLE, 1, &info, NULL, ret),
                 "vkCreateComputePipelines");
    vkDestroyShaderModule(d->device, module, NULL);
    return r;
}
