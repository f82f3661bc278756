/* SPDX-License-Identifier: MIT */
#include "samples/gl_sample.h"

#include "samples/frame_times.h"
#include "samples/gl_kms.h"
#include "samples/gl_options.h"
#include "samples/gl_report.h"
#include "samples/png_io.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

/* The framebuffer object that frames are drawn to. */
struct target {
    GLuint framebuffer, color, depth;
    uint32_t width, height;
};

static int complain(int error, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
    return -error;
}

static int target_init(struct target *t, uint32_t width, uint32_t height)
{
    t->width = width;
    t->height = height;
    glGenRenderbuffers(1, &t->color);
    glBindRenderbuffer(GL_RENDERBUFFER, t->color);
    glRenderbufferStorage(GL_RENDERBUFFER, GL_RGBA8, width, height);
    glGenRenderbuffers(1, &t->depth);
    glBindRenderbuffer(GL_RENDERBUFFER, t->depth);
    glRenderbufferStorage(GL_RENDERBUFFER, GL_DEPTH_COMPONENT24, width, height);
    glGenFramebuffers(1, &t->framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, t->framebuffer);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, t->color);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_DEPTH_ATTACHMENT, GL_RENDERBUFFER, t->depth);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
        return complain(ENOTSUP, "framebuffer of this size");
    return 0;
}

static void target_finish(struct target *t)
{
    glDeleteFramebuffers(1, &t->framebuffer);
    glDeleteRenderbuffers(1, &t->color);
    glDeleteRenderbuffers(1, &t->depth);
}

/* OpenGL counts rows from the bottom, PNG from the top. */
static void flip_rows(uint8_t *pixels, size_t stride, uint32_t height)
{
    for (uint32_t top = 0, bottom = height - 1; top < bottom; top++, bottom--) {
        uint8_t *a = pixels + top * stride, *b = pixels + bottom * stride;
        for (size_t i = 0; i < stride; i++) {
            uint8_t byte = a[i];
            a[i] = b[i];
            b[i] = byte;
        }
    }
}

static int target_write_png(const struct target *t, const char *path)
{
    size_t stride = (size_t)t->width * 4;
    uint8_t *pixels = malloc(stride * t->height);
    if (!pixels)
        return complain(ENOMEM, path);
    glBindFramebuffer(GL_FRAMEBUFFER, t->framebuffer);
    glReadPixels(0, 0, t->width, t->height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    flip_rows(pixels, stride, t->height);
    int r = png_write_rgba(path, pixels, t->width, t->height, stride);
    free(pixels);
    return r < 0 ? complain(-r, path) : 0;
}

/* One frame, from its first command to its completion, on the display if there is one. */
static int draw_frame(const struct gl_sample *sample, const struct target *t, struct gl_kms *kms,
                      uint32_t frame)
{
    glBindFramebuffer(GL_FRAMEBUFFER, t->framebuffer);
    glViewport(0, 0, t->width, t->height);
    sample->draw(frame, t->width, t->height);
    if (!kms) {
        glFinish();
        return 0;
    }
    glBindFramebuffer(GL_READ_FRAMEBUFFER, t->framebuffer);
    glBindFramebuffer(GL_DRAW_FRAMEBUFFER, 0);
    glBlitFramebuffer(0, 0, t->width, t->height, 0, 0, t->width, t->height, GL_COLOR_BUFFER_BIT,
                      GL_NEAREST);
    return gl_kms_present(kms);
}

static int draw_frames(const struct gl_sample *sample, const struct sample_options *options,
                       const struct target *t, struct gl_kms *kms, struct frame_times *times)
{
    uint64_t begin_ns = frame_now_ns();
    for (uint32_t i = 0; sample_options_go_on(options, i, frame_now_ns() - begin_ns); i++) {
        uint64_t start_ns = frame_now_ns();
        int r = draw_frame(sample, t, kms, options->first_frame + i);
        if (r < 0)
            return r;
        if (frame_times_add(times, frame_now_ns() - start_ns) < 0)
            return complain(ENOMEM, "frame times");
        if (eglGetError() != EGL_SUCCESS || glGetError() != GL_NO_ERROR)
            return complain(EIO, "OpenGL reports an error");
    }
    return 0;
}

static void hold(double seconds)
{
    uint64_t end_ns = frame_now_ns() + (seconds < 0 ? 0 : seconds * NS_PER_S);
    for (;;) {
        uint64_t now = frame_now_ns();
        if (seconds >= 0 && now >= end_ns)
            return;
        int timeout_ms = seconds < 0 ? -1 : (int)((end_ns - now) / 1000000) + 1;
        struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
        char buf[256];
        if (poll(&pfd, seconds < 0 ? 1 : 0, timeout_ms) > 0 &&
            read(STDIN_FILENO, buf, sizeof(buf)) <= 0)
            return;
    }
}

static int run(const struct gl_sample *sample, const struct gl_options *options,
               const struct gl_platform *platform, struct gl_kms *kms)
{
    const struct sample_options *common = &options->common;
    uint32_t width = kms ? kms->mode.hdisplay : common->width;
    uint32_t height = kms ? kms->mode.vdisplay : common->height;
    printf("GL_RENDERER: %s\nGL_VERSION: %s\n%ux%u, EGL platform %s\n",
           (const char *)glGetString(GL_RENDERER), (const char *)glGetString(GL_VERSION), width,
           height, gl_platform_kind_name(platform->kind));
    fflush(stdout);

    struct target target = {0};
    struct frame_times times = {0};
    int r = target_init(&target, width, height);
    if (r == 0)
        r = sample->init();
    if (r == 0) {
        r = draw_frames(sample, common, &target, kms, &times);
        if (r == 0 && common->png)
            r = target_write_png(&target, common->png);
        if (r == 0)
            r = gl_report(options, platform->kind, width, height, &times);
        if (r == 0 && kms)
            hold(options->hold_s);
        sample->finish();
    }
    target_finish(&target);
    frame_times_finish(&times);
    return r;
}

int gl_sample_main(const struct gl_sample *sample, int argc, char **argv)
{
    struct gl_options options;
    int exit_code;
    if (gl_options_parse(&options, argc, argv, sample->summary, &exit_code) < 0)
        return exit_code;

    struct gl_platform platform;
    struct gl_kms kms;
    int r = options.kms ? gl_kms_open(&kms, &platform, options.device, options.display,
                                      options.common.width, options.common.height)
                        : gl_platform_open(&platform, options.platform, options.device);
    if (r < 0)
        return 1;
    r = run(sample, &options, &platform, options.kms ? &kms : NULL);
    if (options.kms)
        gl_kms_close(&kms);
    gl_platform_close(&platform);
    return r < 0 ? 1 : 0;
}
