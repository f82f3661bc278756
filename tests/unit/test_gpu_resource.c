/* SPDX-License-Identifier: MIT */
/*
 * Backing, the charging of bytes, and the table of ids against a plain array.
 */
#include "tests/unit/gpu_fixture.h"

#include <string.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER

/* ---- the table ------------------------------------------------------------------------------- */

#define MODEL_IDS 512

/* A small generator of our own: the same run everywhere. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void check_against_model(const struct id_table *t, void *const model[MODEL_IDS],
                                const uint32_t ids[MODEL_IDS])
{
    uint32_t count = 0, seen = 0, pos = 0;
    void *value;

    for (uint32_t i = 0; i < MODEL_IDS; i++) {
        assert_ptr_equal(id_table_get(t, ids[i]), model[i]);
        count += model[i] != NULL;
    }
    assert_int_equal(t->count, count);
    while ((value = id_table_next(t, &pos)))
        seen++;
    assert_int_equal(seen, count);
}

static void test_table_model(void **state)
{
    static int values[MODEL_IDS];
    uint32_t ids[MODEL_IDS];
    void *model[MODEL_IDS] = {0};
    struct id_table t;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t s = seed;

        id_table_init(&t);
        memset(model, 0, sizeof(model));
        /* Odd seeds: dense ids as drivers give them; even ones: far apart. */
        for (uint32_t i = 0; i < MODEL_IDS; i++)
            ids[i] = seed % 2 ? i : i * 0x00800000u + (uint32_t)seed;
        for (unsigned step = 0; step < 4000; step++) {
            uint32_t i = next_random(&s) % MODEL_IDS;

            if (next_random(&s) % 3) {
                assert_int_equal(id_table_put(&t, ids[i], &values[i]), model[i] ? -EEXIST : 0);
                model[i] = &values[i];
            } else {
                assert_ptr_equal(id_table_remove(&t, ids[i]), model[i]);
                model[i] = NULL;
            }
            if (step % 500 == 0)
                check_against_model(&t, model, ids);
        }
        check_against_model(&t, model, ids);
        for (uint32_t i = 0; i < MODEL_IDS; i++)
            assert_ptr_equal(id_table_remove(&t, ids[i]), model[i]);
        assert_int_equal(t.count, 0);
        id_table_finish(&t);
        assert_null(id_table_get(&t, 1)); /* empty, and usable */
        assert_null(id_table_remove(&t, 1));
    }
}

/* Commands at random against what a simple model says of each id. */
static void test_resource_model(void **state)
{
    struct fixture *f = *state;
    struct {
        bool exists, backed;
        uint32_t side;
    } model[40] = {0};
    uint64_t seed = 42, bytes = 0;

    for (unsigned step = 0; step < 4000; step++) {
        uint32_t id = next_random(&seed) % ARRAY_SIZE(model);
        bool exists = model[id].exists;

        switch (next_random(&seed) % 4) {
        case 0: {
            uint32_t side = 1 + next_random(&seed) % 64;
            struct virtio_gpu_resource_create_2d req = {
                .resource_id = id, .format = 1, .width = side, .height = side};
            assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, &req),
                             id == 0 || exists ? BAD_RESOURCE : OK);
            if (id != 0 && !exists) {
                model[id].exists = true;
                model[id].backed = false;
                model[id].side = side;
                bytes += side * side * 4;
            }
            break;
        }
        case 1: {
            struct virtio_gpu_resource_unref req = {.resource_id = id};
            assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_UNREF, &req),
                             exists ? OK : BAD_RESOURCE);
            if (exists)
                bytes -= model[id].side * model[id].side * 4;
            model[id].exists = model[id].backed = false;
            break;
        }
        case 2: {
            struct {
                struct virtio_gpu_resource_attach_backing fixed;
                struct virtio_gpu_mem_entry entry;
            } req = {.fixed = {.resource_id = id, .nr_entries = 1},
                     .entry = {.addr = FIXTURE_GPA, .length = 4096}};
            assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, &req),
                             !exists            ? BAD_RESOURCE
                             : model[id].backed ? UNSPEC
                                                : OK);
            model[id].backed = exists;
            break;
        }
        case 3: {
            struct virtio_gpu_resource_detach_backing req = {.resource_id = id};
            assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, &req),
                             model[id].backed ? OK : BAD_RESOURCE);
            model[id].backed = false;
            break;
        }
        }
        uint32_t count = 0, backed = 0;
        for (uint32_t i = 0; i < ARRAY_SIZE(model); i++) {
            count += model[i].exists;
            backed += model[i].backed;
        }
        assert_int_equal(atomic_load(&f->stats.resources), count);
        assert_int_equal(f->refs, backed);
        assert_true(atomic_load(&f->stats.resource_bytes) >= bytes);
        if (backed == 0)
            assert_int_equal(atomic_load(&f->stats.resource_bytes), bytes);
    }
}

