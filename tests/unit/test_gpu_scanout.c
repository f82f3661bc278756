/* SPDX-License-Identifier: MIT */
/*
 * Scan-outs, damage, cursor, and the questions that are put to the display.
 */
#include "mediator/renderer/edid.h"
#include "tests/unit/gpu_fixture.h"

#include <string.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BAD_SCANOUT VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define RED 0x00ff0000u

/* Takes the oldest recorded call and checks it. */
static struct fixture_display_event expect(struct fixture *f, enum fixture_display_call call,
                                           uint32_t scanout, uint32_t x, uint32_t y, uint32_t w,
                                           uint32_t h)
{
    struct fixture_display_event e = f->events[0];

    assert_true(f->n_events > 0);
    memmove(f->events, f->events + 1, sizeof(f->events) - sizeof(f->events[0]));
    f->n_events--;
    assert_int_equal(e.call, call);
    assert_int_equal(e.scanout_id, scanout);
    assert_int_equal(e.x, x);
    assert_int_equal(e.y, y);
    assert_int_equal(e.w, w);
    assert_int_equal(e.h, h);
    return e;
}

static void expect_nothing(const struct fixture *f)
{
    assert_int_equal(f->n_events, 0);
}

static void test_set_scanout(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resource_create_3d buffer = {
        .resource_id = 2, .target = 0, .format = 64, .width = 4096, .height = 1, .depth = 1};
    struct virtio_gpu_resource_unref unref = {.resource_id = 1};

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 64, 32);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, &buffer), OK);
    assert_int_equal(fixture_set_scanout(f, 2, 1, 0, 0, 64, 32), BAD_SCANOUT);
    assert_int_equal(fixture_set_scanout(f, UINT32_MAX, 0, 0, 0, 0, 0), BAD_SCANOUT);
    assert_int_equal(fixture_set_scanout(f, 0, 9, 0, 0, 64, 32), BAD_RESOURCE);
    assert_int_equal(fixture_set_scanout(f, 0, 2, 0, 0, 64, 1), BAD_PARAMETER);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 65, 32), BAD_PARAMETER);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 1, 0, 64, 32), BAD_PARAMETER);
    assert_int_equal(fixture_set_scanout(f, 0, 1, UINT32_MAX, 0, 2, 32), BAD_PARAMETER);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 0, 32), BAD_PARAMETER);
    expect_nothing(f);

    assert_int_equal(fixture_set_scanout(f, 0, 0, 0, 0, 0, 0), OK); /* is off already */
    expect_nothing(f);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 8, 8, 40, 20), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 40, 20);
    assert_int_equal(fixture_set_scanout(f, 1, 1, 0, 0, 64, 32), OK);
    expect(f, CALL_SCANOUT, 1, 0, 0, 64, 32);
    assert_int_equal(fixture_set_scanout(f, 0, 0, 0, 0, 0, 0), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 0, 0);

    /* The resource that is shown goes away. */
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &unref), OK);
    expect(f, CALL_SCANOUT, 1, 0, 0, 0, 0);
    expect_nothing(f);
    gpu_device_set_display(f->dev, NULL);
}

static void test_flush_sends_damage_only(void **state)
{
    struct fixture *f = *state;
    struct fixture_display_event e;

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 64, 32);
    fixture_fill(f, 1, 64, 32, RED);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 64, 32), OK); /* is nowhere shown */
    expect_nothing(f);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 32, 32), OK);
    assert_int_equal(fixture_set_scanout(f, 1, 1, 32, 0, 32, 32), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 32, 32);
    expect(f, CALL_SCANOUT, 1, 0, 0, 32, 32);
    expect_nothing(f);

    assert_int_equal(fixture_flush(f, 1, 28, 4, 10, 5), OK); /* across both */
    e = expect(f, CALL_UPDATE, 0, 28, 4, 4, 5);
    assert_int_equal(e.first_pixel, RED);
    assert_int_equal(e.last_pixel, RED);
    expect(f, CALL_UPDATE, 1, 0, 4, 6, 5);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 1, 1), OK);
    expect(f, CALL_UPDATE, 0, 0, 0, 1, 1);
    expect_nothing(f);
    assert_int_equal(atomic_load(&f->stats.flushes), 3);

    assert_int_equal(fixture_flush(f, 2, 0, 0, 1, 1), BAD_RESOURCE);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 65, 32), BAD_PARAMETER);
    assert_int_equal(fixture_flush(f, 1, 1, UINT32_MAX, 1, 2), BAD_PARAMETER);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 0, 0), OK);
    expect_nothing(f);

    /* Shown somewhere else now. */
    fixture_create_2d(f, 2, 32, 32);
    assert_int_equal(fixture_set_scanout(f, 0, 2, 0, 0, 32, 32), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 32, 32);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 32, 32), OK);
    expect_nothing(f);
    gpu_device_set_display(f->dev, NULL);
}

