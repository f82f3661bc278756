/* SPDX-License-Identifier: MIT */
/*
 * The device model's commands, each with its success and its errors. Fences have
 * test_gpu_fence.c, scan-outs test_gpu_scanout.c, backing and the table of ids
 * test_gpu_resource.c.
 */
#include "tests/unit/gpu_fixture.h"

#include <string.h>

#define BLOB ((uint64_t)1 << VIRTIO_GPU_F_RESOURCE_BLOB)
#define OK VIRTIO_GPU_RESP_OK_NODATA
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_CONTEXT VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER

/* ---- requests -------------------------------------------------------------------------------- */

static void test_malformed_requests(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_unref req = {.resource_id = 1};
    struct virtio_gpu_ctrl_hdr hdr = {0};
    unsigned rejected = 0;

    assert_int_equal(fixture_send(f, 0, &req, 0), UNSPEC);
    assert_int_equal(fixture_send(f, 0, &req, sizeof(hdr) - 1), UNSPEC);
    assert_int_equal(SEND(f, 0, &hdr), UNSPEC);
    assert_int_equal(SEND(f, 0x0fff, &hdr), UNSPEC);
    assert_int_equal(SEND(f, 0x10100, &hdr), UNSPEC);
    assert_int_equal(SEND(f, VIRTIO_GPU_RESP_OK_NODATA, &hdr), UNSPEC);
    assert_int_equal(SEND(f, UINT32_MAX, &hdr), UNSPEC);
    rejected = 7;
    assert_int_equal(REJECTED(f), rejected);

    /* One byte short. */
    assert_int_equal(fixture_send(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &req, sizeof(req) - 1),
                     BAD_PARAMETER);
    assert_int_equal(REJECTED(f), ++rejected);

    /* Blob resources are not negotiated. */
    gpu_device_set_features(f->dev, gpu_device_features(f->dev) & ~BLOB);
    struct virtio_gpu_resource_create_blob blob = {.resource_id = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, &blob), UNSPEC);
    struct virtio_gpu_set_scanout_blob set_blob = {.resource_id = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, &set_blob), UNSPEC);
    struct virtio_gpu_resource_map_blob map = {.resource_id = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, &map), UNSPEC);
    struct virtio_gpu_resource_unmap_blob unmap = {.resource_id = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, &unmap), UNSPEC);

    /* The wrong queue, both ways. */
    struct virtio_gpu_update_cursor cursor = {0};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_MOVE_CURSOR, &cursor), UNSPEC);
    f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, &hdr), UNSPEC);
    assert_int_equal(REJECTED(f), rejected + 6);
}

static void test_response_area_too_small(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_ctrl_hdr hdr = {0};
    struct virtio_gpu_resource_create_2d create = {
        .resource_id = 1, .format = 2, .width = 8, .height = 8};
    struct virtio_gpu_get_capset capset = {.capset_id = VIRTIO_GPU_CAPSET_VIRGL};

    f->response_bytes = sizeof(struct virtio_gpu_resp_display_info) - 1;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, &hdr), NO_RESPONSE);
    assert_int_equal(REJECTED(f), 1);
    f->response_bytes = sizeof(hdr) - 1;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &create), NO_RESPONSE);
    assert_int_equal(REJECTED(f), 2);
    assert_int_equal(atomic_load(&f->stats.resources), 0);
    f->response_bytes = 0;
    assert_int_equal(SEND(f, 0x0fff, &hdr), NO_RESPONSE);
    assert_int_equal(REJECTED(f), 3);

    /* The size of this one is not in the table. */
    f->response_bytes = sizeof(hdr) + 307;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET, &capset), NO_RESPONSE);
    assert_int_equal(REJECTED(f), 4);
    f->response_bytes++;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET, &capset), VIRTIO_GPU_RESP_OK_CAPSET);

    /* Exactly enough. */
    f->response_bytes = sizeof(hdr);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &create), OK);
    assert_int_equal(f->last_len, sizeof(hdr));
}

