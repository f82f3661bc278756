/* SPDX-License-Identifier: MIT */
/*
 * What the files behind egl_context.h share:
 *   egl_gpu.c      which GPU an id names, its EGL display, and what that can do
 *   egl_context.c  GL contexts, and what is asked of a current one
 */
#ifndef ALIQUOT_RENDERER_EGL_INTERNAL_H
#define ALIQUOT_RENDERER_EGL_INTERNAL_H

#include "mediator/renderer/egl_context.h"

#include <epoxy/egl.h>
#include <gbm.h>

struct egl_gpu {
    char id[64];
    char driver[32];
    const char *platform;
    bool software; /* promised by the id */
    bool gles;
    bool robust; /* contexts survive a GPU reset and tell of it */
    bool can_export;
    bool has_priority;
    enum backend_priority priority;
    /* How a GPU reset is asked for; found with the first context, asked often. */
    enum { RESET_UNKNOWN, RESET_NONE, RESET_CORE, RESET_KHR, RESET_ARB } reset_query;

    int fd;                 /* owned, render node; -1 = none */
    struct gbm_device *gbm; /* owned */
    EGLDisplay display;     /* owned; EGL_NO_DISPLAY until initialised */
    EGLConfig config;
    EGLContext root; /* borrowed: the newest living context that is not shared */
};

#endif
