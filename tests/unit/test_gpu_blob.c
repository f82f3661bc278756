/* SPDX-License-Identifier: MIT */
/* Blobs of the device model: making, mapping and showing them. The front-end is the fixture's. */
#include "tests/unit/gpu_fixture.h"

#include <string.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define MAPPED VIRTIO_GPU_RESP_OK_MAP_INFO
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_CONTEXT VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define PAGE 4096u

static uint32_t create(struct fixture *f, struct virtio_gpu_resource_create_blob req)
{
    return SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, &req);
}

/* Of the host's memory, as large as bytes. */
static struct virtio_gpu_resource_create_blob host_blob(uint32_t id, uint64_t blob_id,
                                                        uint64_t bytes)
{
    return (struct virtio_gpu_resource_create_blob){
        .hdr.ctx_id = 1,
        .resource_id = id,
        .blob_mem = VIRTIO_GPU_BLOB_MEM_HOST3D,
        .blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE,
        .blob_id = blob_id,
        .size = bytes,
    };
}

/* With one entry of guest memory. */
static uint32_t create_backed(struct fixture *f, uint32_t id, uint32_t mem, uint64_t bytes,
                              uint32_t backed_bytes)
{
    struct {
        struct virtio_gpu_resource_create_blob fixed;
        struct virtio_gpu_mem_entry entry;
    } req = {
        .fixed = {.resource_id = id, .blob_mem = mem, .nr_entries = 1, .size = bytes},
        .entry = {.addr = FIXTURE_GPA, .length = backed_bytes},
    };

    if (mem != VIRTIO_GPU_BLOB_MEM_GUEST) {
        req.fixed.hdr.ctx_id = 1;
        req.fixed.blob_id = id;
        req.fixed.blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE;
    }
    return SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, &req);
}

static uint32_t map(struct fixture *f, uint32_t id, uint64_t offset)
{
    struct virtio_gpu_resource_map_blob req = {.resource_id = id, .offset = offset};

    return SEND(f, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, &req);
}

static uint32_t unmap(struct fixture *f, uint32_t id)
{
    struct virtio_gpu_resource_unmap_blob req = {.resource_id = id};

    return SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, &req);
}

static uint32_t unref(struct fixture *f, uint32_t id)
{
    struct virtio_gpu_resource_unref req = {.resource_id = id};

    return SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &req);
}

static struct fixture_shmem_call *last_call(struct fixture *f)
{
    assert_true(f->n_shmem_calls > 0);
    return &f->shmem_calls[(f->n_shmem_calls - 1) % FIXTURE_LOG];
}

/* The front-end answers the last request; returns what the guest is told. */
static uint32_t answer(struct fixture *f, int result)
{
    unsigned before = f->completed;

    gpu_device_shmem_done(f->dev, last_call(f)->cmd, result);
    assert_int_equal(f->completed, before + 1);
    return fixture_response(f);
}

static void map_now(struct fixture *f, uint32_t id, uint64_t offset)
{
    assert_int_equal(map(f, id, offset), NOT_COMPLETE);
    assert_int_equal(answer(f, 0), MAPPED);
}

static uint64_t charged(const struct fixture *f)
{
    return atomic_load(&f->stats.resource_bytes);
}

static uint64_t mapped(const struct fixture *f)
{
    return atomic_load(&f->stats.mapped_blobs);
}

/* ---- making them ----------------------------------------------------------------------------- */

static void creates_and_charges(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, 4 * PAGE)), OK);
    assert_int_equal(charged(f), 4 * PAGE);
    assert_int_equal(create_backed(f, 2, VIRTIO_GPU_BLOB_MEM_GUEST, PAGE, PAGE), OK);
    assert_int_equal(f->refs, 1);
    assert_true(charged(f) < 5 * PAGE); /* the list of pages alone */
    assert_int_equal(create_backed(f, 3, VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST, PAGE, PAGE), OK);
    assert_int_equal(f->refs, 2);
    for (uint32_t id = 1; id <= 3; id++)
        assert_int_equal(unref(f, id), OK);
    assert_int_equal(charged(f), 0);
    assert_int_equal(f->refs, 0);
}

