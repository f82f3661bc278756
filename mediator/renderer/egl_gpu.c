/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/egl_internal.h"

#include "mediator/base/util.h"

#include <dlfcn.h>
#include <epoxy/egl.h>
#include <epoxy/gl.h>
#include <errno.h>
#include <fcntl.h>
#include <gbm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xf86drm.h>

/* EGL_EXT_device_drm_render_node; libepoxy 1.5.10 is older. */
#ifndef EGL_DRM_RENDER_NODE_FILE_EXT
#define EGL_DRM_RENDER_NODE_FILE_EXT 0x3377
#endif

/* Far above any real machine; bounds the arrays below. */
#define MAX_EGL_DEVICES 32

/* Drivers have no other way to say that they run on the CPU than their name. */
static const char *const software_renderers[] = {"llvmpipe", "softpipe", "swrast",
                                                 "Software Rasterizer", "lavapipe"};

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; at && (at = strstr(at, word)); at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

__attribute__((format(printf, 2, 3))) static int fail(const char **ret_error, const char *format,
                                                      ...)
{
    static char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    *ret_error = text;
    return -ENODEV;
}

/* Those of libEGL itself, not of a display. NULL: there is none, and libepoxy would abort. */
static const char *client_extensions(void)
{
    static void *library; /* held for the life of the process */

    if (!library)
        library = dlopen("libEGL.so.1", RTLD_LAZY | RTLD_LOCAL);
    return library ? eglQueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS) : NULL;
}

/*
 * Which driver is used must follow from the id alone, not from what the caller's environment asks
 * of Mesa.
 */
static void set_environment(bool software)
{
    static const char mesa[] = "/usr/share/glvnd/egl_vendor.d/50_mesa.json";

    unsetenv("LIBGL_ALWAYS_SOFTWARE");
    unsetenv("GALLIUM_DRIVER");
    unsetenv("MESA_LOADER_DRIVER_OVERRIDE");
    if (!software)
        return;
    /* The vendor-neutral libEGL would load every vendor's driver to list devices. Keep a
     * proprietary one, and the device files that it opens, out of a process that draws on the CPU.
     */
    if (access(mesa, R_OK) == 0)
        setenv("__EGL_VENDOR_LIBRARY_FILENAMES", mesa, 0);
    /* llvmpipe of Mesa 26.1 answers these queries with uninitialised memory: pointers of ours that
     * virglrenderer would forward to the guest. */
    setenv("MESA_EXTENSION_OVERRIDE", "-GL_NVX_gpu_memory_info -GL_ATI_meminfo", 1);
}

static int query_devices(EGLDeviceEXT *devices)
{
    const char *extensions = client_extensions();
    EGLint count = 0;

    if (!has_word(extensions, "EGL_EXT_device_enumeration") &&
        !has_word(extensions, "EGL_EXT_device_base"))
        return -EOPNOTSUPP;
    if (!eglQueryDevicesEXT(MAX_EGL_DEVICES, devices, &count) || count < 0)
        return -EOPNOTSUPP;
    return MIN(count, MAX_EGL_DEVICES);
}

static bool device_is_software(EGLDeviceEXT device)
{
    return has_word(eglQueryDeviceStringEXT(device, EGL_EXTENSIONS), "EGL_MESA_device_software");
}

static const char *device_render_node(EGLDeviceEXT device)
{
    const char *extensions = eglQueryDeviceStringEXT(device, EGL_EXTENSIONS);
    const char *node = NULL;

    if (has_word(extensions, "EGL_EXT_device_drm_render_node"))
        node = eglQueryDeviceStringEXT(device, EGL_DRM_RENDER_NODE_FILE_EXT);
    return node ? node : "";
}

int egl_gpu_devices(struct egl_gpu_device *ret_devices, int max)
{
    EGLDeviceEXT devices[MAX_EGL_DEVICES];
    int count = query_devices(devices);

    for (int i = 0; i < MIN(count, max); i++) {
        ret_devices[i].software = device_is_software(devices[i]);
        snprintf(ret_devices[i].render_node, sizeof(ret_devices[i].render_node), "%s",
                 device_render_node(devices[i]));
    }
    return MIN(count, max);
}

/* The number after prefix, -1 if id is anything else. */
static int id_number(const char *id, const char *prefix)
{
    size_t len = strlen(prefix);
    int number = 0;

    if (strncmp(id, prefix, len) != 0 || !id[len] || strlen(id + len) > 4)
        return -1;
    for (const char *p = id + len; *p; p++) {
        if (*p < '0' || *p > '9')
            return -1;
        number = number * 10 + (*p - '0');
    }
    return number;
}

bool egl_gpu_id_valid(const char *id)
{
    return strcmp(id, EGL_GPU_SOFTWARE) == 0 || id_number(id, EGL_GPU_NODE_PREFIX) >= 0 ||
           id_number(id, EGL_GPU_DEVICE_PREFIX) >= 0;
}

