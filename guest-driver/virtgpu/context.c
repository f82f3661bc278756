/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/virtgpu.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Timelines of a context: all that there can be. */
#define CONTEXT_RINGS 64

/* ---- contexts ------------------------------------------------------------------------------- */

static int init_context(struct virtgpu_vgpu *vgpu, const struct node *node, uint32_t capset_id,
                        const char *name)
{
    struct drm_virtgpu_context_set_param params[3];
    struct drm_virtgpu_context_init args = {.ctx_set_params = (uintptr_t)params};

    params[args.num_params++] = (struct drm_virtgpu_context_set_param){
        .param = VIRTGPU_CONTEXT_PARAM_NUM_RINGS, .value = CONTEXT_RINGS};
    if (capset_id)
        params[args.num_params++] = (struct drm_virtgpu_context_set_param){
            .param = VIRTGPU_CONTEXT_PARAM_CAPSET_ID, .value = capset_id};
    if (vgpu->debug_name)
        params[args.num_params++] = (struct drm_virtgpu_context_set_param){
            .param = VIRTGPU_CONTEXT_PARAM_DEBUG_NAME, .value = (uintptr_t)name};
    return virtgpu_ioctl(vgpu, node, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &args, "CONTEXT_INIT");
}

int virtgpu_context_create(struct aliquot_context *base, uint32_t capset_id, const char *name)
{
    struct virtgpu_context *context = virtgpu_context(base);
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    struct node *node;

    int result = node_open(vgpu, &node);
    if (result < 0)
        return result;
    /* Without CONTEXT_INIT the driver makes the only kind that there is by itself. */
    if (vgpu_has(base->vgpu, VIRTIO_GPU_F_CONTEXT_INIT))
        result = init_context(vgpu, node, capset_id, name);
    if (result < 0) {
        node_unref(node);
        return result;
    }
    context->node = node;
    return 0;
}

void virtgpu_context_release(struct aliquot_context *base)
{
    node_unref(virtgpu_context(base)->node);
    free(base);
}

void virtgpu_context_destroy(struct aliquot_context *base)
{
    struct virtgpu_context *context = virtgpu_context(base);

    /* The node stays open as long as there are resources that were made in it. */
    for (struct aliquot_resource *r = base->vgpu->resources; r; r = r->next)
        virtgpu_detach(base, r);
    node_unref(context->node);
    free(base);
}

int virtgpu_attach(struct aliquot_context *base, struct aliquot_resource *base_resource)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    struct virtgpu_resource *resource = virtgpu_resource(base_resource);
    struct node *node = virtgpu_context(base)->node;
    int fd = -1;

    if (resource_attachment(resource, node))
        return 0;
    struct attachment *attachment = calloc(1, sizeof(*attachment));
    if (!attachment)
        return -ENOMEM;
    attachment->node = node;
    int result = vgpu->drm.prime_export(resource->home.node->fd, resource->home.handle,
                                        DRM_CLOEXEC | DRM_RDWR, &fd);
    if (result == 0) {
        result = vgpu->drm.prime_import(node->fd, fd, &attachment->handle);
        if (result != 0)
            result = -errno;
        close(fd);
    } else {
        result = -errno;
    }
    if (result < 0) {
        free(attachment);
        return virtgpu_failed(vgpu,
                              base_resource->blob_bytes
                                  ? "attaching a blob, which takes ALIQUOT_BLOB_SHAREABLE"
                                  : "attaching a resource",
                              result);
    }
    attachment->next = resource->others;
    resource->others = attachment;
    return 0;
}

int virtgpu_detach(struct aliquot_context *base, struct aliquot_resource *base_resource)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    struct virtgpu_resource *resource = virtgpu_resource(base_resource);
    struct node *node = virtgpu_context(base)->node;

    if (resource->home.node == node) /* it lives there */
        return 0;
    struct attachment *attachment = resource_take_attachment(resource, node);
    if (!attachment)
        return -ENOENT;
    vgpu->drm.close_handle(node->fd, attachment->handle);
    free(attachment);
    return 0;
}

/* ---- submission ----------------------------------------------------------------------------- */

/* Without the lock: 0 or a negative errno. */
static int execute(const struct virtgpu_vgpu *vgpu, const struct node *node, const void *commands,
                   uint32_t bytes, int ring_idx, int *ret_sync_fd)
{
    struct drm_virtgpu_execbuffer args = {
        .size = bytes, .command = (uintptr_t)commands, .fence_fd = -1};

    if (ret_sync_fd)
        args.flags |= VIRTGPU_EXECBUF_FENCE_FD_OUT;
    if (ring_idx != ALIQUOT_RING_NONE) {
        args.flags |= VIRTGPU_EXECBUF_RING_IDX;
        args.ring_idx = (uint32_t)ring_idx;
    }
    if (vgpu->drm.ioctl(node->fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &args) < 0)
        return -errno;
    if (ret_sync_fd)
        *ret_sync_fd = args.fence_fd;
    return 0;
}

int virtgpu_submit(struct aliquot_context *base, const void *commands, uint32_t bytes, int ring_idx,
                   struct aliquot_fence *fence)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    int *sync_fd = fence ? &((struct virtgpu_fence *)fence)->sync_fd : NULL;

    /* The kernel copies the commands, and waits where its ring is full. */
    vgpu_unlock(base->vgpu);
    int result = execute(vgpu, virtgpu_context(base)->node, commands, bytes, ring_idx, sync_fd);
    pthread_mutex_lock(&base->vgpu->lock);
    return result < 0 ? virtgpu_failed(vgpu, "EXECBUFFER", result) : 0;
}

int virtgpu_mark(struct virtgpu_vgpu *vgpu, const struct node *node, int *ret_sync_fd)
{
    int result = execute(vgpu, node, NULL, 0, ALIQUOT_RING_NONE, ret_sync_fd);

    return result < 0 ? virtgpu_failed(vgpu, "EXECBUFFER", result) : 0;
}

int virtgpu_settle(struct virtgpu_vgpu *vgpu, const struct node *node)
{
    int sync_fd = -1;

    int result = virtgpu_mark(vgpu, node, &sync_fd);
    if (result < 0)
        return result;
    result = virtgpu_wait(vgpu, sync_fd, vgpu_deadline_ns(&vgpu->base));
    close(sync_fd);
    return result;
}
