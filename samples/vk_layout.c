/* SPDX-License-Identifier: MIT */
#include "samples/vk_layout.h"

#include "samples/vk_result.h"

#include <assert.h>

static int create_set_layout(struct vk_layout *l, const struct vk_device *d,
                             const struct vk_layout_info *info)
{
    VkDescriptorSetLayoutBinding bindings[VK_LAYOUT_BINDINGS_MAX];
    for (uint32_t i = 0; i < info->bindings; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = info->types[i],
            .descriptorCount = 1,
            .stageFlags = info->stages,
        };
    }
    const VkDescriptorSetLayoutCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = info->bindings,
        .pBindings = bindings,
    };
    return vk_check(vkCreateDescriptorSetLayout(d->device, &create, NULL, &l->set),
                    "vkCreateDescriptorSetLayout");
}

static int create_pool(struct vk_layout *l, const struct vk_device *d,
                       const struct vk_layout_info *info)
{
    VkDescriptorPoolSize sizes[VK_LAYOUT_BINDINGS_MAX];
    for (uint32_t i = 0; i < info->bindings; i++)
        sizes[i] = (VkDescriptorPoolSize){info->types[i], info->sets};
    const VkDescriptorPoolCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = info->sets,
        .poolSizeCount = info->bindings,
        .pPoolSizes = sizes,
    };
    return vk_check(vkCreateDescriptorPool(d->device, &create, NULL, &l->pool),
                    "vkCreateDescriptorPool");
}

static int create_pipeline_layout(struct vk_layout *l, const struct vk_device *d,
                                  const struct vk_layout_info *info)
{
    const VkPushConstantRange push = {info->stages, 0, info->push_bytes};
    const VkPipelineLayoutCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = info->bindings ? 1 : 0,
        .pSetLayouts = &l->set,
        .pushConstantRangeCount = info->push_bytes ? 1 : 0,
        .pPushConstantRanges = &push,
    };
    return vk_check(vkCreatePipelineLayout(d->device, &create, NULL, &l->pipeline),
                    "vkCreatePipelineLayout");
}

int vk_layout_init(struct vk_layout *l, const struct vk_device *d,
                   const struct vk_layout_info *info)
{
    assert(info->bindings <= VK_LAYOUT_BINDINGS_MAX);
    *l = (struct vk_layout){0};
    int r = 0;
    if (info->bindings) {
        r = create_set_layout(l, d, info);
        if (r == 0)
            r = create_pool(l, d, info);
    }
    if (r == 0)
        r = create_pipeline_layout(l, d, info);
    if (r < 0)
        vk_layout_finish(l, d);
    return r;
}

void vk_layout_finish(struct vk_layout *l, const struct vk_device *d)
{
    vkDestroyPipelineLayout(d->device, l->pipeline, NULL);
    vkDestroyDescriptorPool(d->device, l->pool, NULL);
    vkDestroyDescriptorSetLayout(d->device, l->set, NULL);
    *l = (struct vk_layout){0};
}

int vk_layout_set(const struct vk_layout *l, const struct vk_device *d, VkDescriptorSet *ret)
{
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = l->pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &l->set,
    };
    return vk_check(vkAllocateDescriptorSets(d->device, &info, ret), "vkAllocateDescriptorSets");
}

void vk_set_buffer(const struct vk_device *d, VkDescriptorSet set, uint32_t binding,
                   VkDescriptorType type, const struct vk_buffer *buffer)
{
    const VkDescriptorBufferInfo info = {buffer->buffer, 0, VK_WHOLE_SIZE};
    const VkWriteDescriptorSet write = {
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
        .dstSet = set,
        .dstBinding = binding,
        .descriptorCount = 1,
        .descriptorType = type,
        .pBufferInfo = &info,
    };
    vkUpdateDescriptorSets(d->device, 1, &write, 0, NULL);
}

void vk_set_texture(const struct vk_device *d, VkDescriptorSet set, uint32_t binding,
                    const struct vk_image *texture, VkSampler sampler)
{
    const VkDescriptorImageInfo info = {sampler, texture->view,
                                        VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
    const VkWriteDescriptorSet write = {
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
        .dstSet = set,
        .dstBinding = binding,
        .descriptorCount = 1,
        .descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
        .pImageInfo = &info,
    };
    vkUpdateDescriptorSets(d->device, 1, &write, 0, NULL);
}