static void refuses_bad_blobs(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_create_blob bad;

    fixture_create_ctx(f, 1);
    fixture_create_ctx(f, 2);
    assert_int_equal(create(f, host_blob(1, 7, PAGE)), OK);

    assert_int_equal(create(f, host_blob(0, 8, PAGE)), BAD_RESOURCE);
    assert_int_equal(create(f, host_blob(1, 8, PAGE)), BAD_RESOURCE);
    assert_int_equal(create(f, host_blob(2, 8, 0)), BAD_PARAMETER);
    assert_int_equal(create(f, host_blob(2, 8, PAGE + 1)), BAD_PARAMETER);
    assert_int_equal(create(f, host_blob(2, 8, 1ull << 63)), NO_MEMORY);
    assert_int_equal(create(f, host_blob(2, 8, UINT64_MAX & ~(PAGE - 1ull))), NO_MEMORY);
    assert_int_equal(create(f, host_blob(2, 0, PAGE)), BAD_PARAMETER);
    assert_int_equal(create(f, host_blob(2, 7, PAGE)), BAD_PARAMETER); /* doubled */
    bad = host_blob(2, 8, PAGE);
    bad.hdr.ctx_id = 0;
    assert_int_equal(create(f, bad), BAD_CONTEXT);
    bad.hdr.ctx_id = 3;
    assert_int_equal(create(f, bad), BAD_CONTEXT);
    bad = host_blob(2, 8, PAGE);
    bad.blob_mem = 0;
    assert_int_equal(create(f, bad), BAD_PARAMETER);
    bad.blob_mem = 4;
    assert_int_equal(create(f, bad), BAD_PARAMETER);
    bad = host_blob(2, 8, PAGE);
    bad.blob_flags = 8;
    assert_int_equal(create(f, bad), BAD_PARAMETER);
    bad = host_blob(2, 8, PAGE);
    bad.nr_entries = 1; /* which are not there either */
    assert_int_equal(create(f, bad), BAD_PARAMETER);
    bad.blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST;
    assert_int_equal(create(f, bad), BAD_PARAMETER);
    bad.blob_id = 0;
    assert_int_equal(create(f, bad), BAD_PARAMETER);
    assert_int_equal(create_backed(f, 2, VIRTIO_GPU_BLOB_MEM_GUEST, 2 * PAGE, PAGE), BAD_PARAMETER);
    assert_int_equal(create_backed(f, 2, VIRTIO_GPU_BLOB_MEM_GUEST, PAGE, 0x7fffffff),
                     BAD_PARAMETER);

    /* Nothing of that is left over, and the same object of another context is another one. */
    assert_int_equal(charged(f), PAGE);
    assert_int_equal(f->refs, 0);
    bad = host_blob(2, 7, PAGE);
    bad.hdr.ctx_id = 2;
    assert_int_equal(create(f, bad), OK);
}

static void keeps_to_the_limit_of_memory(void **state)
{
    struct fixture *f = *state;
    struct gpu_limits limits = gpu_limits_default;

    limits.max_total_bytes = 16 * PAGE;
    fixture_make_device(f, &limits, 1);
    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 1, 12 * PAGE)), OK);
    assert_int_equal(create(f, host_blob(2, 2, 8 * PAGE)), NO_MEMORY);
    assert_int_equal(unref(f, 1), OK);
    assert_int_equal(create(f, host_blob(2, 2, 8 * PAGE)), OK);
}

/* What Vulkan allocates, the layer has counted. */
static void charges_no_memory_of_vulkan_twice(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_create_blob blob = host_blob(1, 7, 4 * PAGE);

    f->has_venus = true;
    fixture_make_device(f, &gpu_limits_default, 1);
    fixture_create_vulkan_ctx(f, 2);
    blob.hdr.ctx_id = 2;
    assert_int_equal(create(f, blob), OK);
    assert_int_equal(charged(f), 0);
    assert_int_equal(unref(f, 1), OK);
}

static void guest_memory_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_detach_backing detach = {.resource_id = 1};
    struct {
        struct virtio_gpu_resource_attach_backing fixed;
        struct virtio_gpu_mem_entry entry;
    } attach = {.fixed = {.resource_id = 1, .nr_entries = 1},
                .entry = {.addr = FIXTURE_GPA, .length = PAGE}};

    fixture_create_ctx(f, 1);
    assert_int_equal(create_backed(f, 1, VIRTIO_GPU_BLOB_MEM_GUEST, PAGE, PAGE), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, &detach), OK);
    assert_int_equal(f->refs, 0);
    attach.entry.length = PAGE - 1;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, &attach), BAD_PARAMETER);
    attach.entry.length = PAGE;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, &attach), OK);
    assert_int_equal(f->refs, 1);

    /* The host's memory has none. */
    assert_int_equal(create(f, host_blob(2, 1, PAGE)), OK);
    attach.fixed.resource_id = 2;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, &attach), BAD_PARAMETER);
}

/* ---- the host-visible region ----------------------------------------------------------------- */

