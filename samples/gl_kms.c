/* SPDX-License-Identifier: MIT */
#include "samples/gl_kms.h"

#include <errno.h>
#include <fcntl.h>
#include <gbm.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xf86drm.h>

#define FORMAT GBM_FORMAT_XRGB8888
#define CARDS_MAX 64
#define FLIP_TIMEOUT_MS 10000 /* an emulated guest on a busy host is slow, never this slow */

static int fail(int error, const char *what)
{
    fprintf(stderr, "%s: KMS: %s: %s\n", program_invocation_short_name, what, strerror(error));
    return -error;
}

/* The index'th connected connector; the caller frees it. NULL = there are not so many. */
static drmModeConnector *find_connector(int fd, const drmModeRes *resources, uint32_t index)
{
    for (int i = 0; i < resources->count_connectors; i++) {
        drmModeConnector *c = drmModeGetConnector(fd, resources->connectors[i]);
        if (c && c->connection == DRM_MODE_CONNECTED && c->count_modes > 0 && index-- == 0)
            return c;
        drmModeFreeConnector(c);
    }
    return NULL;
}

static bool find_mode(const drmModeConnector *connector, uint32_t width, uint32_t height,
                      drmModeModeInfo *ret)
{
    for (int i = 0; i < connector->count_modes; i++) {
        const drmModeModeInfo *mode = &connector->modes[i];
        if (width ? mode->hdisplay == width && mode->vdisplay == height
                  : mode->type & DRM_MODE_TYPE_PREFERRED) {
            *ret = *mode;
            return true;
        }
    }
    if (width)
        return false;
    *ret = connector->modes[0];
    return true;
}

static void print_modes(const drmModeConnector *connector)
{
    fprintf(stderr, "%s: the display has:", program_invocation_short_name);
    for (int i = 0; i < connector->count_modes; i++)
        fprintf(stderr, " %s", connector->modes[i].name);
    fprintf(stderr, "\n");
}

/* A CRTC that the connector can use; 0 = none. */
static uint32_t find_crtc(int fd, const drmModeRes *resources, const drmModeConnector *connector)
{
    for (int i = 0; i < connector->count_encoders; i++) {
        drmModeEncoder *encoder = drmModeGetEncoder(fd, connector->encoders[i]);
        if (!encoder)
            continue;
        uint32_t possible = encoder->possible_crtcs;
        drmModeFreeEncoder(encoder);
        for (int j = 0; j < resources->count_crtcs && j < 32; j++)
            if (possible & (1u << j))
                return resources->crtcs[j];
    }
    return 0;
}

static int choose_output(struct gl_kms *kms, int fd, uint32_t display, uint32_t width,
                         uint32_t height)
{
    drmModeRes *resources = drmModeGetResources(fd);
    if (!resources)
        return fail(errno, "the card has no displays");
    int r = 0;
    drmModeConnector *connector = find_connector(fd, resources, display);
    if (!connector) {
        r = fail(ENODEV, "no such connected display");
    } else if (!find_mode(connector, width, height, &kms->mode)) {
        r = fail(ENOENT, "the display has no mode of this size");
        print_modes(connector);
    } else {
        kms->connector_id = connector->connector_id;
        kms->crtc_id = find_crtc(fd, resources, connector);
        if (!kms->crtc_id)
            r = fail(ENODEV, "no CRTC for the display");
    }
    drmModeFreeConnector(connector);
    drmModeFreeResources(resources);
    return r;
}

static bool has_displays(int fd)
{
    drmModeRes *resources = drmModeGetResources(fd);
    bool yes = resources && resources->count_crtcs > 0;
    drmModeFreeResources(resources);
    return yes;
}

static int open_card(const char *card)
{
    if (card) {
        int fd = open(card, O_RDWR | O_CLOEXEC);
        return fd < 0 ? fail(errno, card) : fd;
    }
    for (int i = 0; i < CARDS_MAX; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/dev/dri/card%d", i);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (has_displays(fd))
            return fd;
        close(fd);
    }
    return fail(ENODEV, "no /dev/dri/card* with a display");
}

static int make_surface(struct gl_kms *kms, struct gl_platform *platform)
{
    kms->surface = gbm_surface_create(platform->gbm, kms->mode.hdisplay, kms->mode.vdisplay, FORMAT,
                                      GBM_BO_USE_SCANOUT | GBM_BO_USE_RENDERING);
    if (!kms->surface)
        return fail(errno ? errno : ENOMEM, "gbm_surface_create");
    kms->egl_display = platform->display;
    kms->egl_surface =
        eglCreatePlatformWindowSurfaceEXT(platform->display, platform->config, kms->surface, NULL);
    if (kms->egl_surface == EGL_NO_SURFACE ||
        !eglMakeCurrent(platform->display, kms->egl_surface, kms->egl_surface, platform->context))
        return fail(EIO, "no EGL surface on GBM");
    return 0;
}

