/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/gpu_identity.h"

#include <epoxy/egl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xf86drm.h>

/* EGL_EXT_device_drm_render_node, EGL_EXT_device_persistent_id; libepoxy 1.5.10 is older. */
#ifndef EGL_DRM_RENDER_NODE_FILE_EXT
#define EGL_DRM_RENDER_NODE_FILE_EXT 0x3377
#endif
#ifndef EGL_DEVICE_UUID_EXT
#define EGL_DEVICE_UUID_EXT 0x335C
#endif
typedef EGLBoolean query_binary(EGLDeviceEXT device, EGLint name, EGLint max_bytes, void *value,
                                EGLint *bytes);

__attribute__((format(printf, 2, 3))) static void add(char text[static GPU_IDENTITY_MAX],
                                                      const char *format, ...)
{
    size_t len = strlen(text);
    va_list args;

    if (len > 0 && len + 1 < GPU_IDENTITY_MAX)
        text[len++] = ',';
    va_start(args, format);
    vsnprintf(text + len, GPU_IDENTITY_MAX - len, format, args);
    va_end(args);
}

static void add_node(const char *path, char text[static GPU_IDENTITY_MAX])
{
    drmDevice *device = NULL;
    struct stat st;

    if (!path || stat(path, &st) < 0 || !S_ISCHR(st.st_mode))
        return;
    add(text, "drm:%u:%u", major(st.st_rdev), minor(st.st_rdev));
    if (drmGetDeviceFromDevId(st.st_rdev, 0, &device) != 0)
        return;
    if (device->bustype == DRM_BUS_PCI) {
        const drmPciBusInfo *pci = device->businfo.pci;
        add(text, "pci:%x:%x:%x.%x", pci->domain, pci->bus, pci->dev, pci->func);
    }
    drmFreeDevice(&device);
}

/* What EGL tells of the device behind the display; NULL: it has no devices. */
static EGLDeviceEXT device_of(const struct egl_gpu *gpu)
{
    const char *extensions = eglQueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS);
    EGLAttrib device = 0;

    if (!extensions || (!epoxy_extension_in_string(extensions, "EGL_EXT_device_query") &&
                        !epoxy_extension_in_string(extensions, "EGL_EXT_device_base")))
        return NULL;
    if (!eglQueryDisplayAttribEXT(egl_gpu_display(gpu), EGL_DEVICE_EXT, &device))
        return NULL;
    return (EGLDeviceEXT)device;
}

static void add_device(EGLDeviceEXT device, char text[static GPU_IDENTITY_MAX])
{
    const char *extensions = eglQueryDeviceStringEXT(device, EGL_EXTENSIONS);
    query_binary *query = (query_binary *)eglGetProcAddress("eglQueryDeviceBinaryEXT");
    uint8_t uuid[16];
    char digits[2 * sizeof(uuid) + 1];
    EGLint size = 0;

    if (!extensions)
        return;
    if (!text[0] && epoxy_extension_in_string(extensions, "EGL_EXT_device_drm_render_node"))
        add_node(eglQueryDeviceStringEXT(device, EGL_DRM_RENDER_NODE_FILE_EXT), text);
    if (!query || !epoxy_extension_in_string(extensions, "EGL_EXT_device_persistent_id") ||
        !query(device, EGL_DEVICE_UUID_EXT, sizeof(uuid), uuid, &size) || size != sizeof(uuid))
        return;
    for (size_t i = 0; i < sizeof(uuid); i++)
        snprintf(digits + 2 * i, 3, "%02x", uuid[i]);
    add(text, "uuid:%s", digits);
}

void gpu_identity(const struct egl_gpu *gpu, char text[static GPU_IDENTITY_MAX])
{
    const char *id = egl_gpu_id(gpu);

    text[0] = '\0';
    if (strcmp(id, EGL_GPU_SOFTWARE) == 0) {
        add(text, "cpu");
        return;
    }
    if (strncmp(id, EGL_GPU_NODE_PREFIX, strlen(EGL_GPU_NODE_PREFIX)) == 0)
        add_node(id, text);
    EGLDeviceEXT device = device_of(gpu);
    if (device)
        add_device(device, text);
    if (!text[0])
        add(text, "only");
}