static void test_features_gate_commands(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_ctx_create ctx = {.hdr.ctx_id = 1};
    struct virtio_gpu_cmd_get_edid edid = {0};
    struct virtio_gpu_resource_assign_uuid uuid = {.resource_id = 1};

    assert_int_equal(gpu_device_features(f->dev),
                     1u << VIRTIO_GPU_F_VIRGL | 1u << VIRTIO_GPU_F_EDID |
                         1u << VIRTIO_GPU_F_RESOURCE_UUID | 1u << VIRTIO_GPU_F_CONTEXT_INIT | BLOB);
    fixture_create_2d(f, 1, 8, 8);
    gpu_device_set_features(f->dev, 0);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &ctx), UNSPEC);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_EDID, &edid), UNSPEC);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, &uuid), UNSPEC);
    gpu_device_set_features(f->dev, UINT64_MAX);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &ctx), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_EDID, &edid), VIRTIO_GPU_RESP_OK_EDID);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, &uuid),
                     VIRTIO_GPU_RESP_OK_RESOURCE_UUID);

    /* A backend without 3D offers none. */
    f->ops.has_3d = false;
    f->ops.blob_create = NULL;
    assert_int_equal(gpu_device_features(f->dev),
                     1u << VIRTIO_GPU_F_EDID | 1u << VIRTIO_GPU_F_RESOURCE_UUID);
}

static void test_config_space(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_config config;
    uint32_t clear = VIRTIO_GPU_EVENT_DISPLAY;
    uint8_t bytes[32];

    assert_true(gpu_device_config_read(f->dev, 0, &config, sizeof(config)));
    assert_int_equal(config.events_read, 0);
    assert_int_equal(config.num_scanouts, 2);
    assert_int_equal(config.num_capsets, 2);
    assert_true(gpu_device_config_read(f->dev, 0, bytes, 20));
    assert_true(gpu_device_config_read(f->dev, 20, bytes, 0));
    assert_false(gpu_device_config_read(f->dev, 0, bytes, 21));
    assert_false(gpu_device_config_read(f->dev, 20, bytes, 1));
    assert_false(gpu_device_config_read(f->dev, UINT32_MAX, bytes, 2));
    assert_false(gpu_device_config_write(f->dev, UINT32_MAX, bytes, 2));

    f->dev->events_read = VIRTIO_GPU_EVENT_DISPLAY;
    assert_true(gpu_device_config_write(f->dev, 0, &clear, 4)); /* not the field that clears */
    assert_int_equal(f->dev->events_read, VIRTIO_GPU_EVENT_DISPLAY);
    assert_true(gpu_device_config_write(f->dev, 4, &clear, 4));
    assert_int_equal(f->dev->events_read, 0);
}

/* ---- 2D -------------------------------------------------------------------------------------- */

static void test_create_2d(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_create_2d req = {
        .resource_id = 7, .format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, .width = 64, .height = 32};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), OK);
    assert_int_equal(atomic_load(&f->stats.resources), 1);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 64 * 32 * 4);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), BAD_RESOURCE); /* twice */
    req.resource_id = 0;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), BAD_RESOURCE);
    req.resource_id = 8;
    req.format = 28; /* R32 float: not a 2D format */
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), BAD_PARAMETER);
    req.format = VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM;
    req.width = 0;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), BAD_PARAMETER);
    req.width = 16385;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), BAD_PARAMETER);
    req.width = UINT32_MAX;
    req.height = UINT32_MAX;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), BAD_PARAMETER);
    f->create_result = -ENOMEM;
    req.width = req.height = 16;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), NO_MEMORY);
    f->create_result = -EIO;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), UNSPEC);
    f->create_result = 0;
    assert_int_equal(atomic_load(&f->stats.resources), 1);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 64 * 32 * 4);

    struct virtio_gpu_resource_unref unref = {.resource_id = 8};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &unref), BAD_RESOURCE);
    unref.resource_id = 7;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &unref), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &unref), BAD_RESOURCE);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 0);
}

