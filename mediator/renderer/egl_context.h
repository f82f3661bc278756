/* SPDX-License-Identifier: MIT */
/*
 * An EGL display on one chosen GPU, without any window system, and the GL contexts on it. Used by
 * the virgl backend, which hands the contexts to virglrenderer, and by the probe.
 *
 * A GPU is named as in docs/gpu.md: "software", "/dev/dri/renderD128" or "egl:0".
 *
 * Opening changes the process's environment (Mesa is steered by it), so it belongs before the first
 * thread and before anything else that uses EGL. Contexts may be made current by any thread;
 * everything else is for the thread that opened the display.
 */
#ifndef ALIQUOT_RENDERER_EGL_CONTEXT_H
#define ALIQUOT_RENDERER_EGL_CONTEXT_H

#include "mediator/renderer/backend.h"

#include <stdbool.h>
#include <stdint.h>

#define EGL_GPU_SOFTWARE "software"
#define EGL_GPU_NODE_PREFIX "/dev/dri/renderD"
#define EGL_GPU_DEVICE_PREFIX "egl:"

struct egl_gpu;

/* A device that EGL knows: the numbers behind "egl:N". */
struct egl_gpu_device {
    bool software;
    char render_node[64]; /* "" = none */
};

/* Fills at most max entries; returns how many devices there are (at most max), or -EOPNOTSUPP where
 * EGL is missing or can't list devices. */
int egl_gpu_devices(struct egl_gpu_device *ret_devices, int max);

/* True if id has one of the three forms. */
bool egl_gpu_id_valid(const char *id);

/* On failure *ret_error is a sentence for the operator, valid until the next failure here. */
int egl_gpu_open(const char *id, struct egl_gpu **ret, const char **ret_error);
void egl_gpu_close(struct egl_gpu *gpu);

/* What the driver lets go first on the GPU (EGL_IMG_context_priority), for contexts made from now
 * on. A driver that has no such thing, or refuses it to this process, draws as it does. */
void egl_gpu_set_priority(struct egl_gpu *gpu, enum backend_priority priority);

/* What it was opened by. */
const char *egl_gpu_id(const struct egl_gpu *gpu);
/* The EGLDisplay, for who asks EGL itself. */
void *egl_gpu_display(const struct egl_gpu *gpu);
/* "surfaceless", "gbm" or "device". */
const char *egl_gpu_platform(const struct egl_gpu *gpu);
/* The kernel's or, without a DRM node, EGL's name of the driver; "" = unknown. */
const char *egl_gpu_driver(const struct egl_gpu *gpu);

/* Whether contexts are OpenGL ES; desktop OpenGL unless the GPU has none. Changing it is for before
 * the first context. False: the GPU does not have that API. */
bool egl_gpu_gles(const struct egl_gpu *gpu);
bool egl_gpu_set_gles(struct egl_gpu *gpu, bool gles);

/* A context of exactly or at least that version (core profile unless compat), NULL if there is
 * none. A shared one shares objects with the newest living one that was not made shared. */
void *egl_gpu_create_context(struct egl_gpu *gpu, int major, int minor, bool shared, bool compat);
void egl_gpu_destroy_context(struct egl_gpu *gpu, void *context);
/* Of the calling thread; NULL = none. 0 or -EIO. */
int egl_gpu_make_current(struct egl_gpu *gpu, void *context);

/* With a context current: GL_RENDERER ("" = unknown), and whether it is what the id promised, a
 * software renderer for "software" and real hardware for all others. */
const char *egl_gpu_renderer(const struct egl_gpu *gpu);
bool egl_gpu_renderer_fits(const struct egl_gpu *gpu, const char **ret_error);

/* With a context current: the GPU was reset and all contexts are lost. */
bool egl_gpu_lost(struct egl_gpu *gpu);

/* Exports a 2D texture of the current context as one plane; width and height are left alone.
 * -EOPNOTSUPP where the driver can't. */
int egl_gpu_export_texture(struct egl_gpu *gpu, uint32_t texture, struct backend_dmabuf *ret);

#endif
