/* SPDX-License-Identifier: MIT */
#include "guest-driver/vhost_user/vhost.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- creation ------------------------------------------------------------------------------- */

static int send_create(struct vhost_resource *resource, uint32_t context_id,
                       const struct aliquot_blob_args *args)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    struct ring_command *cmd;
    struct {
        struct virtio_gpu_resource_create_blob head;
        struct virtio_gpu_mem_entry entry;
    } *request;
    uint32_t bytes = sizeof(request->head) + (resource->block ? sizeof(request->entry) : 0);

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, context_id,
                                  sizeof(*request), &cmd, &request);
    if (result < 0)
        return result;
    request->head.resource_id = resource->base.id;
    request->head.blob_mem = args->mem;
    request->head.blob_flags = args->flags;
    request->head.blob_id = args->blob_id;
    request->head.size = args->bytes;
    if (resource->block) {
        request->head.nr_entries = 1;
        request->entry.addr = vhost_gpa(vgpu, resource->block);
        request->entry.length = (uint32_t)resource->block->size;
    }
    result = resource_send_creation(resource, cmd, bytes);
    if (result == 0 && resource->block)
        resource->device_has = true;
    return result;
}

int vhost_blob_create(struct aliquot_vgpu *base, struct aliquot_context *context,
                      const struct aliquot_blob_args *args, struct aliquot_resource **ret)
{
    struct vhost_resource *resource;

    int result = resource_alloc(vhost_vgpu(base),
                                args->mem == ALIQUOT_BLOB_HOST3D ? 0 : args->bytes, &resource);
    if (result < 0)
        return result;
    result = send_create(resource, context ? context->id : 0, args);
    if (result < 0) {
        resource_unref(resource);
        return result;
    }
    *ret = &resource->base;
    return 0;
}

/* ---- the place in the host-visible region -----------------------------------------------------
 */

static void leave_place(struct vhost_resource *resource)
{
    guest_heap_free(&vhost_vgpu_of(resource)->visible.heap, resource->place);
    resource->place = NULL;
    resource->shown = false;
}

static void close_host_fd(struct vhost_resource *resource)
{
    if (resource->host_fd >= 0)
        close(resource->host_fd);
    resource->host_fd = -1;
}

void blob_release(struct vhost_resource *resource)
{
    close_host_fd(resource);
    blob_unmap(&resource->base);
    /* A place that the device did not give back is not given to anybody else, ever; its number is
     * the heap's. */
}

/* The server has shown us what it has before it says that it is there. */
static void mapped(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    struct vhost_resource *resource = cmd->resource;

    host_visible_serve(vgpu, SERVE_ALL_MESSAGES);
    resource->placing--;
    if (vgpu->base.lost) {
        cmd->error = vgpu->base.lost;
        return;
    }
    if (cmd->error) {
        close_host_fd(resource);
        leave_place(resource);
    } else if (resource->host_fd < 0) {
        cmd->error = -EPROTO;
        vgpu_lose(&vgpu->base, -EPROTO, "the server has mapped a blob nowhere");
    } else {
        resource->shown = true;
    }
}

static void unmapped(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    struct vhost_resource *resource = cmd->resource;

    host_visible_serve(vgpu, SERVE_ALL_MESSAGES);
    resource->placing--;
    if (vgpu->base.lost)
        return;
    if (cmd->error == 0 && resource->place)
        leave_place(resource);
}

static void unsent(struct vhost_vgpu *vgpu, struct ring_command *cmd)
{
    cmd->resource->placing--;
}

static bool has_settled(const struct vhost_vgpu *vgpu, const void *arg)
{
    return ((const struct vhost_resource *)arg)->placing == 0;
}

static bool has_progressed(const struct vhost_vgpu *vgpu, const void *arg)
{
    return vgpu->completions != *(const uint64_t *)arg;
}

/* Finds a place, waiting for others to leave theirs. */
static int take_place(struct vhost_resource *resource, int64_t deadline_ns, uint64_t *ret_offset)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    struct guest_block *place = NULL;

    for (;;) {
        int result = guest_heap_alloc(&vgpu->visible.heap, resource->base.blob_bytes, &place);
        if (result == 0 && place) {
            resource->place = place;
            *ret_offset = place->offset;
            return 0;
        }
        if (result != -ENOSPC)
            return result;
        if (resource->base.blob_bytes > vgpu->visible.heap.size_bytes || vgpu->in_flight == 0)
            return -ENOMEM;
        uint64_t before = vgpu->completions;
        result = ring_wait(vgpu, has_progressed, &before, deadline_ns);
        if (result < 0)
            return result;
    }
}

