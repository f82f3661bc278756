/* SPDX-License-Identifier: MIT */
/* What the C tests of libaliquot-guest share. */
#ifndef ALIQUOT_TESTS_VGPU_H
#define ALIQUOT_TESTS_VGPU_H

#include <aliquot-guest.h>

/* For time-outs: long enough for a loaded machine where the answer comes, and short where it never
 * does. */
#define PATIENT_MS 10000
#define HASTY_MS 200

/* A submission that does nothing. */
extern const uint32_t nop[1];

/* Descriptors of this process. */
int count_fds(void);

/* Opens a vGPU over a path, or a connected descriptor where path is NULL; fails the test if that
 * fails. */
struct aliquot_vgpu *open_vgpu(const char *path, int fd, uint32_t timeout_ms);

/* A context for virgl2. */
struct aliquot_context *make_context(struct aliquot_vgpu *vgpu);

/* Submits nop with a fence. */
struct aliquot_fence *submit(struct aliquot_context *context);

bool is_readable(int fd, int timeout_ms);

#endif
