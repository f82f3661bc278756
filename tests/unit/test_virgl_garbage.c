/* SPDX-License-Identifier: MIT */
/*
 * Streams without sense through the virgl backend: each is refused or drawn, nothing crashes.
 * ALIQUOT_GARBAGE_ROUNDS and ALIQUOT_GARBAGE_SEED make it longer and other.
 */
#include "virgl_fixture.h"

#include "mediator/base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SKIP 77

static uint32_t random_word(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*seed >> 32);
}

/* Mostly small numbers, so that some of them are handles, formats and sizes that exist. */
static uint32_t random_value(uint64_t *seed)
{
    uint32_t r = random_word(seed);

    switch (r % 8) {
    case 0:
        return random_word(seed);
    case 1:
        return UINT32_MAX - (r >> 8) % 4;
    case 2:
        return 1u << ((r >> 8) % 32);
    default:
        return (r >> 8) % 12;
    }
}

/* Commands with a right header, or nothing right at all. */
static void random_stream(struct virgl_stream *s, uint64_t *seed)
{
    uint32_t commands = 1 + random_word(seed) % 4;

    s->count = 0;
    if (random_word(seed) % 16 == 0) {
        for (uint32_t i = 0; i < 12; i++)
            virgl_put(s, random_word(seed));
        return;
    }
    for (uint32_t i = 0; i < commands; i++) {
        uint32_t len = random_word(seed) % 24, cut = random_word(seed) % 32 == 0;
        virgl_put_command(s, random_word(seed) % LAST_COMMAND, random_word(seed) % LAST_OBJECT,
                          len + cut);
        for (uint32_t j = 0; j < len; j++)
            virgl_put(s, random_value(seed));
    }
}

/*
 * A stream that draws, with up to three words wrong. Not those that say how long a shader is:
 * virglrenderer 1.1.0 follows a NULL pointer when it draws with a shader whose text has not all
 * come, and a guest that does so ends its renderer. And not how many triangles: 2^32 take a while.
 */
static void damaged_stream(struct virgl_stream *s, uint64_t *seed)
{
    s->count = s->n_kept = 0;
    virgl_put_draw_to(s, 1, 1, B8G8R8A8);
    virgl_put_clear(s, 1, 0, 1, 1);
    virgl_put_draw(s);
    virgl_put_blit(s, 3, 1, B8G8R8A8, 64);
    virgl_put_timestamp(s, 20, 5);
    for (uint32_t i = random_word(seed) % 4; i > 0; i--) {
        size_t at = random_word(seed) % s->count;
        bool keep = false;
        for (size_t k = 0; k < s->n_kept; k++)
            keep |= at - s->kept[k] < VIRGL_KEPT;
        if (!keep)
            s->words[at] = random_value(seed);
    }
}

static void test_garbage(void **state)
{
    const char *text = getenv("ALIQUOT_GARBAGE_ROUNDS");
    unsigned rounds = text ? (unsigned)atoi(text) : 200, failed = 0;
    struct virgl_fixture *f = *state;
    static uint8_t backing[64 * 64 * 4];
    static struct iovec iov = {backing, sizeof(backing)};
    uint64_t seed = 20;

    text = getenv("ALIQUOT_GARBAGE_SEED");
    if (text)
        seed = (uint64_t)atoll(text);
    for (uint32_t id = 1; id <= 4; id++) {
        assert_int_equal(virgl_create_texture(f, id, id % 2 ? B8G8R8A8 : 67, 64, 64, 0), 0);
        assert_int_equal(f->ops->resource_back(f->b, id, &iov, 1), 0);
    }
    assert_int_equal(virgl_create_query_buffer(f, 5, &iov), 0);
    assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "garbage", 7), 0);
    for (unsigned round = 0; round < rounds; round++) {
        struct virgl_stream s;
        for (uint32_t id = 1; id <= 5; id++)
            assert_int_equal(f->ops->ctx_attach(f->b, 1, id), 0);
        if (round == 0)
            damaged_stream(&s, &(uint64_t){0});
        else if (round % 2)
            damaged_stream(&s, &seed);
        else
            random_stream(&s, &seed);
        if (virgl_submit(f, 1, &s) == 0)
            continue;
        /* In error for good: go on with a new one. */
        failed++;
        f->ops->ctx_destroy(f->b, 1);
        assert_int_equal(f->ops->ctx_create(f->b, 1, 2, "garbage", 7), 0);
    }
    assert_int_equal(f->ops->fence(f->b, false, 0, 0, 1), 0);
    virgl_wait_fence(f, 0, 0, 1);
    print_message("%u of %u streams refused\n", failed, rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRGL_TEST(garbage),
    };

    if (!virgl_available("test_virgl_garbage", BACKEND_VULKAN_OFF))
        return SKIP;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