int gl_kms_open(struct gl_kms *kms, struct gl_platform *platform, const char *card,
                uint32_t display, uint32_t width, uint32_t height)
{
    *kms = (struct gl_kms){.egl_surface = EGL_NO_SURFACE};
    int fd = open_card(card);
    if (fd < 0)
        return fd;
    int r = choose_output(kms, fd, display, width, height);
    if (r < 0) {
        close(fd);
        return r;
    }
    r = gl_platform_open_gbm(platform, fd, FORMAT);
    if (r < 0)
        return r;
    kms->fd = fd;
    r = make_surface(kms, platform);
    if (r < 0) {
        gl_kms_close(kms);
        gl_platform_close(platform);
    }
    return r;
}

/* What a buffer carries for KMS, as long as GBM keeps the buffer. */
struct framebuffer {
    int fd; /* borrowed */
    uint32_t id;
};

static void framebuffer_destroy(struct gbm_bo *bo, void *data)
{
    struct framebuffer *fb = data;
    drmModeRmFB(fb->fd, fb->id);
    free(fb);
}

static int framebuffer_of(struct gl_kms *kms, struct gbm_bo *bo, uint32_t *ret_id)
{
    struct framebuffer *fb = gbm_bo_get_user_data(bo);
    if (!fb) {
        fb = malloc(sizeof(*fb));
        if (!fb)
            return fail(ENOMEM, "framebuffer");
        fb->fd = kms->fd;
        const uint32_t handles[4] = {gbm_bo_get_handle(bo).u32};
        const uint32_t strides[4] = {gbm_bo_get_stride(bo)};
        const uint32_t offsets[4] = {0};
        if (drmModeAddFB2(kms->fd, gbm_bo_get_width(bo), gbm_bo_get_height(bo), FORMAT, handles,
                          strides, offsets, &fb->id, 0)) {
            int error = errno;
            free(fb);
            return fail(error, "drmModeAddFB2");
        }
        gbm_bo_set_user_data(bo, fb, framebuffer_destroy);
    }
    *ret_id = fb->id;
    return 0;
}

static void on_flip(int fd, unsigned sequence, unsigned sec, unsigned usec, void *data)
{
    *(bool *)data = true;
}

static int flip(struct gl_kms *kms, uint32_t fb_id)
{
    bool done = false;
    drmEventContext events = {.version = 2, .page_flip_handler = on_flip};
    if (drmModePageFlip(kms->fd, kms->crtc_id, fb_id, DRM_MODE_PAGE_FLIP_EVENT, &done))
        return fail(errno, "drmModePageFlip");
    while (!done) {
        struct pollfd pfd = {.fd = kms->fd, .events = POLLIN};
        int n = poll(&pfd, 1, FLIP_TIMEOUT_MS);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(errno, "poll");
        if (n == 0)
            return fail(ETIMEDOUT, "the display did not show the frame");
        if (drmHandleEvent(kms->fd, &events))
            return fail(EIO, "drmHandleEvent");
    }
    return 0;
}

int gl_kms_present(struct gl_kms *kms)
{
    if (!eglSwapBuffers(kms->egl_display, kms->egl_surface))
        return fail(EIO, "eglSwapBuffers");
    struct gbm_bo *bo = gbm_surface_lock_front_buffer(kms->surface);
    if (!bo)
        return fail(EIO, "gbm_surface_lock_front_buffer");
    uint32_t fb_id = 0;
    int r = framebuffer_of(kms, bo, &fb_id);
    if (r == 0 && kms->shown)
        r = flip(kms, fb_id);
    else if (r == 0 &&
             drmModeSetCrtc(kms->fd, kms->crtc_id, fb_id, 0, 0, &kms->connector_id, 1, &kms->mode))
        r = fail(errno, "drmModeSetCrtc");
    if (r < 0) {
        gbm_surface_release_buffer(kms->surface, bo);
        return r;
    }
    if (kms->shown)
        gbm_surface_release_buffer(kms->surface, kms->shown);
    kms->shown = bo;
    return 0;
}

void gl_kms_close(struct gl_kms *kms)
{
    if (kms->egl_surface != EGL_NO_SURFACE) {
        eglMakeCurrent(kms->egl_display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
        eglDestroySurface(kms->egl_display, kms->egl_surface);
    }
    if (kms->shown)
        gbm_surface_release_buffer(kms->surface, kms->shown);
    if (kms->surface)
        gbm_surface_destroy(kms->surface);
    *kms = (struct gl_kms){.egl_surface = EGL_NO_SURFACE};
}
