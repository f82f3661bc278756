/* SPDX-License-Identifier: MIT */
#include "tests/unit/gpu_fixture.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The one that the callbacks of the backend, which have no pointer of ours, belong to. */
static struct fixture *current;

/* ---- the transport --------------------------------------------------------------------------- */

static void cmd_free(struct gpu_cmd *cmd)
{
    for (uint32_t i = 0; i < cmd->chain.n_out; i++)
        free(cmd->chain.iov[i].iov_base);
    free(cmd->chain.iov);
    free(cmd);
}

static void on_complete(void *opaque, struct gpu_cmd *cmd)
{
    struct fixture *f = opaque;

    f->order[f->completed++ % FIXTURE_LOG] = cmd->hdr.fence_id;
    f->last_len = cmd->response_len;
    cmd_free(cmd);
}

static void on_flush(void *opaque)
{
    struct fixture *f = opaque;

    if (f->on_flush)
        f->on_flush(f);
}

static void on_config_changed(void *opaque)
{
    ((struct fixture *)opaque)->config_changes++;
}

static void on_resume(void *opaque)
{
    ((struct fixture *)opaque)->resumed++;
}

static void *on_guest_ref(void *opaque, uint64_t gpa, uint64_t *len, void **ret_ref)
{
    struct fixture *f = opaque;
    uint64_t offset = gpa - FIXTURE_GPA;

    for (unsigned i = 0; i < ARRAY_SIZE(f->regions); i++, offset -= FIXTURE_REGION_BYTES) {
        if (offset >= FIXTURE_REGION_BYTES)
            continue;
        *len = MIN(*len, FIXTURE_REGION_BYTES - offset);
        *ret_ref = f->regions[i];
        f->refs++;
        return f->regions[i] + offset;
    }
    return NULL;
}

static void on_guest_unref(void *opaque, void *ref)
{
    struct fixture *f = opaque;

    assert_true(ref == f->regions[0] || ref == f->regions[1]);
    assert_true(f->refs > 0);
    f->refs--;
}

static int on_shmem_map(void *opaque, const struct gpu_shmem_map *map, struct gpu_cmd *cmd)
{
    struct fixture *f = opaque;
    struct stat st;

    if (f->shmem_result < 0)
        return f->shmem_result;
    assert_int_equal(fstat(map->fd, &st), 0);
    assert_true((uint64_t)st.st_size >= map->fd_offset + map->bytes);
    f->shmem_calls[f->n_shmem_calls++ % FIXTURE_LOG] =
        (struct fixture_shmem_call){true, st.st_ino, map->fd_offset, map->offset, map->bytes, cmd};
    return f->shmem_result;
}

static int on_shmem_unmap(void *opaque, uint64_t offset, uint64_t bytes, struct gpu_cmd *cmd)
{
    struct fixture *f = opaque;

    if (f->shmem_result < 0)
        return f->shmem_result;
    f->shmem_calls[f->n_shmem_calls++ % FIXTURE_LOG] =
        (struct fixture_shmem_call){.offset = offset, .bytes = bytes, .cmd = cmd};
    return f->shmem_result;
}

static void on_shmem_clear(void *opaque)
{
    ((struct fixture *)opaque)->n_shmem_clears++;
}

static const struct gpu_device_ops device_ops = {
    .complete = on_complete,
    .flush = on_flush,
    .config_changed = on_config_changed,
    .resume = on_resume,
    .guest_ref = on_guest_ref,
    .guest_unref = on_guest_unref,
    .shmem_map = on_shmem_map,
    .shmem_unmap = on_shmem_unmap,
    .shmem_clear = on_shmem_clear,
};

/* ---- the backend ----------------------------------------------------------------------------- */

static int mock_finish(struct backend *b, unsigned timeout_us)
{
    struct fixture *f = current;

    f->n_finish++;
    return f->finish_result;
}

static int mock_fence(struct backend *b, bool per_context, uint32_t ctx_id, uint32_t ring_idx,
                      uint64_t fence_id)
{
    struct fixture *f = current;
    const struct fixture_fence fence = {per_context, ctx_id, ring_idx, fence_id};

    if (f->fence_result < 0)
        return f->fence_result;
    if (!f->hold_fences)
        return backend_null.fence(b, per_context, ctx_id, ring_idx, fence_id);
    f->fences[f->n_fences++ % FIXTURE_LOG] = fence;
    return 0;
}

