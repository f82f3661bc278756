/* SPDX-License-Identifier: MIT */
/*
 * An OpenGL ES 3 context without a window system: EGL on surfaceless Mesa, on GBM over a DRM node,
 * or on the EGL device platform (for drivers that have neither). The same set-up natively and in
 * a guest; the samples draw into framebuffer objects, so no platform needs a window.
 */
#ifndef ALIQUOT_SAMPLES_GL_PLATFORM_H
#define ALIQUOT_SAMPLES_GL_PLATFORM_H

#include <epoxy/egl.h>
#include <stdbool.h>
#include <stdint.h>

struct gbm_device;

enum gl_platform_kind {
    GL_PLATFORM_AUTO,
    GL_PLATFORM_SURFACELESS,
    GL_PLATFORM_GBM,
    GL_PLATFORM_DEVICE,
};

struct gl_platform {
    enum gl_platform_kind kind; /* the one in use, never AUTO */
    EGLDisplay display;
    EGLConfig config;
    EGLContext context;
    int fd;                 /* DRM node behind GBM, owned; -1 = none */
    struct gbm_device *gbm; /* owned; NULL = none */
};

bool gl_platform_kind_parse(const char *text, enum gl_platform_kind *ret);
const char *gl_platform_kind_name(enum gl_platform_kind kind);

/*
 * Opens a context and makes it current without a surface. AUTO takes GBM on the first render node
 * that works, then surfaceless, then the device platform. device names the DRM node for GBM and
 * DEVICE; NULL = the first that works. Returns 0, or a negative errno after a message on stderr.
 */
int gl_platform_open(struct gl_platform *p, enum gl_platform_kind kind, const char *device);

/*
 * GBM on an open node, with a configuration that can draw to GBM surfaces of the given format.
 * The descriptor is consumed in any case.
 */
int gl_platform_open_gbm(struct gl_platform *p, int fd, uint32_t format);

void gl_platform_close(struct gl_platform *p);

#endif