static void test_bands(void **state)
{
    struct fixture *f = *state;
    uint32_t y = 0;

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 4000, 1000); /* 16 MB: bands of 65 rows */
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 4000, 1000), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 4000, 1000);
    f->room = 3;
    assert_int_equal(fixture_flush(f, 1, 0, 0, 4000, 1000), OK);
    for (; f->n_events > 0; y += 65)
        expect(f, CALL_UPDATE, 0, 0, y, 4000, 65);
    assert_int_equal(y, 3 * 65);

    /* The rest follows as the display has room, and new damage joins it. */
    f->room = 1;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 0, 0, y, 4000, 65);
    expect_nothing(f);
    assert_int_equal(fixture_flush(f, 1, 10, 10, 1, 1), OK);
    expect_nothing(f);
    f->room = 100;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 0, 0, 10, 4000, 65);
    for (y = 75; y < 1000; y += 65)
        expect(f, CALL_UPDATE, 0, 0, y, 4000, MIN(65, 1000 - y));
    expect_nothing(f);
    gpu_device_display_ready(f->dev);
    expect_nothing(f);
    gpu_device_set_display(f->dev, NULL);
}

static void test_slow_display_is_fair(void **state)
{
    struct fixture *f = *state;

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 32, 32);
    for (uint32_t id = 0; id < 2; id++) {
        assert_int_equal(fixture_set_scanout(f, id, 1, 0, 0, 32, 32), OK);
        expect(f, CALL_SCANOUT, id, 0, 0, 32, 32);
    }
    f->room = 0;
    assert_int_equal(fixture_flush(f, 1, 2, 2, 4, 4), OK);
    assert_int_equal(fixture_flush(f, 1, 20, 20, 4, 4), OK);
    expect_nothing(f);
    f->room = 1;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 0, 2, 2, 22, 22);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 1, 1), OK);
    f->room = 1;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 1, 0, 0, 24, 24); /* not the first one again */
    f->room = 1;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 0, 0, 0, 1, 1);
    expect_nothing(f);

    /* What is switched off has no damage left. */
    f->room = 0;
    assert_int_equal(fixture_flush(f, 1, 0, 0, 32, 32), OK);
    assert_int_equal(fixture_set_scanout(f, 0, 0, 0, 0, 0, 0), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 0, 0);
    f->room = 10;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 1, 0, 0, 32, 32);
    expect_nothing(f);

    /* Nor has what gets another size; a flip between two of one size keeps it. */
    fixture_create_2d(f, 2, 32, 32);
    f->room = 0;
    assert_int_equal(fixture_flush(f, 1, 20, 20, 12, 12), OK);
    assert_int_equal(fixture_set_scanout(f, 1, 2, 0, 0, 32, 32), OK);
    expect(f, CALL_SCANOUT, 1, 0, 0, 32, 32);
    f->room = 10;
    gpu_device_display_ready(f->dev);
    expect(f, CALL_UPDATE, 1, 20, 20, 12, 12);
    f->room = 0;
    assert_int_equal(fixture_flush(f, 2, 20, 20, 12, 12), OK);
    assert_int_equal(fixture_set_scanout(f, 1, 2, 0, 0, 16, 16), OK);
    expect(f, CALL_SCANOUT, 1, 0, 0, 16, 16);
    f->room = 10;
    gpu_device_display_ready(f->dev);
    expect_nothing(f);
    gpu_device_set_display(f->dev, NULL);
}

