/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/egl_internal.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <fcntl.h>

static EGLContext create(struct egl_gpu *gpu, int major, int minor, bool shared, bool compat)
{
    static const EGLint levels[] = {
        [BACKEND_PRIORITY_LOW] = EGL_CONTEXT_PRIORITY_LOW_IMG,
        [BACKEND_PRIORITY_MEDIUM] = EGL_CONTEXT_PRIORITY_MEDIUM_IMG,
        [BACKEND_PRIORITY_HIGH] = EGL_CONTEXT_PRIORITY_HIGH_IMG,
    };
    EGLint attributes[16];
    int n = 0;

    attributes[n++] = EGL_CONTEXT_MAJOR_VERSION;
    attributes[n++] = major;
    attributes[n++] = EGL_CONTEXT_MINOR_VERSION;
    attributes[n++] = minor;
    if (!gpu->gles) {
        attributes[n++] = EGL_CONTEXT_OPENGL_PROFILE_MASK;
        attributes[n++] = compat ? EGL_CONTEXT_OPENGL_COMPATIBILITY_PROFILE_BIT
                                 : EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT;
    }
    if (gpu->robust) {
        /* A guest's indices are kept inside its own buffers, and a GPU reset is told instead of
         * ending the process. */
        attributes[n++] = EGL_CONTEXT_OPENGL_ROBUST_ACCESS;
        attributes[n++] = EGL_TRUE;
        attributes[n++] = EGL_CONTEXT_OPENGL_RESET_NOTIFICATION_STRATEGY;
        attributes[n++] = EGL_LOSE_CONTEXT_ON_RESET;
    }
    if (gpu->has_priority) {
        attributes[n++] = EGL_CONTEXT_PRIORITY_LEVEL_IMG;
        attributes[n++] = levels[gpu->priority];
    }
    attributes[n] = EGL_NONE;
    return eglCreateContext(gpu->display, gpu->config, shared ? gpu->root : EGL_NO_CONTEXT,
                            attributes);
}

void *egl_gpu_create_context(struct egl_gpu *gpu, int major, int minor, bool shared, bool compat)
{
    EGLContext context;

    eglBindAPI(gpu->gles ? EGL_OPENGL_ES_API : EGL_OPENGL_API);
    context = create(gpu, major, minor, shared, compat);
    if (context == EGL_NO_CONTEXT && gpu->robust && gpu->root == EGL_NO_CONTEXT) {
        /* Contexts that share must agree, so this is decided with the first. */
        gpu->robust = false;
        context = create(gpu, major, minor, shared, compat);
        gpu->robust = context == EGL_NO_CONTEXT;
    }
    if (context != EGL_NO_CONTEXT && !shared)
        gpu->root = context;
    return context;
}

void egl_gpu_destroy_context(struct egl_gpu *gpu, void *context)
{
    if (!context)
        return;
    if (gpu->root == context)
        gpu->root = EGL_NO_CONTEXT;
    eglDestroyContext(gpu->display, context);
}

int egl_gpu_make_current(struct egl_gpu *gpu, void *context)
{
    /* The API is bound per thread, and "none current" is per API. */
    eglBindAPI(gpu->gles ? EGL_OPENGL_ES_API : EGL_OPENGL_API);
    return eglMakeCurrent(gpu->display, EGL_NO_SURFACE, EGL_NO_SURFACE, context) ? 0 : -EIO;
}

bool egl_gpu_lost(struct egl_gpu *gpu)
{
    if (gpu->reset_query == RESET_UNKNOWN) {
        if (!gpu->robust)
            gpu->reset_query = RESET_NONE;
        else if (!gpu->gles && epoxy_gl_version() >= 45)
            gpu->reset_query = RESET_CORE;
        else if (epoxy_has_gl_extension("GL_KHR_robustness"))
            gpu->reset_query = RESET_KHR;
        else if (epoxy_has_gl_extension("GL_ARB_robustness"))
            gpu->reset_query = RESET_ARB;
        else
            gpu->reset_query = RESET_NONE;
    }
    switch (gpu->reset_query) {
    case RESET_CORE:
        return glGetGraphicsResetStatus() != GL_NO_ERROR;
    case RESET_KHR:
        return glGetGraphicsResetStatusKHR() != GL_NO_ERROR;
    case RESET_ARB:
        return glGetGraphicsResetStatusARB() != GL_NO_ERROR;
    default:
        return false;
    }
}

int egl_gpu_export_texture(struct egl_gpu *gpu, uint32_t texture, struct backend_dmabuf *ret)
{
    EGLuint64KHR modifier = 0;
    EGLint stride = 0, offset = 0;
    int fourcc = 0, planes = 0, fd = -1;
    EGLImageKHR image;

    if (!gpu->can_export)
        return -EOPNOTSUPP;
    image = eglCreateImageKHR(gpu->display, eglGetCurrentContext(), EGL_GL_TEXTURE_2D_KHR,
                              (EGLClientBuffer)(uintptr_t)texture, NULL);
    if (image == EGL_NO_IMAGE_KHR)
        return -EOPNOTSUPP;
    if (!eglExportDMABUFImageQueryMESA(gpu->display, image, &fourcc, &planes, &modifier) ||
        planes != 1 || !eglExportDMABUFImageMESA(gpu->display, image, &fd, &stride, &offset) ||
        fd < 0) {
        eglDestroyImageKHR(gpu->display, image);
        return -EOPNOTSUPP;
    }
    eglDestroyImageKHR(gpu->display, image);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    ret->fd = fd;
    ret->stride = (uint32_t)stride;
    ret->offset = (uint32_t)offset;
    ret->fourcc = (uint32_t)fourcc;
    ret->modifier = modifier;
    return 0;
}