static void maps_when_the_front_end_says_so(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resp_map_info info;

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, 2 * PAGE)), OK);
    assert_int_equal(map(f, 1, PAGE), NOT_COMPLETE);
    assert_true(f->go_on);
    assert_true(last_call(f)->map);
    assert_int_equal(last_call(f)->offset, PAGE);
    assert_int_equal(last_call(f)->bytes, 2 * PAGE);

    /* Others are served meanwhile; the blob is neither to be had nor to be rid of. */
    fixture_create_2d(f, 9, 8, 8);
    assert_int_equal(map(f, 1, 4 * PAGE), UNSPEC);
    assert_int_equal(unmap(f, 1), UNSPEC);
    assert_int_equal(unref(f, 1), UNSPEC);
    assert_int_equal(create(f, host_blob(2, 8, PAGE)), OK);
    assert_int_equal(map(f, 2, 2 * PAGE), BAD_PARAMETER); /* the place is taken */

    gpu_device_shmem_done(f->dev, last_call(f)->cmd, 0);
    memcpy(&info, f->response, sizeof(info));
    assert_int_equal(info.hdr.type, MAPPED);
    assert_int_equal(info.map_info, VIRTIO_GPU_MAP_CACHE_CACHED);
    assert_int_equal(f->last_len, sizeof(info));
    assert_int_equal(mapped(f), 1);

    assert_int_equal(map(f, 1, 4 * PAGE), UNSPEC);
    assert_int_equal(unref(f, 1), UNSPEC);
    assert_int_equal(unmap(f, 1), NOT_COMPLETE);
    assert_true(f->go_on);
    assert_false(last_call(f)->map);
    assert_int_equal(last_call(f)->offset, PAGE);
    assert_int_equal(mapped(f), 0);
    /* A driver need not wait to drop it, and the place is free. */
    struct gpu_cmd *waits = last_call(f)->cmd;
    assert_int_equal(unref(f, 1), OK);
    map_now(f, 2, PAGE);
    gpu_device_shmem_done(f->dev, waits, 0);
    assert_int_equal(fixture_response(f), OK);
    assert_int_equal(unmap(f, 2), NOT_COMPLETE);
    assert_int_equal(answer(f, 0), OK);
}

static void what_is_done_at_once_is_answered_at_once(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resp_map_info info;

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, 2 * PAGE)), OK);
    assert_int_equal(create(f, host_blob(2, 8, PAGE)), OK);
    f->shmem_result = 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(map(f, 1, PAGE), MAPPED);
        memcpy(&info, f->response, sizeof(info));
        assert_int_equal(info.map_info, VIRTIO_GPU_MAP_CACHE_CACHED);
        assert_int_equal(f->last_len, sizeof(info));
        assert_int_equal(mapped(f), 1);
        assert_int_equal(map(f, 2, 2 * PAGE), BAD_PARAMETER); /* the place is taken */
        assert_int_equal(unref(f, 1), UNSPEC);
        assert_int_equal(unmap(f, 1), OK);
        assert_int_equal(mapped(f), 0);
        assert_int_equal(unmap(f, 1), UNSPEC);
    }
    /* One that is mapped when the driver starts anew. */
    assert_int_equal(map(f, 2, 0), MAPPED);
    gpu_device_reset(f->dev);
    assert_int_equal(mapped(f), 0);
    assert_int_equal(f->n_shmem_clears, 1);
}

static void a_refused_map_leaves_nothing(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, PAGE)), OK);
    assert_int_equal(map(f, 1, 0), NOT_COMPLETE);
    assert_int_equal(answer(f, -EIO), UNSPEC);
    assert_int_equal(mapped(f), 0);
    f->shmem_result = -EOPNOTSUPP;
    assert_int_equal(map(f, 1, 0), UNSPEC);
    f->shmem_result = -ENOMEM;
    assert_int_equal(map(f, 1, 0), NO_MEMORY);
    assert_int_equal(unmap(f, 1), UNSPEC);
    f->shmem_result = 0;
    map_now(f, 1, 0);

    /* What the front-end does not take away is not ours to count. */
    assert_int_equal(unmap(f, 1), NOT_COMPLETE);
    assert_int_equal(answer(f, -EIO), UNSPEC);
    map_now(f, 1, 0);
    f->shmem_result = -EPIPE;
    assert_int_equal(unmap(f, 1), UNSPEC);
    assert_int_equal(mapped(f), 0);
    assert_int_equal(unref(f, 1), OK);
}