/* What contexts and resources cost besides texels is the backend's to say, and is charged. */
static void test_charges_of_the_backend(void **state)
{
    struct fixture *f = *state;
    struct gpu_limits limits = gpu_limits_default;
    struct virtio_gpu_ctx_create ctx = {.hdr.ctx_id = 2};

    f->ops.memory.context_bytes = 1000;
    f->ops.memory.resource_bytes = 10;
    f->ops.memory.row_align = 64;
    limits.max_total_bytes = 1999;
    fixture_make_device(f, &limits, 1);
    fixture_create_ctx(f, 1);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 1000);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &ctx), NO_MEMORY);
    fixture_create_2d(f, 1, 1, 3);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 1000 + 3 * 64 + 10);
    gpu_device_reset(f->dev);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 0);
    fixture_create_ctx(f, 1);
    ctx.hdr.ctx_id = 1;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_DESTROY, &ctx), OK);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 0);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct gpu_limits limits = gpu_limits_default;
    struct virtio_gpu_resource_create_2d req = {
        .resource_id = 1, .format = 1, .width = 100, .height = 11};
    struct virtio_gpu_ctx_create ctx = {.hdr.ctx_id = 1};

    limits.max_resources = 3;
    limits.max_contexts = 1;
    limits.max_resource_bytes = 4000;
    limits.max_total_bytes = 8000;
    limits.max_submit_bytes = 16;
    fixture_make_device(f, &limits, 1);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), NO_MEMORY);
    fixture_create_2d(f, 1, 100, 10);
    fixture_create_2d(f, 2, 100, 9);
    req.resource_id = 3;
    req.height = 2;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), NO_MEMORY); /* all bytes */
    fixture_create_2d(f, 3, 10, 1);
    req = (struct virtio_gpu_resource_create_2d){
        .resource_id = 4, .format = 1, .width = 1, .height = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req), NO_MEMORY); /* count */

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &ctx), OK);
    ctx.hdr.ctx_id = 2;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &ctx), NO_MEMORY);

    struct {
        struct virtio_gpu_cmd_submit fixed;
        uint32_t words[5];
    } submit = {.fixed = {.hdr.ctx_id = 1, .size = 20}};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &submit), NO_MEMORY);
    submit.fixed.size = 16;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &submit), OK);
}

static int accept_transfer(struct backend *b, const struct backend_transfer *t)
{
    return 0;
}

static void test_transfer_2d(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_transfer_to_host_2d req = {.resource_id = 1, .r = {0, 0, 16, 8}};
    uint32_t pixels[16 * 8];

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), BAD_RESOURCE);
    fixture_create_2d(f, 1, 16, 8);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), UNSPEC); /* no backing */
    fixture_attach(f, 1, FIXTURE_GPA, sizeof(pixels));
    for (uint32_t i = 0; i < ARRAY_SIZE(pixels); i++)
        pixels[i] = i;
    memcpy(fixture_ram(f, FIXTURE_GPA), pixels, sizeof(pixels));

    /* A part: the offset is where the rectangle begins, the stride that of the resource. */
    req.r = (struct virtio_gpu_rect){3, 2, 5, 4};
    req.offset = (2 * 16 + 3) * 4;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), OK);
    assert_int_equal(f->ops.read_pixels(f->backend, 1, 0, 0, 16, 8, pixels, 64), 0);
    for (uint32_t y = 0; y < 8; y++) {
        for (uint32_t x = 0; x < 16; x++) {
            bool inside = x >= 3 && x < 8 && y >= 2 && y < 6;
            assert_int_equal(pixels[y * 16 + x], inside ? y * 16 + x : 0);
        }
    }

    static const struct virtio_gpu_rect outside[] = {
        {0, 0, 17, 8},
        {0, 0, 16, 9},
        {16, 0, 1, 1},
        {0, 8, 1, 1},
        {UINT32_MAX, 0, 2, 1},
        {2, 0, UINT32_MAX, 1},
        {0, UINT32_MAX, 1, UINT32_MAX},
    };
    req.offset = 0;
    f->ops.transfer_to_host = accept_transfer; /* the device itself says no */
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        req.r = outside[i];
        assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), BAD_PARAMETER);
    }
    /* Inside the resource, past the backing. */
    req.r = (struct virtio_gpu_rect){0, 0, 16, 8};
    req.offset = 4;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), BAD_PARAMETER);
    req.offset = UINT64_MAX - 63;
    req.r = (struct virtio_gpu_rect){0, 0, 16, 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), BAD_PARAMETER);
    /* The very last row; nothing at all. */
    req.offset = 7 * 64;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), OK);
    req.r = (struct virtio_gpu_rect){16, 8, 0, 0};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), OK);
}

