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
    struct aliquot_vgpu *vgpu = base->vgpu;
    struct attachment *taken = NULL, *a;

    /* The node stays open as long as there are resources that were made in it. */
    for (struct aliquot_resource *r = vgpu->resources; r; r = r->next) {
        a = resource_take_attachment(virtgpu_resource(r), virtgpu_context(base)->node);
        if (a) {
            a->next = taken;
            taken = a;
        }
    }
    vgpu_unlock(vgpu);
    while ((a = taken)) {
        taken = a->next;
        attachment_close(&virtgpu_vgpu(vgpu)->drm, a);
    }
    virtgpu_context_release(base);
    pthread_mutex_lock(&vgpu->lock);
}

/* Gives the object a handle in another node, without the lock: 0 or a negative errno. */
static int share_object(const struct libdrm *drm, const struct attachment *home,
                        struct attachment *other)
{
    int fd;

    if (drm->prime_export(home->node->fd, home->handle, DRM_CLOEXEC | DRM_RDWR, &fd) != 0)
        return -errno;
    int result = drm->prime_import(other->node->fd, fd, &other->handle) != 0 ? -errno : 0;
    close(fd);
    return result;
}

/* With vgpu->attaching. */
static int add_attachment(struct virtgpu_resource *resource, struct node *node)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(resource->base.vgpu);

    if (resource_attachment(resource, node))
        return 0;
    struct attachment *attachment = calloc(1, sizeof(*attachment));
    if (!attachment)
        return -ENOMEM;
    attachment->node = node;
    vgpu_unlock(&vgpu->base);
    int result = share_object(&vgpu->drm, &resource->home, attachment);
    pthread_mutex_lock(&vgpu->base.lock);
    if (result < 0) {
        free(attachment);
        return virtgpu_failed(vgpu,
                              resource->base.blob_bytes
                                  ? "attaching a blob, which takes ALIQUOT_BLOB_SHAREABLE"
                                  : "attaching a resource",
                              result);
    }
    atomic_fetch_add(&node->users, 1);
    attachment->next = resource->others;
    resource->others = attachment;
    return 0;
}

int virtgpu_attach(struct aliquot_context *base, struct aliquot_resource *base_resource)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);

    int result = virtgpu_begin_attaching(vgpu);
    if (result < 0)
        return result;
    result = add_attachment(virtgpu_resource(base_resource), virtgpu_context(base)->node);
    pthread_mutex_unlock(&vgpu->attaching);
    return result;
}

int virtgpu_detach(struct aliquot_context *base, struct aliquot_resource *base_resource)
{
    struct virtgpu_vgpu *vgpu = virtgpu_vgpu(base->vgpu);
    struct virtgpu_resource *resource = virtgpu_resource(base_resource);
    struct node *node = virtgpu_context(base)->node;

    if (resource->home.node == node) /* it lives there */
        return 0;
    int result = virtgpu_begin_attaching(vgpu);
    if (result < 0)
        return result;
    struct attachment *attachment = resource_take_attachment(resource, node);
    if (attachment) {
        vgpu_unlock(&vgpu->base);
        attachment_close(&vgpu->drm, attachment);
        pthread_mutex_lock(&vgpu->base.lock);
    }
    pthread_mutex_unlock(&vgpu->attaching);
    return attachment ? 0 : -ENOENT;
}

/* ---- submission ----------------------------------------------------------------------------- */

/* The kernel copies the commands. ret_sync_fd may be NULL. */
static int execute(struct virtgpu_vgpu *vgpu, const struct node *node, const void *commands,
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
    int result = virtgpu_ioctl(vgpu, node, DRM_IOCTL_VIRTGPU_EXECBUFFER, &args, "EXECBUFFER");
    if (result == 0 && ret_sync_fd)
        *ret_sync_fd = args.fence_fd;
    return result;
}

int virtgpu_submit(struct aliquot_context *base, const void *commands, uint32_t bytes, int ring_idx,
                   struct aliquot_fence *fence)
{
    int *sync_fd = fence ? &((struct virtgpu_fence *)fence)->sync_fd : NULL;

    return execute(virtgpu_vgpu(base->vgpu), virtgpu_context(base)->node, commands, bytes, ring_idx,
                   sync_fd);
}

int virtgpu_mark(struct virtgpu_vgpu *vgpu, const struct node *node, int *ret_sync_fd)
{
    return execute(vgpu, node, NULL, 0, ALIQUOT_RING_NONE, ret_sync_fd);
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