/* ---- backing --------------------------------------------------------------------------------- */

static uint32_t attach(struct fixture *f, uint32_t id, uint32_t claimed,
                       const struct virtio_gpu_mem_entry *entries, uint32_t n)
{
    struct virtio_gpu_resource_attach_backing fixed = {.resource_id = id, .nr_entries = claimed};
    size_t size = sizeof(fixed) + n * sizeof(*entries);
    uint8_t *req = malloc(size);
    uint32_t type;

    assert_non_null(req);
    memcpy(req, &fixed, sizeof(fixed));
    if (n > 0)
        memcpy(req + sizeof(fixed), entries, n * sizeof(*entries));
    type = fixture_send(f, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, req, size);
    free(req);
    return type;
}

static void test_attach_errors(void **state)
{
    struct fixture *f = *state;
    struct virtio_gpu_mem_entry e[2] = {{.addr = FIXTURE_GPA, .length = 4096},
                                        {.addr = FIXTURE_GPA + 8192, .length = 4096}};
    const uint64_t end = FIXTURE_GPA + 2 * FIXTURE_REGION_BYTES;

    assert_int_equal(attach(f, 1, 1, e, 1), BAD_RESOURCE);
    fixture_create_2d(f, 1, 32, 32);
    assert_int_equal(attach(f, 1, 0, e, 0), BAD_PARAMETER);
    assert_int_equal(attach(f, 1, 3, e, 2), BAD_PARAMETER); /* claims more than is there */
    assert_int_equal(attach(f, 1, UINT32_MAX, e, 2), BAD_PARAMETER);
    assert_int_equal(attach(f, 1, 1u << 28, e, 2), BAD_PARAMETER); /* wraps to 0 in 32 bits */

    e[1].length = 0;
    assert_int_equal(attach(f, 1, 2, e, 2), BAD_PARAMETER);
    e[1] = (struct virtio_gpu_mem_entry){.addr = FIXTURE_GPA - 1, .length = 16};
    assert_int_equal(attach(f, 1, 2, e, 2), BAD_PARAMETER);
    e[1] = (struct virtio_gpu_mem_entry){.addr = end - 15, .length = 16};
    assert_int_equal(attach(f, 1, 2, e, 2), BAD_PARAMETER); /* one byte past the end */
    e[1] = (struct virtio_gpu_mem_entry){.addr = FIXTURE_GPA, .length = UINT32_MAX};
    assert_int_equal(attach(f, 1, 2, e, 2), BAD_PARAMETER);
    e[1] = (struct virtio_gpu_mem_entry){.addr = UINT64_MAX - 7, .length = 16};
    assert_int_equal(attach(f, 1, 2, e, 2), BAD_PARAMETER);
    assert_int_equal(f->refs, 0); /* each failure let go of what it had */

    f->back_result = -ENOMEM;
    assert_int_equal(attach(f, 1, 1, e, 1), NO_MEMORY);
    f->back_result = 0;
    assert_int_equal(f->refs, 0);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 32 * 32 * 4);

    assert_int_equal(attach(f, 1, 1, e, 1), OK);
    assert_int_equal(attach(f, 1, 1, e, 1), UNSPEC); /* has one */
    assert_int_equal(f->refs, 1);

    struct virtio_gpu_resource_detach_backing detach = {.resource_id = 2};
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, &detach), BAD_RESOURCE);
    detach.resource_id = 1;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, &detach), OK);
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, &detach), BAD_RESOURCE);
    assert_int_equal(f->refs, 0);
}

