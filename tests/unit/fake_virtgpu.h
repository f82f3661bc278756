/* SPDX-License-Identifier: MIT */
/*
 * A libdrm whose virtio_gpu driver lives in this process: it refuses what the kernel's refuses and
 * writes down what it was asked for. Tests of guest-driver/virtgpu/ are linked with it in place of
 * libdrm.c. A node is any character device (/dev/zero, whose mappings are memory), or a file that
 * has the name of its driver in it.
 */
#ifndef ALIQUOT_TESTS_FAKE_VIRTGPU_H
#define ALIQUOT_TESTS_FAKE_VIRTGPU_H

#include <drm/virtgpu_drm.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_NODE "/dev/zero"
#define FAKE_TRANSFERS 64
#define FAKE_CAPSET_BYTES 300 /* of capset 2; capset 4 has half of it */

struct fake_transfer {
    struct drm_virtgpu_3d_transfer_to_host args;
    bool to_host;
    int fd;
};

struct fake_virtgpu {
    /* What there is: */
    bool no_libdrm;
    const char *driver; /* NULL: no DRM device at all */
    int node_type;
    bool has_3d, has_blob, has_host_visible, has_context_init, has_debug_name;
    bool old;                   /* a driver that has not heard of CONTEXT_INIT */
    bool hold;                  /* fences are not done until fake_signal() */
    unsigned long fail_request; /* this ioctl fails … */
    int fail_errno;             /* … with it */
    /* What was asked for: */
    unsigned handles;                        /* that are open */
    unsigned contexts, capset_id, num_rings; /* CONTEXT_INITs, and the last one's parameters */
    char debug_name[64];
    struct drm_virtgpu_resource_create resource;  /* the last one */
    struct drm_virtgpu_resource_create_blob blob; /* the last one */
    struct drm_virtgpu_execbuffer execbuffer;     /* the last one */
    int execbuffer_fd;                            /* on which */
    uint32_t words[8];                            /* its first commands */
    unsigned imports;
    unsigned crossings; /* handles made or closed while another thread did so */
    unsigned n_transfers;
    struct fake_transfer transfers[FAKE_TRANSFERS];
};

extern struct fake_virtgpu fake;

/* A driver of today with all there is. Forgets what was asked for. */
void fake_reset(void);
/* All fences are done. */
void fake_signal(void);

/* From now on calls of this ioctl do not return, as where the device takes up no commands. The
 * drmPrime… and drmCloseBufferHandle() calls are ioctls too: DRM_IOCTL_PRIME_…, _GEM_CLOSE. */
void fake_block(unsigned long request);
/* Waits until a thread is in such a call. */
void fake_await_blocked(void);
void fake_unblock(void);

#endif