static void test_dmabuf(void **state)
{
    struct fixture *f = *state;

    gpu_device_set_display(f->dev, &f->display);
    f->has_dmabuf = f->takes_dmabuf = true;
    fixture_create_2d(f, 1, 64, 32);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 4, 4, 32, 16), OK);
    expect(f, CALL_DMABUF_SCANOUT, 0, 4, 4, 32, 16);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 10, 10), OK);
    expect(f, CALL_DMABUF_UPDATE, 0, 0, 0, 6, 6);
    f->takes_dmabuf = false; /* the display does not want it: by copy */
    assert_int_equal(fixture_set_scanout(f, 0, 1, 4, 4, 32, 16), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 32, 16);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 10, 10), OK);
    expect(f, CALL_UPDATE, 0, 0, 0, 6, 6);
    expect_nothing(f);
    gpu_device_set_display(f->dev, NULL);
}

static void test_no_dmabuf_unless_configured(void **state)
{
    struct fixture *f = *state;

    f->by_copy = true;
    fixture_make_device(f, &gpu_limits_default, 1);
    gpu_device_set_display(f->dev, &f->display);
    f->has_dmabuf = f->takes_dmabuf = true;
    fixture_create_2d(f, 1, 64, 32);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 64, 32), OK);
    expect(f, CALL_SCANOUT, 0, 0, 0, 64, 32);
    assert_int_equal(fixture_flush(f, 1, 0, 0, 10, 10), OK);
    expect(f, CALL_UPDATE, 0, 0, 0, 10, 10);
    expect_nothing(f);
    gpu_device_set_display(f->dev, NULL);
}

static uint32_t cursor(struct fixture *f, uint32_t type, uint32_t scanout, uint32_t id, uint32_t x)
{
    struct virtio_gpu_update_cursor req = {
        .pos = {scanout, x, 20, 0}, .resource_id = id, .hot_x = 3, .hot_y = 4};

    return SEND(f, type, &req);
}

static void test_cursor(void **state)
{
    struct fixture *f = *state;
    struct fixture_display_event e;

    gpu_device_set_display(f->dev, &f->display);
    fixture_create_2d(f, 1, 64, 64);
    fixture_create_2d(f, 2, 16, 16);
    fixture_fill(f, 1, 64, 64, RED);
    f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;

    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 1, 10), OK);
    e = expect(f, CALL_CURSOR_UPDATE, 0, 10, 20, 3, 4);
    assert_int_equal(e.first_pixel, RED);
    assert_int_equal(e.last_pixel, RED);
    f->response_bytes = 0; /* as drivers have it */
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0, 11), NO_RESPONSE);
    expect(f, CALL_CURSOR_MOVE, 0, 11, 20, true, 0);
    assert_int_equal(REJECTED(f), 0);
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 0, 12), NO_RESPONSE);
    expect(f, CALL_CURSOR_MOVE, 0, 12, 20, false, 0);
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0, 13), NO_RESPONSE);
    expect(f, CALL_CURSOR_MOVE, 0, 13, 20, false, 0);

    f->response_bytes = FIXTURE_RESPONSE_BYTES;
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 2, 14), OK); /* a small one */
    expect(f, CALL_CURSOR_UPDATE, 1, 14, 20, 3, 4);
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, 2, 1, 0), BAD_SCANOUT);
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_MOVE_CURSOR, 2, 1, 0), BAD_SCANOUT);
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 9, 0), BAD_RESOURCE);
    expect_nothing(f);
    f->queue_index = VIRTIO_GPU_QUEUE_CONTROL;
    gpu_device_set_display(f->dev, NULL);
}

/* ---- questions ------------------------------------------------------------------------------- */

static uint32_t ask_info(struct fixture *f)
{
    struct virtio_gpu_ctrl_hdr req = {0};

    return SEND(f, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, &req);
}

static uint32_t ask_edid(struct fixture *f, uint32_t scanout)
{
    struct virtio_gpu_cmd_get_edid req = {.scanout = scanout};

    return SEND(f, VIRTIO_GPU_CMD_GET_EDID, &req);
}