static int mock_submit(struct backend *b, uint32_t ctx_id, void *buf, size_t bytes)
{
    struct fixture *f = current;

    assert_int_equal((uintptr_t)buf % 8, 0);
    f->submitted_bytes = bytes;
    memcpy(f->submitted, buf, MIN(bytes, sizeof(f->submitted)));
    return f->submit_result;
}

static int mock_resource_create(struct backend *b, const struct backend_resource_args *args)
{
    if (current->create_result < 0)
        return current->create_result;
    return backend_null.resource_create(b, args);
}

static int mock_resource_back(struct backend *b, uint32_t id, struct iovec *iov, uint32_t count)
{
    if (current->back_result < 0)
        return current->back_result;
    return backend_null.resource_back(b, id, iov, count);
}

static int mock_export_dmabuf(struct backend *b, uint32_t id, struct backend_dmabuf *ret)
{
    if (!current->has_dmabuf)
        return -EOPNOTSUPP;
    *ret = (struct backend_dmabuf){.fd = memfd_create("dmabuf", MFD_CLOEXEC)};
    assert_true(ret->fd >= 0);
    return 0;
}

static uint32_t mock_capset_count(struct backend *b)
{
    return backend_null.capset_count(b) + current->has_venus;
}

static int mock_capset_info(struct backend *b, uint32_t index, uint32_t *ret_id,
                            uint32_t *ret_max_version, uint32_t *ret_max_size)
{
    if (index < backend_null.capset_count(b))
        return backend_null.capset_info(b, index, ret_id, ret_max_version, ret_max_size);
    *ret_id = VIRTIO_GPU_CAPSET_VENUS;
    *ret_max_version = 0;
    *ret_max_size = 160;
    return 0;
}

/* ---- the display ----------------------------------------------------------------------------- */

static struct fixture *of_display(struct gpu_display *d)
{
    return (struct fixture *)((char *)d - offsetof(struct fixture, display));
}

static struct fixture_display_event *record(struct gpu_display *d, enum fixture_display_call call,
                                            uint32_t scanout_id, uint32_t x, uint32_t y, uint32_t w,
                                            uint32_t h)
{
    struct fixture *f = of_display(d);
    struct fixture_display_event *e = &f->events[f->n_events++ % FIXTURE_LOG];

    *e = (struct fixture_display_event){call, scanout_id, x, y, w, h, 0, 0};
    return e;
}

static bool fake_get_display_info(struct gpu_display *d)
{
    struct fixture *f = of_display(d);

    record(d, CALL_INFO, 0, 0, 0, 0, 0);
    if (f->can_ask && f->answers_at_once)
        gpu_device_display_info(f->dev, &f->info);
    return f->can_ask;
}

static bool fake_get_edid(struct gpu_display *d, uint32_t scanout_id)
{
    record(d, CALL_EDID, scanout_id, 0, 0, 0, 0);
    return of_display(d)->can_ask;
}

static void fake_scanout(struct gpu_display *d, uint32_t scanout_id, uint32_t w, uint32_t h)
{
    record(d, CALL_SCANOUT, scanout_id, 0, 0, w, h);
}

static void fake_update(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                        uint32_t w, uint32_t h, const void *pixels)
{
    struct fixture_display_event *e = record(d, CALL_UPDATE, scanout_id, x, y, w, h);
    struct fixture *f = of_display(d);

    assert_true(f->room > 0);
    f->room--;
    memcpy(&e->first_pixel, pixels, 4);
    memcpy(&e->last_pixel, (const uint8_t *)pixels + ((size_t)w * h - 1) * 4, 4);
}

static bool fake_dmabuf_scanout(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                                uint32_t w, uint32_t h, const struct backend_dmabuf *buf)
{
    if (!of_display(d)->takes_dmabuf)
        return false;
    record(d, CALL_DMABUF_SCANOUT, scanout_id, x, y, w, h);
    return true;
}

static void fake_dmabuf_update(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                               uint32_t w, uint32_t h)
{
    record(d, CALL_DMABUF_UPDATE, scanout_id, x, y, w, h);
}

static void fake_cursor_update(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                               uint32_t hot_x, uint32_t hot_y, const uint32_t *argb)
{
    struct fixture_display_event *e = record(d, CALL_CURSOR_UPDATE, scanout_id, x, y, hot_x, hot_y);

    e->first_pixel = argb[0];
    e->last_pixel = argb[64 * 64 - 1];
}