static void refuses_bad_maps(void **state)
{
    struct fixture *f = *state;
    const uint64_t end = FIXTURE_HOSTMEM_BYTES;
    const uint64_t outside[] = {
        1,   PAGE - 1,         end - PAGE,           end,  end + PAGE, 1ull << 63,
        ~0u, ~0ull - PAGE + 1, ~0ull - 2 * PAGE + 1, ~0ull};
    struct virtio_gpu_resource_create_blob hidden = host_blob(2, 8, PAGE);

    fixture_create_ctx(f, 1);
    fixture_create_2d(f, 9, 8, 8);
    assert_int_equal(create(f, host_blob(1, 7, 2 * PAGE)), OK);
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++)
        assert_int_equal(map(f, 1, outside[i]), BAD_PARAMETER);
    map_now(f, 1, end - 2 * PAGE); /* just so */

    hidden.blob_flags = 0;
    assert_int_equal(create(f, hidden), OK);
    assert_int_equal(map(f, 2, 0), BAD_PARAMETER);
    assert_int_equal(create_backed(f, 3, VIRTIO_GPU_BLOB_MEM_GUEST, PAGE, PAGE), OK);
    assert_int_equal(map(f, 3, 0), BAD_PARAMETER);
    assert_int_equal(map(f, 9, 0), BAD_RESOURCE); /* no blob */
    assert_int_equal(map(f, 4, 0), BAD_RESOURCE);
    assert_int_equal(unmap(f, 9), BAD_RESOURCE);
    assert_int_equal(unmap(f, 4), BAD_RESOURCE);
    assert_int_equal(unmap(f, 2), UNSPEC);

    assert_int_equal(create(f, host_blob(5, 9, 2 * PAGE)), OK);
    for (uint64_t at = end - 3 * PAGE; at < end; at += PAGE)
        assert_int_equal(map(f, 5, at), BAD_PARAMETER); /* overlaps */
    map_now(f, 5, end - 4 * PAGE);
    assert_int_equal(f->n_shmem_calls, 2);
}

static void maps_no_more_than_qemu_can_bear(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    for (uint32_t i = 1; i <= GPU_MAPPINGS_MAX + 1; i++)
        assert_int_equal(create(f, host_blob(i, i, PAGE)), OK);
    for (uint32_t i = 1; i <= GPU_MAPPINGS_MAX; i++)
        map_now(f, i, i * PAGE);
    assert_int_equal(map(f, GPU_MAPPINGS_MAX + 1, 0), NO_MEMORY);
    assert_int_equal(unmap(f, 1), NOT_COMPLETE);
    assert_int_equal(answer(f, 0), OK);
    map_now(f, GPU_MAPPINGS_MAX + 1, 0);
}

static void reset_answers_what_waits(void **state)
{
    struct fixture *f = *state;
    unsigned before;

    fixture_create_ctx(f, 1);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(create(f, host_blob(i, i, PAGE)), OK);
    map_now(f, 1, 0);
    map_now(f, 2, PAGE);
    assert_int_equal(unmap(f, 2), NOT_COMPLETE);
    assert_int_equal(map(f, 3, 2 * PAGE), NOT_COMPLETE);
    before = f->completed;
    gpu_device_reset(f->dev);
    assert_int_equal(f->completed, before + 2);
    assert_int_equal(f->n_shmem_clears, 1);
    assert_int_equal(mapped(f), 0);
    assert_int_equal(charged(f), 0);
}

static void a_fenced_map_keeps_its_place(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_map_blob req = {
        .hdr = {.flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 5}, .resource_id = 1};

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, PAGE)), OK);
    f->hold_fences = true;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, &req), NOT_COMPLETE);
    assert_int_equal(f->n_fences, 0);
    gpu_device_shmem_done(f->dev, last_call(f)->cmd, 0);
    assert_int_equal(f->n_fences, 1);
    assert_int_equal(gpu_device_in_flight(f->dev), 1);
    fixture_fence_done(f, &f->fences[0]);
    assert_int_equal(gpu_device_in_flight(f->dev), 0);
    assert_int_equal(fixture_response(f), MAPPED);
}

static void needs_a_region(void **state)
{
    struct fixture *f = *state;

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, PAGE)), OK);
    f->ops.blob_map = NULL;
    assert_int_equal(map(f, 1, 0), UNSPEC);
}

/* ---- scan-outs ------------------------------------------------------------------------------- */

static uint32_t show(struct fixture *f, struct virtio_gpu_set_scanout_blob req)
{
    return SEND(f, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, &req);
}