static void check_own_info(struct fixture *f)
{
    const struct virtio_gpu_resp_display_info *resp = (void *)f->response;

    assert_int_equal(fixture_response(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    assert_int_equal(f->last_len, sizeof(*resp));
    assert_int_equal(resp->pmodes[0].r.width, 1280);
    assert_int_equal(resp->pmodes[0].r.height, 800);
    assert_int_equal(resp->pmodes[0].enabled, 1);
    assert_int_equal(resp->pmodes[1].enabled, 0);
}

static void check_own_edid(struct fixture *f)
{
    const struct virtio_gpu_resp_edid *resp = (void *)f->response;
    uint8_t own[EDID_BLOCK_BYTES];

    assert_int_equal(fixture_response(f), VIRTIO_GPU_RESP_OK_EDID);
    assert_int_equal(f->last_len, sizeof(*resp));
    assert_int_equal(resp->size, EDID_BLOCK_BYTES);
    edid_generate(own, 1280, 800, 1);
    assert_memory_equal(resp->edid, own, sizeof(own));
}

static void test_own_tables(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    check_own_info(f);
    assert_int_equal(ask_edid(f, 0), VIRTIO_GPU_RESP_OK_EDID);
    check_own_edid(f);
    assert_int_equal(ask_edid(f, 2), BAD_SCANOUT);

    /* A display that can not be asked. */
    gpu_device_set_display(f->dev, &f->display);
    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    check_own_info(f);
    assert_int_equal(ask_edid(f, 0), VIRTIO_GPU_RESP_OK_EDID);
    check_own_edid(f);
    gpu_device_set_display(f->dev, NULL);

    /* No scan-outs at all: a render node. */
    fixture_make_device(f, &gpu_limits_default, 0);
    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    assert_int_equal(((struct virtio_gpu_resp_display_info *)f->response)->pmodes[0].enabled, 0);
    assert_int_equal(ask_edid(f, 0), BAD_SCANOUT);
}

static void test_display_info_is_asked(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resp_display_info info = {.hdr.type = VIRTIO_GPU_RESP_OK_DISPLAY_INFO};
    const struct virtio_gpu_resp_display_info *resp = (void *)f->response;

    for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS; i++)
        info.pmodes[i] = (struct virtio_gpu_display_one){{i * 100, 0, 800 + i, 600}, 7, 3};
    info.pmodes[1].r.width = UINT32_MAX;
    f->can_ask = true;
    gpu_device_set_display(f->dev, &f->display);
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    assert_false(f->go_on);
    gpu_device_display_edid(f->dev, NULL); /* of another question */
    assert_int_equal(f->resumed, 0);
    gpu_device_display_info(f->dev, &info);
    assert_int_equal(f->resumed, 1);
    assert_int_equal(fixture_response(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    assert_int_equal(resp->pmodes[0].r.width, 800);
    assert_int_equal(resp->pmodes[0].enabled, 1);
    assert_int_equal(resp->pmodes[0].flags, 0);
    assert_int_equal(resp->pmodes[1].r.width, 16384);
    assert_int_equal(resp->pmodes[2].enabled, 0); /* has two scan-outs */
    assert_int_equal(resp->pmodes[2].r.width, 0);
    gpu_device_display_info(f->dev, &info); /* nobody waits */
    assert_int_equal(f->resumed, 1);

    /* Other answers, and none. */
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    info.hdr.type = VIRTIO_GPU_RESP_ERR_UNSPEC;
    gpu_device_display_info(f->dev, &info);
    check_own_info(f);
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    gpu_device_display_info(f->dev, NULL);
    check_own_info(f);

    /* Before the call returns. */
    f->answers_at_once = true;
    f->info = info;
    f->resumed = 0;
    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    assert_true(f->go_on);
    assert_int_equal(f->resumed, 0);
    f->answers_at_once = false;

    /* The display goes away with the question. */
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    gpu_device_set_display(f->dev, NULL);
    check_own_info(f);
    assert_int_equal(f->resumed, 1);
}

static void test_edid_is_asked(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_resp_edid edid = {.hdr.type = VIRTIO_GPU_RESP_OK_EDID, .size = 256};
    const struct virtio_gpu_resp_edid *resp = (void *)f->response;

    memset(edid.edid, 0x55, sizeof(edid.edid));
    f->can_ask = true;
    gpu_device_set_display(f->dev, &f->display);
    assert_int_equal(ask_edid(f, 1), NOT_COMPLETE);
    gpu_device_display_edid(f->dev, &edid);
    assert_int_equal(fixture_response(f), VIRTIO_GPU_RESP_OK_EDID);
    assert_int_equal(resp->size, 256);
    assert_int_equal(resp->edid[255], 0x55);
    assert_int_equal(resp->edid[256], 0);
    assert_int_equal(ask_edid(f, 0), NOT_COMPLETE);
    edid.size = 1025;
    gpu_device_display_edid(f->dev, &edid);
    check_own_edid(f);
    assert_int_equal(ask_edid(f, 0), NOT_COMPLETE);
    gpu_device_display_edid(f->dev, NULL);
    check_own_edid(f);
    gpu_device_set_display(f->dev, NULL);
}

static void test_blocked_command_is_taken_back(void **state)
{
    struct fixture *f = *state;
    struct gpu_cmd *cmd;

    f->can_ask = true;
    gpu_device_set_display(f->dev, &f->display);
    assert_null(gpu_device_take_blocked(f->dev));
    assert_int_equal(ask_info(f), NOT_COMPLETE);
    cmd = gpu_device_take_blocked(f->dev);
    assert_non_null(cmd);
    assert_null(gpu_device_take_blocked(f->dev));
    gpu_device_display_info(f->dev, NULL); /* too late, nobody waits */
    assert_int_equal(f->resumed, 0);
    /* It comes again, and the cursor queue goes on meanwhile. */
    assert_false(gpu_device_handle(f->dev, cmd));
    f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0, 1), OK);
    assert_true(f->go_on);
    f->queue_index = VIRTIO_GPU_QUEUE_CONTROL;
    gpu_device_reset(f->dev);
    assert_int_equal(f->last_len, 0);
    assert_int_equal(f->resumed, 0);
    gpu_device_set_display(f->dev, NULL);
}

static void test_new_display_is_told(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_config config;

    fixture_create_2d(f, 1, 64, 64);
    fixture_fill(f, 1, 64, 64, RED);
    assert_int_equal(fixture_set_scanout(f, 0, 1, 0, 0, 64, 32), OK);
    f->queue_index = VIRTIO_GPU_QUEUE_CURSOR;
    assert_int_equal(cursor(f, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 1, 10), OK);
    f->queue_index = VIRTIO_GPU_QUEUE_CONTROL;
    gpu_device_set_display(f->dev, &f->display);
    expect(f, CALL_SCANOUT, 0, 0, 0, 64, 32);
    expect(f, CALL_UPDATE, 0, 0, 0, 64, 32);
    expect(f, CALL_CURSOR_UPDATE, 0, 10, 20, 3, 4);
    expect_nothing(f);
    assert_int_equal(f->config_changes, 0);      /* the driver has not asked yet */
    gpu_device_set_display(f->dev, &f->display); /* the same one */
    expect_nothing(f);

    gpu_device_set_display(f->dev, NULL);
    assert_int_equal(ask_info(f), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    gpu_device_set_display(f->dev, &f->display);
    assert_int_equal(f->config_changes, 1);
    assert_true(gpu_device_config_read(f->dev, 0, &config, sizeof(config)));
    assert_int_equal(config.events_read, VIRTIO_GPU_EVENT_DISPLAY);
    gpu_device_set_display(f->dev, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_set_scanout),
        TEST(test_flush_sends_damage_only),
        TEST(test_bands),
        TEST(test_slow_display_is_fair),
        TEST(test_dmabuf),
        TEST(test_no_dmabuf_unless_configured),
        TEST(test_cursor),
        TEST(test_own_tables),
        TEST(test_display_info_is_asked),
        TEST(test_edid_is_asked),
        TEST(test_blocked_command_is_taken_back),
        TEST(test_new_display_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
