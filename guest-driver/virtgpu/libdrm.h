/* SPDX-License-Identifier: MIT */
/*
 * The functions of libdrm that the render node is spoken to with. The library is loaded when a node
 * is opened, so that programs that never see one do without it. Tests put a driver of their own
 * here.
 */
#ifndef ALIQUOT_GUEST_LIBDRM_H
#define ALIQUOT_GUEST_LIBDRM_H

#include <xf86drm.h>

struct libdrm {
    void *handle; /* owned: of dlopen(3), or NULL */
    __typeof__(drmGetVersion) *get_version;
    __typeof__(drmFreeVersion) *free_version;
    __typeof__(drmGetNodeTypeFromFd) *get_node_type;
    __typeof__(drmIoctl) *ioctl;
    __typeof__(drmPrimeHandleToFD) *prime_export;
    __typeof__(drmPrimeFDToHandle) *prime_import;
    __typeof__(drmCloseBufferHandle) *close_handle;
};

/* Returns 0, or -ENOPKG: it is not installed, or too old. drm is zeroed before. */
int libdrm_load(struct libdrm *drm);
/* Fine on a zeroed one. */
void libdrm_unload(struct libdrm *drm);

#endif