static void shows_guest_memory(void **state)
{
    struct fixture *f = *state;
    const struct virtio_gpu_set_scanout_blob good = {
        .r = {2, 1, 4, 2},
        .resource_id = 1,
        .width = 8,
        .height = 4,
        .format = VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM,
        .strides = {64},
        .offsets = {128},
    };
    struct virtio_gpu_set_scanout_blob bad;
    const uint32_t rgba = 0x44332211, bgra = 0x44112233;

    assert_int_equal(create_backed(f, 1, VIRTIO_GPU_BLOB_MEM_GUEST, PAGE, PAGE), OK);
    gpu_device_set_display(f->dev, &f->display);
    memcpy(fixture_ram(f, FIXTURE_GPA + 128 + 64 + 2 * 4), &rgba, 4);
    memcpy(fixture_ram(f, FIXTURE_GPA + 128 + 2 * 64 + 5 * 4), &rgba, 4);
    f->n_events = 0;
    assert_int_equal(show(f, good), OK);
    assert_int_equal(f->events[0].call, CALL_SCANOUT);
    assert_int_equal(f->events[0].w, 4);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 8, 4), OK);
    assert_int_equal(f->n_events, 2);
    assert_int_equal(f->events[1].call, CALL_UPDATE);
    assert_int_equal(f->events[1].w, 4);
    assert_int_equal(f->events[1].h, 2);
    assert_int_equal(f->events[1].first_pixel, bgra);
    assert_int_equal(f->events[1].last_pixel, bgra);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 9, 4), BAD_PARAMETER);
    assert_int_equal(fixture_flush(f, 1, 4, 0, UINT32_MAX, 4), BAD_PARAMETER);

    bad = good, bad.scanout_id = 2;
    assert_int_equal(show(f, bad), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
    bad = good, bad.resource_id = 2;
    assert_int_equal(show(f, bad), BAD_RESOURCE);
    bad = good, bad.format = 0;
    assert_int_equal(show(f, bad), BAD_PARAMETER);
    bad = good, bad.width = 0;
    assert_int_equal(show(f, bad), BAD_PARAMETER);
    bad = good, bad.strides[0] = 31;
    assert_int_equal(show(f, bad), BAD_PARAMETER);
    bad = good, bad.offsets[0] = PAGE - 3 * 64 - 8 * 4 + 1;
    assert_int_equal(show(f, bad), BAD_PARAMETER);
    bad = good, bad.height = UINT32_MAX, bad.strides[0] = UINT32_MAX;
    assert_int_equal(show(f, bad), BAD_PARAMETER);
    bad = good, bad.r.x = 5;
    assert_int_equal(show(f, bad), BAD_PARAMETER);
    bad = good, bad.r.width = UINT32_MAX;
    assert_int_equal(show(f, bad), BAD_PARAMETER);

    /* The memory goes, the scan-out stays; a flush shows nothing then. */
    struct virtio_gpu_resource_detach_backing detach = {.resource_id = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, &detach), OK);
    f->n_events = 0;
    assert_int_equal(fixture_flush(f, 1, 0, 0, 8, 4), OK);
    assert_int_equal(f->n_events, 0);

    /* A plain resource on the same scan-out, and off. */
    fixture_create_2d(f, 3, 8, 8);
    assert_int_equal(fixture_set_scanout(f, 0, 3, 0, 0, 8, 8), OK);
    assert_int_equal(fixture_flush(f, 3, 0, 0, 8, 8), OK);
    assert_int_equal(f->events[1].call, CALL_UPDATE);
    assert_int_equal(unref(f, 1), OK);
    bad = good, bad.resource_id = 0;
    assert_int_equal(show(f, bad), OK);
}

static void shows_no_memory_of_the_host(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_set_scanout_blob req = {.r = {0, 0, 8, 8},
                                              .resource_id = 1,
                                              .width = 8,
                                              .height = 8,
                                              .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
                                              .strides = {32}};

    fixture_create_ctx(f, 1);
    assert_int_equal(create(f, host_blob(1, 7, PAGE)), OK);
    assert_int_equal(show(f, req), UNSPEC);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 8, 8), BAD_PARAMETER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(creates_and_charges),
        TEST(refuses_bad_blobs),
        TEST(keeps_to_the_limit_of_memory),
        TEST(charges_no_memory_of_vulkan_twice),
        TEST(guest_memory_comes_and_goes),
        TEST(maps_when_the_front_end_says_so),
        TEST(what_is_done_at_once_is_answered_at_once),
        TEST(a_refused_map_leaves_nothing),
        TEST(refuses_bad_maps),
        TEST(maps_no_more_than_qemu_can_bear),
        TEST(reset_answers_what_waits),
        TEST(a_fenced_map_keeps_its_place),
        TEST(needs_a_region),
        TEST(shows_guest_memory),
        TEST(shows_no_memory_of_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
