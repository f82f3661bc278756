/* SPDX-License-Identifier: MIT */
/*
 * Which GPUs this machine has, and which of them to use. Used by the virgl backend and by
 * `aliquot-renderer --probe`. docs/gpu.md is the operator's side of it.
 *
 * GPUs are found through libdrm and EGL's list of devices. What touches a driver runs in a child
 * process with a deadline: a driver that crashes or hangs costs one line of the result.
 */
#ifndef ALIQUOT_RENDERER_GPU_PROBE_H
#define ALIQUOT_RENDERER_GPU_PROBE_H

#include <stdbool.h>
#include <stdio.h>

struct gpu_choice {
    char id[64]; /* "software", "/dev/dri/renderDN", "egl:N" */
    bool hardware;
};

/* Prints {"gpus": […], "auto": "…", "why": "…"}. 0 or a negative errno. */
int gpu_probe_print(FILE *out);

/* wanted: an id, which is checked for its form alone, or "auto" (also NULL): hardware if any works,
 * else software. *why is set in any case, to a sentence, the reason or the error, that is valid
 * until the next call here. -EINVAL: not an id. */
int gpu_choose(const char *wanted, struct gpu_choice *ret, const char **why);

#endif
