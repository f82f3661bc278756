/* SPDX-License-Identifier: MIT */
/*
 * The environment that makes unmodified Mesa draw on a vGPU's socket, in one of two ways: through
 * the shim, a library to preload that shows the vGPU as a render node, or through vtest, a protocol
 * that Mesa speaks by itself. Used by "aliquot run" and "aliquot cdi".
 */
#ifndef ALIQUOT_CLI_GPU_ENV_H
#define ALIQUOT_CLI_GPU_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum gpu_via { GPU_VIA_SHIM, GPU_VIA_VTEST };

struct gpu_variable {
    const char *name;
    char *value; /* owned; NULL = to be unset */
};

#define GPU_ENV_MAX 8

struct gpu_env {
    struct gpu_variable variables[GPU_ENV_MAX];
    size_t count;
};

/* "shim" or "vtest". */
bool gpu_via_parse(const char *text, enum gpu_via *ret);

/* shim: its path, not used for vtest; preload: what LD_PRELOAD is without it, NULL = nothing.
 * -ENOMEM, or -EINVAL after a message where LD_PRELOAD can't hold the path. */
int gpu_env_init(struct gpu_env *env, enum gpu_via via, const char *socket, const char *shim,
                 const char *preload);
void gpu_env_finish(struct gpu_env *env);

/* Changes our own environment. -ENOMEM or 0. */
int gpu_env_apply(const struct gpu_env *env);
/* Lines for a POSIX shell. */
void gpu_env_print(const struct gpu_env *env, FILE *out);

#endif