static void test_uuid(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_assign_uuid req = {.resource_id = 1};
    struct virtio_gpu_resp_resource_uuid *resp = (void *)f->response;
    uint8_t first[16];

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, &req), BAD_RESOURCE);
    fixture_create_2d(f, 1, 8, 8);
    fixture_create_2d(f, 2, 8, 8);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, &req),
                     VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    assert_int_equal(f->last_len, sizeof(*resp));
    memcpy(first, resp->uuid, sizeof(first));
    assert_int_equal(first[6] >> 4, 4);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, &req),
                     VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    assert_memory_equal(first, resp->uuid, sizeof(first)); /* stable */
    req.resource_id = 2;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, &req),
                     VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    assert_memory_not_equal(first, resp->uuid, sizeof(first));
}

/* ---- 3D -------------------------------------------------------------------------------------- */

static void test_capsets(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_get_capset_info info = {.capset_index = 1};
    struct virtio_gpu_resp_capset_info *resp = (void *)f->response;
    struct virtio_gpu_get_capset req = {.capset_id = VIRTIO_GPU_CAPSET_VIRGL2, .capset_version = 2};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET_INFO, &info),
                     VIRTIO_GPU_RESP_OK_CAPSET_INFO);
    assert_int_equal(resp->capset_id, VIRTIO_GPU_CAPSET_VIRGL2);
    assert_int_equal(resp->capset_max_version, 2);
    assert_int_equal(resp->capset_max_size, 1384);
    assert_int_equal(f->last_len, sizeof(*resp));
    info.capset_index = 2;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET_INFO, &info), BAD_PARAMETER);
    info.capset_index = UINT32_MAX;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET_INFO, &info), BAD_PARAMETER);

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET, &req), VIRTIO_GPU_RESP_OK_CAPSET);
    assert_int_equal(f->last_len, sizeof(struct virtio_gpu_ctrl_hdr) + 1384);
    req.capset_version = 3;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET, &req), BAD_PARAMETER);
    req.capset_id = VIRTIO_GPU_CAPSET_VENUS;
    req.capset_version = 0;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_GET_CAPSET, &req), BAD_PARAMETER);
}

static void test_contexts(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_ctx_create req = {.hdr.ctx_id = 1, .nlen = 64};
    struct virtio_gpu_ctx_resource att = {.hdr.ctx_id = 1, .resource_id = 5};
    struct virtio_gpu_ctx_destroy destroy = {.hdr.ctx_id = 1};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), BAD_CONTEXT); /* twice */
    req.hdr.ctx_id = 0;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), BAD_CONTEXT);
    req.hdr.ctx_id = 2;
    req.nlen = 65;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), BAD_PARAMETER);
    req.nlen = 0;
    req.context_init = VIRTIO_GPU_CAPSET_VENUS; /* this backend has none */
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), BAD_PARAMETER);
    req.context_init = VIRTIO_GPU_CAPSET_VIRGL2;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_CREATE, &req), OK);
    assert_int_equal(atomic_load(&f->stats.contexts), 2);

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, &att), BAD_RESOURCE);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, &att), BAD_RESOURCE);
    fixture_create_2d(f, 5, 8, 8);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, &att), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, &att), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, &att), OK);
    att.hdr.ctx_id = 9;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, &att), BAD_CONTEXT);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, &att), BAD_CONTEXT);

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_DESTROY, &destroy), OK); /* with the resource */
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_CTX_DESTROY, &destroy), BAD_CONTEXT);
    assert_int_equal(atomic_load(&f->stats.contexts), 1);
}

