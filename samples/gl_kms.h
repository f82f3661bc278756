/* SPDX-License-Identifier: MIT */
/*
 * Puts what OpenGL drew on a display: a mode of the kernel's mode setting (KMS) and a GBM surface
 * whose buffers take turns on it. Used by the GL samples under --kms; needs to be the DRM master,
 * that is, to run where no display server does.
 */
#ifndef ALIQUOT_SAMPLES_GL_KMS_H
#define ALIQUOT_SAMPLES_GL_KMS_H

#include "samples/gl_platform.h"

#include <stdint.h>
#include <xf86drmMode.h>

struct gbm_bo;
struct gbm_surface;

struct gl_kms {
    int fd; /* borrowed from the platform */
    EGLDisplay egl_display;
    EGLSurface egl_surface;
    struct gbm_surface *surface; /* owned */
    struct gbm_bo *shown;        /* on the display now; owned by surface */
    uint32_t connector_id, crtc_id;
    drmModeModeInfo mode;
};

/*
 * Opens the card (NULL = the first /dev/dri/card* with a connected display), its GL context
 * (platform, filled; current on a surface of the mode's size) and the display'th connected display.
 * width 0 = the display's preferred mode, else a mode of that size. Returns 0, or a negative errno
 * after a message on stderr.
 */
int gl_kms_open(struct gl_kms *kms, struct gl_platform *platform, const char *card,
                uint32_t display, uint32_t width, uint32_t height);

/*
 * Shows what was drawn to the default framebuffer, and returns when it is on the display. The wait
 * for it is bounded. Returns 0, or a negative errno after a message on stderr.
 */
int gl_kms_present(struct gl_kms *kms);

/* Before gl_platform_close(). */
void gl_kms_close(struct gl_kms *kms);

#endif
