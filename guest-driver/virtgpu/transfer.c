/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/virtgpu.h"
#include "protocol/gpu_format.h"

#include <errno.h>

static uint64_t blocks(uint32_t texels, uint32_t block)
{
    return ((uint64_t)texels + block - 1) / block;
}

/* One command. The two directions have the same parameters. */
static int send(struct virtgpu_resource *resource, const struct attachment *at,
                const struct aliquot_transfer *t, bool to_host)
{
    struct drm_virtgpu_3d_transfer_to_host args = {
        .bo_handle = at->handle,
        .box = {t->box.x, t->box.y, t->box.z, t->box.w, t->box.h, t->box.d},
        .level = t->level,
        .offset = (uint32_t)t->offset,
        .stride = t->stride,
        .layer_stride = t->layer_stride,
    };
    _Static_assert(sizeof(args) == sizeof(struct drm_virtgpu_3d_transfer_from_host), "");

    return virtgpu_ioctl(virtgpu_vgpu(resource->base.vgpu), at->node,
                         to_host ? DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST
                                 : DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST,
                         &args, to_host ? "TRANSFER_TO_HOST" : "TRANSFER_FROM_HOST");
}

/* True if count pieces, stride apart from one another, all begin below limit. */
static bool begin_below(uint64_t offset, uint64_t count, uint64_t stride, uint64_t limit,
                        uint64_t *ret_last)
{
    uint64_t last;

    if (count == 0 || __builtin_mul_overflow(count - 1, stride, &last) ||
        __builtin_add_overflow(last, offset, &last) || last >= limit)
        return false;
    *ret_last = last;
    return true;
}

/* The driver passes no strides for resources that are not blobs: the device takes rows and layers
 * to be as long as the level has them. Others go a row of blocks at a time. */
static int send_classic(struct virtgpu_resource *resource, const struct attachment *at,
                        const struct aliquot_transfer *t, bool to_host)
{
    const struct gpu_format format = gpu_format_get(resource->format);
    uint32_t level = t->level < 31 ? t->level : 31;
    uint64_t level_rows = blocks(gpu_format_minify(resource->height, level), format.block_height);
    uint64_t tight =
        blocks(gpu_format_minify(resource->width, level), format.block_width) * format.block_bytes;
    uint64_t stride = t->stride ? t->stride : tight;
    uint64_t layer_stride = t->layer_stride ? t->layer_stride : stride * level_rows;
    uint64_t rows = blocks(t->box.h, format.block_height);
    struct aliquot_transfer part = *t;
    uint64_t last;

    part.stride = part.layer_stride = 0;
    if ((rows <= 1 || stride == tight) && (t->box.d <= 1 || layer_stride == tight * level_rows))
        return send(resource, at, &part, to_host);
    if (!begin_below(t->offset, rows, stride, resource->base.memory_bytes, &last) ||
        !begin_below(last, t->box.d, layer_stride, resource->base.memory_bytes, &last))
        return -EINVAL;
    part.box.d = 1;
    for (uint32_t z = 0; z < t->box.d; z++) {
        for (uint32_t row = 0; row < rows; row++) {
            uint32_t y = row * format.block_height;
            part.box.y = t->box.y + y;
            part.box.z = t->box.z + z;
            part.box.h = t->box.h - y < format.block_height ? t->box.h - y : format.block_height;
            part.offset = t->offset + z * layer_stride + row * stride;
            int result = send(resource, at, &part, to_host);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

/* With vgpu->attaching. */
static int send_from(const struct node *node, struct virtgpu_resource *resource,
                     const struct aliquot_transfer *t, bool to_host)
{
    const struct attachment *at = resource_attachment(resource, node);

    if (!at) {
        vgpu_error(resource->base.vgpu, "transfer: the resource is not attached to the context");
        return -EINVAL;
    }
    return resource->base.blob_bytes ? send(resource, at, t, to_host)
                                     : send_classic(resource, at, t, to_host);
}

int virtgpu_transfer(struct aliquot_context *context, struct aliquot_resource *base,
                     const struct aliquot_transfer *t, bool to_host, struct aliquot_fence *fence)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    struct virtgpu_resource *resource = virtgpu_resource(base);
    const struct node *node = context ? virtgpu_context(context)->node : resource->home.node;

    int result = virtgpu_begin_attaching(vgpu);
    if (result < 0)
        return result;
    result = send_from(node, resource, t, to_host);
    pthread_mutex_unlock(&vgpu->attaching);
    /* The driver has no fence of a transfer to give away; one after it does as well. */
    if (result == 0 && fence)
        result = virtgpu_mark(vgpu, node, &((struct virtgpu_fence *)fence)->sync_fd);
    return result;
}
