/* SPDX-License-Identifier: MIT */
/*
 * A vGPU over a render node of fake_virtgpu.c, with a context. For unit tests of
 * guest-driver/virtgpu/.
 */
#ifndef ALIQUOT_TESTS_VIRTGPU_FIXTURE_H
#define ALIQUOT_TESTS_VIRTGPU_FIXTURE_H

#include "guest-driver/virtgpu/virtgpu.h"
#include "tests/unit/fake_virtgpu.h"

#define BGRA8 1

struct virtgpu_scene {
    int fds; /* that were open before */
    struct aliquot_vgpu *vgpu;
    struct aliquot_context *context;
};

/* For cmocka: *state is a struct virtgpu_scene. No descriptor is left open. */
int virtgpu_set_up(void **state);
int virtgpu_tear_down(void **state);

/* One more, that does not wait for long. */
struct aliquot_vgpu *open_vgpu(uint64_t memory_bytes);
struct aliquot_resource *make_texture(struct aliquot_vgpu *vgpu);
extern const struct aliquot_resource_args texture; /* what it makes */
/* Commands with a fence. */
struct aliquot_fence *submit(struct aliquot_context *context);

/* The last error says something of words; there was none. */
void expect_error(struct aliquot_vgpu *vgpu, const char *words);
void expect_no_error(struct aliquot_vgpu *vgpu);

#endif
