/* SPDX-License-Identifier: MIT */
#include "samples/gl_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <gbm.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RENDER_NODE_FIRST 128
#define RENDER_NODE_LAST 191
#define DEVICES_MAX 16
#define CONFIGS_MAX 256

static const char *const kind_names[] = {
    [GL_PLATFORM_AUTO] = "auto",
    [GL_PLATFORM_SURFACELESS] = "surfaceless",
    [GL_PLATFORM_GBM] = "gbm",
    [GL_PLATFORM_DEVICE] = "device",
};

bool gl_platform_kind_parse(const char *text, enum gl_platform_kind *ret)
{
    for (unsigned i = 0; i < sizeof(kind_names) / sizeof(kind_names[0]); i++) {
        if (!strcmp(text, kind_names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

const char *gl_platform_kind_name(enum gl_platform_kind kind)
{
    return kind_names[kind];
}

#ifndef EGL_DRM_RENDER_NODE_FILE_EXT /* newer than epoxy's headers */
#define EGL_DRM_RENDER_NODE_FILE_EXT 0x3377
#endif

/* ANY_FORMAT: the context draws to framebuffer objects only. */
#define ANY_FORMAT 0

static bool choose_config(EGLDisplay display, uint32_t format, EGLConfig *ret)
{
    const EGLint wanted[] = {
        EGL_RENDERABLE_TYPE,
        EGL_OPENGL_ES3_BIT,
        EGL_SURFACE_TYPE,
        format == ANY_FORMAT ? 0 : EGL_WINDOW_BIT,
        EGL_NONE,
    };
    EGLConfig configs[CONFIGS_MAX];
    EGLint count = 0;
    if (!eglChooseConfig(display, wanted, configs, CONFIGS_MAX, &count))
        return false;
    for (EGLint i = 0; i < count; i++) {
        EGLint visual = 0;
        if (format != ANY_FORMAT &&
            (!eglGetConfigAttrib(display, configs[i], EGL_NATIVE_VISUAL_ID, &visual) ||
             (uint32_t)visual != format))
            continue;
        *ret = configs[i];
        return true;
    }
    return false;
}

/* The display's context, made current. On failure one word about the step that failed. */
static const char *make_current(struct gl_platform *p, uint32_t format)
{
    EGLint major, minor;
    if (p->display == EGL_NO_DISPLAY)
        return "no display";
    if (!eglInitialize(p->display, &major, &minor))
        return "eglInitialize failed";
    if (!epoxy_has_egl_extension(p->display, "EGL_KHR_surfaceless_context"))
        return "no EGL_KHR_surfaceless_context";
    if (!eglBindAPI(EGL_OPENGL_ES_API))
        return "no OpenGL ES";
    if (!choose_config(p->display, format, &p->config))
        return "no configuration for OpenGL ES 3";
    const EGLint version[] = {EGL_CONTEXT_MAJOR_VERSION, 3, EGL_NONE};
    p->context = eglCreateContext(p->display, p->config, EGL_NO_CONTEXT, version);
    if (p->context == EGL_NO_CONTEXT)
        return "no OpenGL ES 3 context";
    if (!eglMakeCurrent(p->display, EGL_NO_SURFACE, EGL_NO_SURFACE, p->context))
        return "eglMakeCurrent failed";
    return NULL;
}

static const struct gl_platform closed = {
    .display = EGL_NO_DISPLAY,
    .context = EGL_NO_CONTEXT,
    .fd = -1,
};

static const char *open_surfaceless(struct gl_platform *p)
{
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_MESA_platform_surfaceless"))
        return "EGL has no EGL_MESA_platform_surfaceless";
    p->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
    return make_current(p, ANY_FORMAT);
}

static const char *open_gbm_fd(struct gl_platform *p, int fd, uint32_t format)
{
    p->fd = fd;
    p->gbm = gbm_create_device(fd);
    if (!p->gbm)
        return "GBM does not know the device";
    p->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_GBM_KHR, p->gbm, NULL);
    return make_current(p, format);
}

static const char *open_gbm_path(struct gl_platform *p, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? strerror(errno) : open_gbm_fd(p, fd, ANY_FORMAT);
}

static const char *open_gbm(struct gl_platform *p, const char *device)
{
    if (device)
        return open_gbm_path(p, device);
    const char *error = "there is no /dev/dri/renderD*";
    for (int i = RENDER_NODE_FIRST; i <= RENDER_NODE_LAST; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/dev/dri/renderD%d", i);
        if (access(path, F_OK) < 0)
            continue;
        error = open_gbm_path(p, path);
        if (!error)
            return NULL;
        gl_platform_close(p);
    }
    return error;
}

static bool device_is(EGLDeviceEXT egl_device, const char *path)
{
    static const EGLint names[] = {EGL_DRM_DEVICE_FILE_EXT, EGL_DRM_RENDER_NODE_FILE_EXT};
    for (unsigned i = 0; i < 2; i++) {
        const char *name = eglQueryDeviceStringEXT(egl_device, names[i]);
        if (name && !strcmp(name, path))
            return true;
    }
    return false;
}

static const char *open_device(struct gl_platform *p, const char *device)
{
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_device"))
        return "EGL has no EGL_EXT_platform_device";
    EGLDeviceEXT devices[DEVICES_MAX];
    EGLint count = 0;
    if (!eglQueryDevicesEXT(DEVICES_MAX, devices, &count))
        count = 0;
    const char *error = "EGL lists no such device";
    for (EGLint i = 0; i < count; i++) {
        if (device && !device_is(devices[i], device))
            continue;
        p->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_DEVICE_EXT, devices[i], NULL);
        error = make_current(p, ANY_FORMAT);
        if (!error)
            return NULL;
        gl_platform_close(p);
    }
    return error;
}

static const char *open_kind(struct gl_platform *p, enum gl_platform_kind kind, const char *device)
{
    *p = closed;
    p->kind = kind;
    switch (kind) {
    case GL_PLATFORM_SURFACELESS:
        return open_surfaceless(p);
    case GL_PLATFORM_GBM:
        return open_gbm(p, device);
    case GL_PLATFORM_DEVICE:
        return open_device(p, device);
    case GL_PLATFORM_AUTO:
        break;
    }
    return "not a platform";
}

int gl_platform_open(struct gl_platform *p, enum gl_platform_kind kind, const char *device)
{
    static const enum gl_platform_kind order[] = {
        GL_PLATFORM_GBM,
        GL_PLATFORM_SURFACELESS,
        GL_PLATFORM_DEVICE,
    };
    const char *errors[3];
    unsigned tried = 0;
    /* Surfaceless takes no device, so a wish for one leaves it out. */
    for (unsigned i = 0; i < 3; i++) {
        errors[i] = NULL;
        if (kind == GL_PLATFORM_AUTO ? device && order[i] == GL_PLATFORM_SURFACELESS
                                     : order[i] != kind)
            continue;
        tried++;
        errors[i] = open_kind(p, order[i], device);
        if (!errors[i])
            return 0;
        gl_platform_close(p);
    }
    for (unsigned i = 0; i < 3; i++)
        if (errors[i])
            fprintf(stderr, "%s: EGL platform %s: %s\n", program_invocation_short_name,
                    kind_names[order[i]], errors[i]);
    return tried ? -ENODEV : -EINVAL;
}

int gl_platform_open_gbm(struct gl_platform *p, int fd, uint32_t format)
{
    *p = closed;
    p->kind = GL_PLATFORM_GBM;
    const char *error = open_gbm_fd(p, fd, format);
    if (!error)
        return 0;
    fprintf(stderr, "%s: EGL platform gbm: %s\n", program_invocation_short_name, error);
    gl_platform_close(p);
    return -ENODEV;
}

void gl_platform_close(struct gl_platform *p)
{
    if (p->display != EGL_NO_DISPLAY) {
        eglMakeCurrent(p->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
        if (p->context != EGL_NO_CONTEXT)
            eglDestroyContext(p->display, p->context);
        eglTerminate(p->display);
    }
    if (p->gbm)
        gbm_device_destroy(p->gbm);
    if (p->fd >= 0)
        close(p->fd);
    *p = closed;
}