/* Initialises gpu->display of a platform; on failure the display is EGL_NO_DISPLAY again. */
static bool initialize(struct egl_gpu *gpu, const char *platform, EGLenum platform_enum,
                       void *native)
{
    if (has_word(client_extensions(), "EGL_EXT_platform_base"))
        gpu->display = eglGetPlatformDisplayEXT(platform_enum, native, NULL);
    if (gpu->display == EGL_NO_DISPLAY)
        return false;
    if (!eglInitialize(gpu->display, NULL, NULL)) {
        gpu->display = EGL_NO_DISPLAY;
        return false;
    }
    gpu->platform = platform;
    return true;
}

static bool initialize_device(struct egl_gpu *gpu, EGLDeviceEXT device)
{
    return has_word(client_extensions(), "EGL_EXT_platform_device") &&
           initialize(gpu, "device", EGL_PLATFORM_DEVICE_EXT, device);
}

static int open_software(struct egl_gpu *gpu, const char **ret_error)
{
    EGLDeviceEXT devices[MAX_EGL_DEVICES];
    int count = query_devices(devices);

    /* A device that says it is software can't be anything else, whatever GPUs there are. */
    for (int i = 0; i < count; i++)
        if (device_is_software(devices[i]) && initialize_device(gpu, devices[i]))
            return 0;
    setenv("LIBGL_ALWAYS_SOFTWARE", "1", 1);
    if (has_word(client_extensions(), "EGL_MESA_platform_surfaceless") &&
        initialize(gpu, "surfaceless", EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY))
        return 0;
    return fail(ret_error, "there is no software EGL (Mesa with llvmpipe) on this machine");
}