static struct virtio_gpu_resource_create_3d texture(uint32_t id)
{
    return (struct virtio_gpu_resource_create_3d){.resource_id = id,
                                                  .target = 3,
                                                  .format = 67,
                                                  .bind = 2,
                                                  .width = 16,
                                                  .height = 8,
                                                  .depth = 4,
                                                  .array_size = 1,
                                                  .last_level = 2};
}

static void test_create_3d(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_create_3d req = texture(1);

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &req), OK);
    assert_int_equal(atomic_load(&f->stats.resource_bytes),
                     (16 * 8 * 4 + 8 * 4 * 2 + 4 * 2 * 1) * 4);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &req), BAD_RESOURCE);

    /* A buffer may be longer than a texture wide, up to the bytes of a resource. */
    req = (struct virtio_gpu_resource_create_3d){.resource_id = 2,
                                                 .target = 0,
                                                 .format = 64,
                                                 .width = 1u << 20,
                                                 .height = 1,
                                                 .depth = 1,
                                                 .array_size = 1};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &req), OK);
    req.resource_id = 3;
    req.width = (1u << 30) + 1;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &req), NO_MEMORY);

    /* Sizes that overflow 64 bits if multiplied. */
    req = texture(3);
    req.format = 27;
    req.width = req.height = req.depth = req.array_size = 16384;
    req.nr_samples = 32;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &req), NO_MEMORY);

    const struct {
        size_t field;
        uint32_t value;
    } bad[] = {
        {offsetof(struct virtio_gpu_resource_create_3d, target), 9},
        {offsetof(struct virtio_gpu_resource_create_3d, target), UINT32_MAX},
        {offsetof(struct virtio_gpu_resource_create_3d, width), 0},
        {offsetof(struct virtio_gpu_resource_create_3d, height), UINT32_MAX},
        {offsetof(struct virtio_gpu_resource_create_3d, depth), 16385},
        {offsetof(struct virtio_gpu_resource_create_3d, depth), 0},
        {offsetof(struct virtio_gpu_resource_create_3d, array_size), UINT32_MAX},
        {offsetof(struct virtio_gpu_resource_create_3d, last_level), 32},
        {offsetof(struct virtio_gpu_resource_create_3d, last_level), UINT32_MAX},
        {offsetof(struct virtio_gpu_resource_create_3d, nr_samples), 33},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        req = texture(3);
        memcpy((uint8_t *)&req + bad[i].field, &bad[i].value, 4);
        assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &req), BAD_PARAMETER);
    }
}

