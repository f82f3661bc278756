/* SPDX-License-Identifier: MIT */
/*
 * The ioctls of the render node. Handlers get the argument as a copy, zero-filled to the size that
 * we know, and return 0 or a negative errno, as in the kernel; the copy goes back to the program in
 * any case. Their semantics are those of drivers/gpu/drm/virtio and the DRM core of Linux 6.12.
 */
#ifndef ALIQUOT_SHIM_IOCTL_H
#define ALIQUOT_SHIM_IOCTL_H

#include "guest-driver/shim/drm_file.h"

#include <drm/drm.h>
#include <drm/virtgpu_drm.h>

/* An ioctl on an opened render node: 0 or a negative errno. */
int drm_ioctl(struct drm_file *file, unsigned long request, void *arg);

/* ioctl_core.c: what every DRM driver has */
int ioctl_version(struct drm_file *file, void *arg);
int ioctl_get_cap(struct drm_file *file, void *arg);
int ioctl_gem_close(struct drm_file *file, void *arg);
int ioctl_prime_handle_to_fd(struct drm_file *file, void *arg);
int ioctl_prime_fd_to_handle(struct drm_file *file, void *arg);
/* An ioctl on a PRIME descriptor. */
int prime_ioctl(struct prime *prime, unsigned long request, void *arg);

/* ioctl_virtgpu.c: resources, transfers, parameters */
int ioctl_map(struct drm_file *file, void *arg);
int ioctl_getparam(struct drm_file *file, void *arg);
int ioctl_resource_create(struct drm_file *file, void *arg);
int ioctl_resource_info(struct drm_file *file, void *arg);
int ioctl_resource_create_blob(struct drm_file *file, void *arg);
int ioctl_transfer_from_host(struct drm_file *file, void *arg);
int ioctl_transfer_to_host(struct drm_file *file, void *arg);
int ioctl_wait(struct drm_file *file, void *arg);
int ioctl_get_caps(struct drm_file *file, void *arg);
int ioctl_context_init(struct drm_file *file, void *arg);

/* ioctl_exec.c */
int ioctl_execbuffer(struct drm_file *file, void *arg);

/* ioctl_syncobj.c */
int ioctl_syncobj_create(struct drm_file *file, void *arg);
int ioctl_syncobj_destroy(struct drm_file *file, void *arg);
int ioctl_syncobj_handle_to_fd(struct drm_file *file, void *arg);
int ioctl_syncobj_fd_to_handle(struct drm_file *file, void *arg);
int ioctl_syncobj_transfer(struct drm_file *file, void *arg);
int ioctl_syncobj_wait(struct drm_file *file, void *arg);
int ioctl_syncobj_timeline_wait(struct drm_file *file, void *arg);
int ioctl_syncobj_reset(struct drm_file *file, void *arg);
int ioctl_syncobj_signal(struct drm_file *file, void *arg);
int ioctl_syncobj_timeline_signal(struct drm_file *file, void *arg);
int ioctl_syncobj_query(struct drm_file *file, void *arg);

struct syncobj;
/* The syncobj with a reference, or NULL. */
struct syncobj *drm_file_get_syncobj(struct drm_file *file, uint32_t handle);

#endif