static void test_attach_limits(void **state)
{
    struct fixture *f = *state;
    struct gpu_limits limits = gpu_limits_default;
    struct virtio_gpu_mem_entry e[5];

    for (uint32_t i = 0; i < ARRAY_SIZE(e); i++)
        e[i] = (struct virtio_gpu_mem_entry){.addr = FIXTURE_GPA + 8192 * i, .length = 4096};
    limits.max_backing_entries = 4;
    limits.max_total_bytes = 4 * 4 + 100; /* not enough for the list itself */
    fixture_make_device(f, &limits, 1);
    fixture_create_2d(f, 1, 2, 2);
    assert_int_equal(attach(f, 1, 5, e, 5), NO_MEMORY);
    assert_int_equal(attach(f, 1, 4, e, 4), NO_MEMORY);
    assert_int_equal(f->refs, 0);
    assert_int_equal(atomic_load(&f->stats.resource_bytes), 16);
    limits.max_total_bytes += 1000;
    fixture_make_device(f, &limits, 1);
    fixture_create_2d(f, 1, 2, 2);
    assert_int_equal(attach(f, 1, 4, e, 4), OK);
}

static void test_scattered_backing(void **state)
{
    struct fixture *f = *state;
    /* One entry across both regions, two that touch, many small ones in reverse. */
    struct virtio_gpu_mem_entry e[3 + 300] = {
        {.addr = FIXTURE_GPA + FIXTURE_REGION_BYTES - 64, .length = 128},
        {.addr = FIXTURE_GPA, .length = 64},
        {.addr = FIXTURE_GPA + 64, .length = 64},
    };
    struct virtio_gpu_transfer_to_host_2d req = {.resource_id = 1, .r = {0, 0, 32, 12}};
    const struct gpu_resource *res;
    uint32_t pixels[32 * 12], value = 0;

    for (uint32_t i = 0; i < 300; i++)
        e[3 + i] =
            (struct virtio_gpu_mem_entry){.addr = FIXTURE_GPA + 0x2000 - 8 * (i + 1), .length = 4};
    for (size_t i = 0; i < ARRAY_SIZE(e); i++) {
        for (uint32_t at = 0; at < e[i].length; at += 4, value++)
            memcpy(fixture_ram(f, e[i].addr + at), &value, 4);
    }
    fixture_create_2d(f, 1, 32, 12);
    assert_int_equal(attach(f, 1, ARRAY_SIZE(e), e, ARRAY_SIZE(e)), OK);
    assert_int_equal(f->refs, 2); /* one for each region, not for each entry */
    res = gpu_resource_get(f->dev, 1);
    assert_int_equal(res->iov_count, 2 + 1 + 300);
    assert_int_equal(res->backing_bytes, 128 + 128 + 300 * 4);
    req.r.height = 11;
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), OK);
    assert_int_equal(f->ops.read_pixels(f->backend, 1, 0, 0, 32, 11, pixels, 128), 0);
    for (uint32_t i = 0; i < 32 * 11; i++)
        assert_int_equal(pixels[i], i);
    req.r.height = 12; /* the backing ends in row 11 */
    assert_int_equal(SEND(f, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, &req), BAD_PARAMETER);
}

/* ---- formats --------------------------------------------------------------------------------- */

static void test_format_bytes(void **state)
{
    const struct {
        struct backend_resource_args args;
        uint64_t bytes;
    } cases[] = {
        {{.target = 2, .format = 1, .width = 3, .height = 5, .depth = 1}, 60},
        {{.target = 0, .format = 31, .width = 77, .height = 1, .depth = 1}, 77},
        {{.target = 2, .format = 105, .width = 5, .height = 4, .depth = 1}, 16},   /* DXT1 */
        {{.target = 2, .format = 292, .width = 13, .height = 12, .depth = 1}, 32}, /* ASTC 12x12 */
        {{.target = 2, .format = 64, .width = 4, .height = 4, .depth = 1, .nr_samples = 8}, 128},
        {{.target = 7, .format = 64, .width = 4, .height = 4, .depth = 1, .array_size = 3}, 48},
        {{.target = 2, .format = 64, .width = 4, .height = 1, .depth = 1, .last_level = 2}, 7},
        {{.target = 2, .format = 99999, .width = 1, .height = 1, .depth = 1}, 16},
        {{.target = 2, .format = 0, .width = 1, .height = 1, .depth = 1}, 16},
        {{.target = 3,
          .format = 27,
          .width = UINT32_MAX,
          .height = UINT32_MAX,
          .depth = UINT32_MAX,
          .last_level = UINT32_MAX},
         UINT64_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_true(gpu_format_resource_bytes(&cases[i].args, 1) == cases[i].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        cmocka_unit_test(test_table_model), TEST(test_resource_model),
        TEST(test_attach_errors),           TEST(test_attach_limits),
        TEST(test_scattered_backing),       cmocka_unit_test(test_format_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