static void test_transfer_3d(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_create_3d create = texture(1);
    struct virtio_gpu_transfer_host_3d req = {
        .hdr.ctx_id = 1, .resource_id = 1, .box = {0, 0, 0, 16, 8, 4}};
    static const uint32_t types[] = {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
                                     VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D};

    assert_int_equal(SEND(f, types[0], &req), BAD_CONTEXT);
    fixture_create_ctx(f, 1);
    assert_int_equal(SEND(f, types[0], &req), BAD_RESOURCE);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &create), OK);
    assert_int_equal(SEND(f, types[0], &req), UNSPEC);
    fixture_attach(f, 1, FIXTURE_GPA, 4096);

    const struct {
        uint32_t level;
        struct virtio_gpu_box box;
        uint32_t answer;
    } cases[] = {
        {0, {0, 0, 0, 16, 8, 4}, OK},
        {0, {15, 7, 3, 1, 1, 1}, OK},
        {0, {16, 8, 4, 0, 0, 0}, OK},
        {0, {0, 0, 0, 17, 8, 4}, BAD_PARAMETER},
        {0, {1, 0, 0, 16, 8, 4}, BAD_PARAMETER},
        {0, {0, 1, 0, 16, 8, 4}, BAD_PARAMETER},
        {0, {0, 0, 1, 16, 8, 4}, BAD_PARAMETER},
        {0, {UINT32_MAX, 0, 0, 2, 1, 1}, BAD_PARAMETER},
        {0, {0, 0, 2, 1, 1, UINT32_MAX}, BAD_PARAMETER},
        {1, {0, 0, 0, 8, 4, 2}, OK},
        {1, {0, 0, 0, 9, 4, 2}, BAD_PARAMETER},
        {1, {0, 0, 0, 8, 4, 3}, BAD_PARAMETER},
        {2, {0, 0, 0, 4, 2, 1}, OK},
        {3, {0, 0, 0, 1, 1, 1}, BAD_PARAMETER},
        {UINT32_MAX, {0, 0, 0, 1, 1, 1}, BAD_PARAMETER},
    };
    for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            req.level = cases[i].level;
            req.box = cases[i].box;
            assert_int_equal(SEND(f, types[t], &req), cases[i].answer);
        }
    }
    req.box = cases[0].box;
    req.level = 0;
    req.offset = 4097;
    assert_int_equal(SEND(f, types[1], &req), BAD_PARAMETER);
    req.offset = 0;
    req.hdr.ctx_id = 0; /* of no context */
    assert_int_equal(SEND(f, types[1], &req), OK);
}

static void test_submit(void **state)
{
    struct fixture *f = *state;
    struct {
        struct virtio_gpu_cmd_submit fixed;
        uint32_t words[4];
    } req = {.fixed = {.hdr.ctx_id = 3, .size = 16}, .words = {1, 2, 3, 4}};

    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), BAD_CONTEXT);
    fixture_create_ctx(f, 3);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), OK);
    assert_int_equal(f->submitted_bytes, 16);
    assert_memory_equal(f->submitted, req.words, 16);
    assert_int_equal(atomic_load(&f->stats.submits), 1);
    req.fixed.size = 20; /* more than is there */
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), BAD_PARAMETER);
    req.fixed.size = UINT32_MAX - 3;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), BAD_PARAMETER);
    req.fixed.size = 14;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), BAD_PARAMETER);
    req.fixed.size = 0; /* a fence and nothing else */
    f->submitted_bytes = 99;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), OK);
    assert_int_equal(f->submitted_bytes, 99);
    req.fixed.size = 16;
    f->submit_result = -EINVAL;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_SUBMIT_3D, &req), BAD_PARAMETER);
    assert_int_equal(atomic_load(&f->stats.submits), 2);

    /* Larger than the copy that is kept. */
    f->submit_result = 0;
    size_t size = sizeof(req.fixed) + (1u << 20);
    uint8_t *big = calloc(1, size);
    memcpy(big, &req.fixed, sizeof(req.fixed));
    ((struct virtio_gpu_cmd_submit *)big)->size = 1u << 20;
    big[sizeof(req.fixed)] = 42;
    assert_int_equal(fixture_send(f, VIRTIO_GPU_CMD_SUBMIT_3D, big, size), OK);
    assert_int_equal(f->submitted_bytes, 1u << 20);
    assert_int_equal(f->submitted[0], 42);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_malformed_requests),
        TEST(test_response_area_too_small),
        TEST(test_features_gate_commands),
        TEST(test_config_space),
        TEST(test_create_2d),
        TEST(test_charges_of_the_backend),
        TEST(test_limits),
        TEST(test_transfer_2d),
        TEST(test_uuid),
        TEST(test_capsets),
        TEST(test_contexts),
        TEST(test_create_3d),
        TEST(test_transfer_3d),
        TEST(test_submit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
