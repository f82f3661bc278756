/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* A blob without bounds would be refused by the device; this keeps our arithmetic safe. */
#define BLOB_MAX_BYTES (1ull << 46)

#define KNOWN_FLAGS (ALIQUOT_BLOB_MAPPABLE | ALIQUOT_BLOB_SHAREABLE | ALIQUOT_BLOB_CROSS_DEVICE)

static bool has_feature(const struct aliquot_vgpu *vgpu, unsigned bit)
{
    return vgpu->front.features & (1ull << bit);
}

/* ---- creation ------------------------------------------------------------------------------- */

static int check_args(const struct aliquot_vgpu *vgpu, const struct aliquot_context *context,
                      const struct aliquot_blob_args *args)
{
    bool on_host = args->mem != ALIQUOT_BLOB_GUEST;

    if (!has_feature(vgpu, VIRTIO_GPU_F_RESOURCE_BLOB) ||
        (on_host && !has_feature(vgpu, VIRTIO_GPU_F_VIRGL)))
        return -EOPNOTSUPP;
    if (args->mem < ALIQUOT_BLOB_GUEST || args->mem > ALIQUOT_BLOB_HOST3D_GUEST ||
        (args->flags & ~KNOWN_FLAGS) || args->reserved || args->bytes == 0 ||
        args->bytes % GUEST_HEAP_GRANULE != 0 || args->bytes > BLOB_MAX_BYTES)
        return -EINVAL;
    if (on_host ? !context || context->vgpu != vgpu : args->blob_id != 0)
        return -EINVAL;
    return 0;
}

/* Under the lock. */
static int send_create(struct aliquot_resource *resource, uint32_t context_id,
                       const struct aliquot_blob_args *args)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
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
    request->head.resource_id = resource->id;
    request->head.blob_mem = args->mem;
    request->head.blob_flags = args->flags;
    request->head.blob_id = args->blob_id;
    request->head.size = args->bytes;
    if (resource->block) {
        request->head.nr_entries = 1;
        request->entry.addr = vgpu_gpa(vgpu, resource->block);
        request->entry.length = (uint32_t)resource->block->size;
    }
    result = resource_send_creation(resource, cmd, bytes);
    if (result == 0 && resource->block)
        resource->device_has = true;
    return result;
}

int aliquot_resource_create_blob(struct aliquot_vgpu *vgpu, struct aliquot_context *context,
                                 const struct aliquot_blob_args *args,
                                 struct aliquot_resource **ret)
{
    struct aliquot_resource *resource;
    int result = check_args(vgpu, context, args);

    if (result == 0)
        result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = resource_alloc(vgpu, args->mem == ALIQUOT_BLOB_HOST3D ? 0 : args->bytes, &resource);
    if (result == 0) {
        resource->blob_bytes = args->bytes;
        resource->blob_mem = args->mem;
        resource->blob_flags = args->flags;
        result = send_create(resource, context ? context->id : 0, args);
        if (result == 0) {
            resource_publish(resource);
            *ret = resource;
        } else {
            resource_unref(resource);
        }
    }
    vgpu_unlock(vgpu);
    return result;
}

/* ---- the place in the host-visible region: all under the lock ---------------------------------
 */

static void leave_place(struct aliquot_resource *resource)
{
    guest_heap_free(&resource->vgpu->visible.heap, resource->place);
    resource->place = NULL;
    resource->shown = false;
}

static void close_host_fd(struct aliquot_resource *resource)
{
    if (resource->host_fd >= 0)
        close(resource->host_fd);
    resource->host_fd = -1;
}

void blob_release(struct aliquot_resource *resource)
{
    close_host_fd(resource);
    if (resource->host_memory)
        munmap(resource->host_memory, resource->blob_bytes);
    resource->host_memory = NULL;
    /* A place that the device did not give back is not given to anybody else, ever; its number is
     * the heap's. */
}

/* The server has shown us what it has before it says that it is there. */
static void mapped(struct aliquot_vgpu *vgpu, struct ring_command *cmd)
{
    struct aliquot_resource *resource = cmd->resource;

    host_visible_serve(vgpu, SERVE_ALL_MESSAGES);
    resource->placing--;
    if (vgpu->lost) {
        cmd->error = vgpu->lost;
        return;
    }
    if (cmd->error) {
        close_host_fd(resource);
        leave_place(resource);
    } else if (resource->host_fd < 0) {
        cmd->error = -EPROTO;
        vgpu_lose(vgpu, -EPROTO, "the server has mapped a blob nowhere");
    } else {
        resource->shown = true;
    }
}

static void unmapped(struct aliquot_vgpu *vgpu, struct ring_command *cmd)
{
    struct aliquot_resource *resource = cmd->resource;

    host_visible_serve(vgpu, SERVE_ALL_MESSAGES);
    resource->placing--;
    if (vgpu->lost)
        return;
    if (cmd->error == 0 && resource->place)
        leave_place(resource);
}

static void unsent(struct aliquot_vgpu *vgpu, struct ring_command *cmd)
{
    cmd->resource->placing--;
}

static bool has_settled(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return ((const struct aliquot_resource *)arg)->placing == 0;
}

static bool has_progressed(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return vgpu->completions != *(const uint64_t *)arg;
}

