/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/libdrm.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libdrm.so.2"

int libdrm_load(struct libdrm *drm)
{
    const struct {
        const char *name;
        void *slot; /* a pointer to a function */
    } functions[] = {
        {"drmGetVersion", &drm->get_version},          {"drmFreeVersion", &drm->free_version},
        {"drmGetNodeTypeFromFd", &drm->get_node_type}, {"drmIoctl", &drm->ioctl},
        {"drmPrimeHandleToFD", &drm->prime_export},    {"drmPrimeFDToHandle", &drm->prime_import},
        {"drmCloseBufferHandle", &drm->close_handle},
    };

    drm->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!drm->handle)
        return -ENOPKG;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(drm->handle, functions[i].name);
        if (!function) {
            libdrm_unload(drm);
            return -ENOPKG;
        }
        memcpy(functions[i].slot, &function, sizeof(function));
    }
    return 0;
}

void libdrm_unload(struct libdrm *drm)
{
    if (drm->handle)
        dlclose(drm->handle);
    drm->handle = NULL;
}