static void fake_cursor_move(struct gpu_display *d, uint32_t scanout_id, uint32_t x, uint32_t y,
                             bool visible)
{
    record(d, CALL_CURSOR_MOVE, scanout_id, x, y, visible, 0);
}

static bool fake_ready(struct gpu_display *d)
{
    return of_display(d)->room > 0;
}

static const struct gpu_display_ops display_ops = {
    .get_display_info = fake_get_display_info,
    .get_edid = fake_get_edid,
    .scanout = fake_scanout,
    .update = fake_update,
    .dmabuf_scanout = fake_dmabuf_scanout,
    .dmabuf_update = fake_dmabuf_update,
    .cursor_update = fake_cursor_update,
    .cursor_move = fake_cursor_move,
    .ready = fake_ready,
};

/* ---- life ------------------------------------------------------------------------------------ */

void fixture_make_device(struct fixture *f, const struct gpu_limits *limits, uint32_t scanouts)
{
    const struct gpu_device_config config = {
        .ops = &device_ops,
        .opaque = f,
        .backend = f->backend,
        .limits = *limits,
        .scanouts = scanouts,
        .dmabuf = !f->by_copy,
        .width = 1280,
        .height = 800,
        .hostmem_bytes = FIXTURE_HOSTMEM_BYTES,
        .stats = &f->stats,
        .ring = f->ring,
        .gate = f->gate,
    };

    gpu_device_destroy(f->dev);
    assert_int_equal(gpu_device_create(&config, &f->dev), 0);
    gpu_device_set_fence_queue(f->dev, f->queue);
    gpu_device_set_features(f->dev, gpu_device_features(f->dev));
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *error;

    assert_non_null(f);
    current = f;
    for (unsigned i = 0; i < ARRAY_SIZE(f->regions); i++) {
        f->regions[i] = calloc(1, FIXTURE_REGION_BYTES);
        assert_non_null(f->regions[i]);
    }
    assert_int_equal(gpu_fence_queue_create(&f->queue), 0);
    const struct backend_config config = {.events = &gpu_fence_queue_events, .opaque = f->queue};
    assert_int_equal(backend_null.create(&config, &f->backend, &error), 0);
    f->ops = backend_null;
    f->ops.fence = mock_fence;
    f->ops.finish = mock_finish;
    f->ops.submit = mock_submit;
    f->ops.resource_create = mock_resource_create;
    f->ops.resource_back = mock_resource_back;
    f->ops.export_dmabuf = mock_export_dmabuf;
    f->ops.capset_count = mock_capset_count;
    f->ops.capset_info = mock_capset_info;
    f->backend->ops = &f->ops;
    f->display.ops = &display_ops;
    f->response_bytes = FIXTURE_RESPONSE_BYTES;
    f->room = 1000;
    fixture_make_device(f, &gpu_limits_default, 2);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    gpu_device_destroy(f->dev);
    backend_null.destroy(f->backend);
    gpu_fence_queue_destroy(f->queue);
    /* All that was handed over came back, and all memory was let go. */
    assert_int_equal(f->handled, f->completed);
    assert_int_equal(f->refs, 0);
    assert_int_equal(atomic_load(&f->stats.resources), 0);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 0);
    assert_int_equal(atomic_load(&f->stats.contexts), 0);
    assert_int_equal(atomic_load(&f->stats.mapped_blobs), 0);
    assert_int_equal(atomic_load(&f->stats.commands), f->completed);
    free(f->regions[0]);
    free(f->regions[1]);
    free(f);
    return 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

uint8_t *fixture_ram(struct fixture *f, uint64_t gpa)
{
    uint64_t offset = gpa - FIXTURE_GPA;

    assert_true(offset < 2 * FIXTURE_REGION_BYTES);
    return f->regions[offset / FIXTURE_REGION_BYTES] + offset % FIXTURE_REGION_BYTES;
}

/* A heap copy of its own for each piece, so that a read past its end is seen. */
static struct iovec piece(const uint8_t *from, size_t len)
{
    struct iovec iov = {.iov_base = malloc(len ? len : 1), .iov_len = len};

    assert_non_null(iov.iov_base);
    memcpy(iov.iov_base, from, len);
    return iov;
}