/* Finds a place, waiting for others to leave theirs. */
static int take_place(struct aliquot_resource *resource, int64_t deadline_ns, uint64_t *ret_offset)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    struct guest_block *place = NULL;

    for (;;) {
        int result = guest_heap_alloc(&vgpu->visible.heap, resource->blob_bytes, &place);
        if (result == 0 && place) {
            resource->place = place;
            *ret_offset = place->offset;
            return 0;
        }
        if (result != -ENOSPC)
            return result;
        if (resource->blob_bytes > vgpu->visible.heap.size_bytes || vgpu->in_flight == 0)
            return -ENOMEM;
        uint64_t before = vgpu->completions;
        result = ring_wait(vgpu, has_progressed, &before, deadline_ns);
        if (result < 0)
            return result;
    }
}

/* Sends a MAP or UNMAP, and waits for its answer if wait. */
static int send_placing(struct aliquot_resource *resource, struct ring_command *cmd,
                        uint32_t request_bytes, command_done_fn on_done, bool wait)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
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

static int send_map(struct aliquot_resource *resource, uint64_t offset)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    struct ring_command *cmd;
    struct virtio_gpu_resource_map_blob *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, 0, sizeof(*request), &cmd,
                                  &request);
    if (result < 0)
        return result;
    request->resource_id = resource->id;
    request->offset = offset;
    cmd->expect = VIRTIO_GPU_RESP_OK_MAP_INFO;
    cmd->response_capacity = sizeof(struct virtio_gpu_resp_map_info);
    return send_placing(resource, cmd, sizeof(*request), mapped, true);
}

static int send_unmap(struct aliquot_resource *resource, bool wait)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    struct ring_command *cmd;
    struct virtio_gpu_resource_unmap_blob *request;

    int result = ring_command_get(vgpu, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 0, sizeof(*request),
                                  &cmd, &request);
    if (result < 0)
        return result;
    request->resource_id = resource->id;
    return send_placing(resource, cmd, sizeof(*request), unmapped, wait);
}

void blob_hide(struct aliquot_resource *resource)
{
    if (!resource->place)
        return;
    close_host_fd(resource);
    /* A server that asks before it goes on would wait for us as long as nobody here waits for it:
     * a program that waits by looking at memory would see nothing happen. */
    send_unmap(resource, resource->vgpu->visible.asks);
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Sees to it that the descriptor is there. Under the lock, alone for this resource. */
static int get_shown(struct aliquot_resource *resource, int64_t deadline_ns)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
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

static bool is_idle(const struct aliquot_vgpu *vgpu, const void *arg)
{
    return !((const struct aliquot_resource *)arg)->mapping;
}

/* Gets the descriptor, which is the caller's then, and its offset. Under the lock. */
static int take_host_fd(struct aliquot_resource *resource, int *ret_fd, uint64_t *ret_offset)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    int64_t deadline_ns = vgpu_deadline_ns(vgpu);

    if (resource->blob_bytes == 0 || resource->block ||
        !(resource->blob_flags & ALIQUOT_BLOB_MAPPABLE))
        return -EINVAL;
    if (vgpu->visible.sock < 0)
        return -EOPNOTSUPP;
    int result = ring_wait(vgpu, is_idle, resource, deadline_ns);
    if (result == 0)
        result = vgpu->lost;
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

int aliquot_blob_mmap(struct aliquot_resource *resource, size_t length, int prot, int flags,
                      uint64_t offset, void **address)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    uint64_t fd_offset = 0;
    int fd = -1;

    if (length == 0 || offset % GUEST_HEAP_GRANULE != 0 || offset >= resource->blob_bytes ||
        length > resource->blob_bytes - offset)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    result = take_host_fd(resource, &fd, &fd_offset);
    vgpu_unlock(vgpu);
    if (result < 0)
        return result;
    void *mapped_at = mmap(*address, length, prot, flags, fd, (off_t)(fd_offset + offset));
    result = mapped_at == MAP_FAILED ? -errno : 0;
    close(fd);
    if (result == 0)
        *address = mapped_at;
    return result;
}

int aliquot_blob_map(struct aliquot_resource *resource, void **ret, size_t *ret_bytes)
{
    struct aliquot_vgpu *vgpu = resource->vgpu;
    void *memory = NULL;

    if (resource->blob_bytes == 0)
        return -EINVAL;
    int result = vgpu_lock(vgpu);
    if (result < 0)
        return result;
    memory = resource->block ? vgpu_pointer(vgpu, resource->block) : resource->host_memory;
    vgpu_unlock(vgpu);
    if (!memory) {
        result = aliquot_blob_mmap(resource, resource->blob_bytes, PROT_READ | PROT_WRITE,
                                   MAP_SHARED, 0, &memory);
        if (result < 0)
            return result;
        result = vgpu_lock_lost(vgpu);
        if (result == 0 && resource->host_memory) { /* two at once: the first one's it is */
            munmap(memory, resource->blob_bytes);
            memory = resource->host_memory;
        }
        resource->host_memory = memory;
        if (result == 0)
            vgpu_unlock(vgpu);
    }
    *ret = memory;
    if (ret_bytes)
        *ret_bytes = resource->blob_bytes;
    return 0;
}