static int open_node(struct egl_gpu *gpu, const char **ret_error)
{
    EGLDeviceEXT devices[MAX_EGL_DEVICES];
    drmVersion *version;
    int count;

    gpu->fd = open(gpu->id, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (gpu->fd < 0)
        return fail(ret_error, "can't open %s: %s", gpu->id, strerror(errno));
    if (drmGetNodeTypeFromFd(gpu->fd) != DRM_NODE_RENDER)
        return fail(ret_error, "%s is no DRM render node", gpu->id);
    version = drmGetVersion(gpu->fd);
    if (version) {
        snprintf(gpu->driver, sizeof(gpu->driver), "%.*s", version->name_len, version->name);
        drmFreeVersion(version);
    }

    gpu->gbm = gbm_create_device(gpu->fd);
    if (gpu->gbm && has_word(client_extensions(), "EGL_KHR_platform_gbm") &&
        initialize(gpu, "gbm", EGL_PLATFORM_GBM_KHR, gpu->gbm))
        return 0;
    /* A driver without GBM: NVIDIA's before 495, or where its GBM library is not installed. */
    count = query_devices(devices);
    for (int i = 0; i < count; i++)
        if (strcmp(device_render_node(devices[i]), gpu->id) == 0 &&
            initialize_device(gpu, devices[i]))
            return 0;
    return fail(ret_error, "no EGL driver works on %s (%s): neither GBM nor the device platform",
                gpu->id, gpu->driver[0] ? gpu->driver : "unknown driver");
}

static int open_device(struct egl_gpu *gpu, const char **ret_error)
{
    EGLDeviceEXT devices[MAX_EGL_DEVICES];
    int count = query_devices(devices), index = id_number(gpu->id, EGL_GPU_DEVICE_PREFIX);

    if (count < 0)
        return fail(ret_error, "EGL is missing or can't list devices");
    if (index >= count)
        return fail(ret_error, "there is no EGL device %d, EGL has %d", index, count);
    if (!initialize_device(gpu, devices[index]))
        return fail(ret_error, "EGL device %d can't be initialised", index);
    return 0;
}

static int check_display(struct egl_gpu *gpu, const char **ret_error)
{
    const char *extensions = eglQueryString(gpu->display, EGL_EXTENSIONS);
    bool v15 = epoxy_egl_version(gpu->display) >= 15;

    if (!has_word(extensions, "EGL_KHR_surfaceless_context"))
        return fail(ret_error, "EGL on %s lacks EGL_KHR_surfaceless_context", gpu->id);
    if (!v15 && !has_word(extensions, "EGL_KHR_create_context"))
        return fail(ret_error, "EGL on %s lacks EGL_KHR_create_context", gpu->id);
    if (!egl_gpu_set_gles(gpu, false) && !egl_gpu_set_gles(gpu, true))
        return fail(ret_error, "EGL on %s has neither OpenGL nor OpenGL ES 3", gpu->id);
    /* The names of EGL 1.5; what 1.4 has differs between OpenGL and OpenGL ES. */
    gpu->robust = v15;
    gpu->has_priority = has_word(extensions, "EGL_IMG_context_priority");
    gpu->can_export = has_word(extensions, "EGL_MESA_image_dma_buf_export") &&
                      has_word(extensions, "EGL_KHR_gl_texture_2D_image");
    if (!gpu->driver[0] && has_word(extensions, "EGL_MESA_query_driver")) {
        /* Not through libepoxy, which looks for extensions in the current display alone. */
        PFNEGLGETDISPLAYDRIVERNAMEPROC name =
            (PFNEGLGETDISPLAYDRIVERNAMEPROC)eglGetProcAddress("eglGetDisplayDriverName");
        const char *text = name ? name(gpu->display) : NULL;
        snprintf(gpu->driver, sizeof(gpu->driver), "%s", text ? text : "");
    }
    return 0;
}

int egl_gpu_open(const char *id, struct egl_gpu **ret, const char **ret_error)
{
    struct egl_gpu *gpu;
    int r;

    if (!egl_gpu_id_valid(id)) {
        fail(ret_error, "\"%s\" is no GPU: it is software, /dev/dri/renderDN or egl:N", id);
        return -EINVAL;
    }
    gpu = calloc(1, sizeof(*gpu));
    if (!gpu) {
        *ret_error = "out of memory";
        return -ENOMEM;
    }
    gpu->fd = -1;
    gpu->display = EGL_NO_DISPLAY;
    gpu->platform = "none";
    gpu->software = strcmp(id, EGL_GPU_SOFTWARE) == 0;
    gpu->priority = BACKEND_PRIORITY_MEDIUM;
    snprintf(gpu->id, sizeof(gpu->id), "%s", id);

    set_environment(gpu->software);
    if (!client_extensions())
        r = fail(ret_error, "EGL (libEGL.so.1) is not installed");
    else if (gpu->software)
        r = open_software(gpu, ret_error);
    else if (strncmp(id, EGL_GPU_DEVICE_PREFIX, strlen(EGL_GPU_DEVICE_PREFIX)) == 0)
        r = open_device(gpu, ret_error);
    else
        r = open_node(gpu, ret_error);
    if (r == 0)
        r = check_display(gpu, ret_error);
    if (r < 0) {
        egl_gpu_close(gpu);
        return r;
    }
    *ret = gpu;
    return 0;
}

void egl_gpu_close(struct egl_gpu *gpu)
{
    if (!gpu)
        return;
    if (gpu->display != EGL_NO_DISPLAY) {
        egl_gpu_make_current(gpu, NULL);
        eglTerminate(gpu->display);
        eglReleaseThread();
    }
    if (gpu->gbm)
        gbm_device_destroy(gpu->gbm);
    close_fd_p(&gpu->fd);
    free(gpu);
}

void egl_gpu_set_priority(struct egl_gpu *gpu, enum backend_priority priority)
{
    gpu->priority = priority;
}

const char *egl_gpu_id(const struct egl_gpu *gpu)
{
    return gpu->id;
}

void *egl_gpu_display(const struct egl_gpu *gpu)
{
    return gpu->display;
}

const char *egl_gpu_platform(const struct egl_gpu *gpu)
{
    return gpu->platform;
}

const char *egl_gpu_driver(const struct egl_gpu *gpu)
{
    return gpu->driver;
}

bool egl_gpu_gles(const struct egl_gpu *gpu)
{
    return gpu->gles;
}

bool egl_gpu_set_gles(struct egl_gpu *gpu, bool gles)
{
    const char *extensions = eglQueryString(gpu->display, EGL_EXTENSIONS);
    EGLint attributes[] = {EGL_SURFACE_TYPE, 0, EGL_RENDERABLE_TYPE,
                           gles ? EGL_OPENGL_ES3_BIT : EGL_OPENGL_BIT, EGL_NONE};
    EGLConfig config = EGL_NO_CONFIG_KHR;
    EGLint count = 0;

    if (!eglBindAPI(gles ? EGL_OPENGL_ES_API : EGL_OPENGL_API))
        return false;
    if (!has_word(extensions, "EGL_KHR_no_config_context") &&
        !has_word(extensions, "EGL_MESA_configless_context") &&
        (!eglChooseConfig(gpu->display, attributes, &config, 1, &count) || count < 1))
        return false;
    gpu->gles = gles;
    gpu->config = config;
    return true;
}

const char *egl_gpu_renderer(const struct egl_gpu *gpu)
{
    const char *name = (const char *)glGetString(GL_RENDERER);

    return name ? name : "";
}

bool egl_gpu_renderer_fits(const struct egl_gpu *gpu, const char **ret_error)
{
    const char *name = egl_gpu_renderer(gpu);
    bool software = false;

    for (size_t i = 0; i < ARRAY_SIZE(software_renderers); i++)
        software |= strstr(name, software_renderers[i]) != NULL;
    if (software == gpu->software)
        return true;
    if (software)
        fail(ret_error, "%s has no hardware driver here, Mesa would draw in software (%s)", gpu->id,
             name);
    else
        fail(ret_error, "software was asked for, but EGL gives \"%s\"", name);
    return false;
}