uint32_t fixture_response(const struct fixture *f)
{
    struct virtio_gpu_ctrl_hdr hdr;

    memcpy(&hdr, f->response, sizeof(hdr));
    return hdr.type;
}

uint32_t fixture_send(struct fixture *f, uint32_t type, void *request, size_t len)
{
    struct gpu_cmd *cmd = calloc(1, sizeof(*cmd));
    struct iovec *iov = calloc(4, sizeof(*iov));
    size_t cut = MIN(len, (size_t)13); /* in the middle of a field of the header */
    unsigned before = f->completed;

    assert_true(cmd && iov);
    if (len >= 4)
        memcpy(request, &type, 4);
    iov[0] = piece(request, cut);
    iov[1] = piece((const uint8_t *)request + cut, len - cut);
    cut = MIN(f->response_bytes, 11u);
    iov[2] = (struct iovec){.iov_base = f->response, .iov_len = cut};
    iov[3] = (struct iovec){.iov_base = f->response + cut, .iov_len = f->response_bytes - cut};
    cmd->queue = f->queue_index;
    cmd->chain = (struct vring_chain){
        .n_out = 2, .n_in = 2, .out_bytes = len, .in_bytes = f->response_bytes, .iov = iov};
    memset(f->response, 0, sizeof(f->response));
    f->handled++;
    f->go_on = gpu_device_handle(f->dev, cmd);
    if (f->completed == before)
        return NOT_COMPLETE;
    return f->last_len ? fixture_response(f) : NO_RESPONSE;
}

void fixture_create_2d(struct fixture *f, uint32_t id, uint32_t w, uint32_t h)
{
    struct virtio_gpu_resource_create_2d req = {
        .resource_id = id, .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, .width = w, .height = h};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), VIRTIO_GPU_RESP_OK_NODATA);
}

void fixture_attach(struct fixture *f, uint32_t id, uint64_t gpa, uint32_t len)
{
    struct {
        struct virtio_gpu_resource_attach_backing fixed;
        struct virtio_gpu_mem_entry entry;
    } req = {.fixed = {.resource_id = id, .nr_entries = 1}, .entry = {.addr = gpa, .length = len}};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, &req),
                     VIRTIO_GPU_RESP_OK_NODATA);
}

void fixture_fill(struct fixture *f, uint32_t id, uint32_t w, uint32_t h, uint32_t pixel)
{
    struct virtio_gpu_transfer_to_host_2d req = {.r = {0, 0, w, h}, .offset = 0, .resource_id = id};

    for (uint32_t i = 0; i < w * h; i++)
        memcpy(fixture_ram(f, FIXTURE_GPA + i * 4), &pixel, 4);
    fixture_attach(f, id, FIXTURE_GPA, w * h * 4);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), VIRTIO_GPU_RESP_OK_NODATA);
}

void fixture_create_ctx(struct fixture *f, uint32_t id)
{
    struct virtio_gpu_ctx_create req = {.hdr.ctx_id = id, .nlen = 4, .debug_name = "test"};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), VIRTIO_GPU_RESP_OK_NODATA);
}

void fixture_create_vulkan_ctx(struct fixture *f, uint32_t id)
{
    struct virtio_gpu_ctx_create req = {.hdr.ctx_id = id, .context_init = VIRTIO_GPU_CAPSET_VENUS};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), VIRTIO_GPU_RESP_OK_NODATA);
}

uint32_t fixture_flush(struct fixture *f, uint32_t id, uint32_t x, uint32_t y, uint32_t w,
                       uint32_t h)
{
    struct virtio_gpu_resource_flush req = {.r = {x, y, w, h}, .resource_id = id};

    return SEND(f, VIRTIO_GPU_CMD_RESOURCE_FLUSH, &req);
}

uint32_t fixture_set_scanout(struct fixture *f, uint32_t scanout, uint32_t id, uint32_t x,
                             uint32_t y, uint32_t w, uint32_t h)
{
    struct virtio_gpu_set_scanout req = {
        .r = {x, y, w, h}, .scanout_id = scanout, .resource_id = id};

    return SEND(f, VIRTIO_GPU_CMD_SET_SCANOUT, &req);
}

void fixture_fence_done(struct fixture *f, const struct fixture_fence *fence)
{
    gpu_fence_queue_events.fence_done(f->queue, fence->ctx_id, fence->ring_idx, fence->fence_id);
    gpu_device_dispatch(f->dev);
}
