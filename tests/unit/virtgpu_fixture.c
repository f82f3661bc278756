/* SPDX-License-Identifier: MIT */
#include "tests/unit/virtgpu_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HASTY_MS 20

const struct aliquot_resource_args texture = {
    .target = 2,
    .format = BGRA8,
    .bind = 2,
    .width = 64,
    .height = 16,
    .depth = 1,
    .array_size = 1,
    .backing_bytes = 64 << 10,
};

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

struct aliquot_vgpu *open_vgpu(uint64_t memory_bytes)
{
    struct aliquot_open_args args = {
        .path = FAKE_NODE, .timeout_ms = HASTY_MS, .memory_bytes = memory_bytes};
    struct aliquot_vgpu *vgpu = NULL;

    assert_int_equal(aliquot_open(&args, &vgpu), 0);
    return vgpu;
}

int virtgpu_set_up(void **state)
{
    struct virtgpu_scene *s = calloc(1, sizeof(*s));

    fake_reset();
    s->fds = count_fds();
    s->vgpu = open_vgpu(ALIQUOT_MEMORY_MIN_BYTES);
    assert_int_equal(aliquot_context_create(s->vgpu, 2, "name", &s->context), 0);
    *state = s;
    return 0;
}

int virtgpu_tear_down(void **state)
{
    struct virtgpu_scene *s = *state;

    aliquot_close(s->vgpu);
    fake_signal();
    assert_int_equal(count_fds(), s->fds);
    free(s);
    return 0;
}

void expect_error(struct aliquot_vgpu *vgpu, const char *words)
{
    char text[ERROR_TEXT_BYTES];

    aliquot_last_error(vgpu, text, sizeof(text));
    if (!strstr(text, words))
        fail_msg("'%s' says nothing of '%s'", text, words);
}

void expect_no_error(struct aliquot_vgpu *vgpu)
{
    assert_int_equal(aliquot_last_error(vgpu, NULL, 0), 0);
}

struct aliquot_resource *make_texture(struct aliquot_vgpu *vgpu)
{
    struct aliquot_resource *resource = NULL;

    assert_int_equal(aliquot_resource_create_3d(vgpu, &texture, &resource), 0);
    return resource;
}

struct aliquot_fence *submit(struct aliquot_context *context)
{
    static const uint32_t words[] = {1, 2, 3};
    struct aliquot_fence *fence = NULL;

    assert_int_equal(aliquot_submit(context, words, sizeof(words), ALIQUOT_RING_NONE, &fence), 0);
    return fence;
}