/* Sends a MAP or UNMAP, and waits for its answer if wait. */
static int send_placing(struct vhost_resource *resource, struct ring_command *cmd,
                        uint32_t request_bytes, command_done_fn on_done, bool wait)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    int result;

    cmd->resource = resource_ref(resource);
    cmd->on_done = on_done;
    cmd->on_unsent = unsent;
    resource->placing++;
    result = wait ? ring_call(vgpu, cmd, request_bytes) : ring_send(vgpu, cmd, request_bytes);
    if (result == 0 && wait)
        ring_command_put(vgpu, cmd);
    return result;
}

static int send_map(struct vhost_resource *resource, uint64_t offset)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    struct ring_command *cmd;
    struct virtio_gpu_resource_map_blob *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, 0, sizeof(*request), &cmd,
                                  &request);
    if (result < 0)
        return result;
    request->resource_id = resource->base.id;
    request->offset = offset;
    cmd->expect = VIRTIO_GPU_RESP_OK_MAP_INFO;
    cmd->response_capacity = sizeof(struct virtio_gpu_resp_map_info);
    return send_placing(resource, cmd, sizeof(*request), mapped, true);
}

static int send_unmap(struct vhost_resource *resource, bool wait)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    struct ring_command *cmd;
    struct virtio_gpu_resource_unmap_blob *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 0, sizeof(*request),
                                  &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->base.id;
    return send_placing(resource, cmd, sizeof(*request), unmapped, wait);
}

void blob_hide(struct vhost_resource *resource)
{
    if (!resource->place)
        return;
    close_host_fd(resource);
    /* A server that asks before it goes on would wait for us as long as nobody here waits for it:
     * a program that waits by looking at memory would see nothing happen. */
    send_unmap(resource, vhost_vgpu_of(resource)->visible.asks);
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Sees to it that the descriptor is there. Alone for this resource. */
static int get_shown(struct vhost_resource *resource, int64_t deadline_ns)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    uint64_t offset = 0;

    /* A command that was not waited for long enough. */
    int result = ring_wait(vgpu, has_settled, resource, deadline_ns);
    if (result < 0 || resource->host_fd >= 0)
        return result;
    /* It was mapped before, and the descriptor is gone: the device shows it once more. */
    if (resource->place)
        result = send_unmap(resource, true);
    if (result == 0)
        result = take_place(resource, deadline_ns, &offset);
    if (result < 0)
        return result;
    result = send_map(resource, offset);
    if (result < 0 && resource->place && resource->placing == 0)
        leave_place(resource); /* it was not even sent */
    return result;
}

static bool is_idle(const struct vhost_vgpu *vgpu, const void *arg)
{
    return !((const struct vhost_resource *)arg)->mapping;
}

/* Gets the descriptor, which is the caller's then, and its offset. */
static int take_host_fd(struct vhost_resource *resource, int *ret_fd, uint64_t *ret_offset)
{
    struct vhost_vgpu *vgpu = vhost_vgpu_of(resource);
    int64_t deadline_ns = vgpu_deadline_ns(&vgpu->base);

    if (vgpu->visible.sock < 0)
        return -EOPNOTSUPP;
    int result = ring_wait(vgpu, is_idle, resource, deadline_ns);
    if (result == 0)
        result = vgpu->base.lost;
    if (result < 0)
        return result;
    resource->mapping = true;
    result = get_shown(resource, deadline_ns);
    if (result == 0) {
        *ret_fd = resource->host_fd;
        *ret_offset = resource->host_fd_offset;
        resource->host_fd = -1;
    }
    resource->mapping = false;
    ring_wake(vgpu);
    return result;
}

int vhost_blob_mmap(struct aliquot_resource *base, size_t length, int prot, int flags,
                    uint64_t offset, void **address)
{
    uint64_t fd_offset = 0;
    int fd = -1;

    int result = take_host_fd(vhost_resource(base), &fd, &fd_offset);
    if (result < 0)
        return result;
    void *mapped_at = mmap(*address, length, prot, flags, fd, (off_t)(fd_offset + offset));
    result = mapped_at == MAP_FAILED ? -errno : 0;
    close(fd);
    if (result == 0)
        *address = mapped_at;
    return result;
}
