/* SPDX-License-Identifier: MIT */
#include "guest-driver/virtgpu/virtgpu.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel's numbers of render nodes. */
#define RENDER_FIRST 128
#define RENDER_LAST 191

#define DRIVER "virtio_gpu"

int node_open(struct virtgpu_vgpu *vgpu, struct node **ret)
{
    struct node *node = calloc(1, sizeof(*node));

    if (!node)
        return -ENOMEM;
    atomic_init(&node->users, 1);
    node->fd = open(vgpu->path, O_RDWR | O_CLOEXEC);
    if (node->fd < 0) {
        int error = errno;
        free(node);
        vgpu_error(&vgpu->base, "%s: %s%s", vgpu->path, strerror(error),
                   error == EACCES ? ": add the user to the group that owns it (render)" : "");
        return -error;
    }
    *ret = node;
    return 0;
}

void node_unref(struct node *node)
{
    if (!node || atomic_fetch_sub(&node->users, 1) != 1)
        return;
    close(node->fd);
    free(node);
}

/* ---- what it is ----------------------------------------------------------------------------- */

/* Copies the name of the node's driver, cut to size: 0, or -ENODEV where there is none. */
static int driver_name(const struct libdrm *drm, int fd, char *name, size_t size)
{
    drmVersionPtr version = drm->get_version(fd);

    if (!version)
        return -ENODEV;
    snprintf(name, size, "%s", version->name ? version->name : "");
    drm->free_version(version);
    return 0;
}

static int check_driver(struct virtgpu_vgpu *vgpu)
{
    char name[32];
    int fd = vgpu->main->fd;

    int result = driver_name(&vgpu->drm, fd, name, sizeof(name));
    if (result < 0) {
        vgpu_error(&vgpu->base,
                   "%s is no GPU: name a render node of virtio_gpu (" VIRTGPU_DIRECTORY
                   "/renderD128), or the socket of a vGPU",
                   vgpu->path);
    } else if (strcmp(name, DRIVER) != 0) {
        vgpu_error(&vgpu->base,
                   "%s is driven by %s and not by " DRIVER ": name the render node of a virtio-gpu "
                   "device, or the socket of a vGPU",
                   vgpu->path, name);
        result = -ENODEV;
    } else if (vgpu->drm.get_node_type(fd) != DRM_NODE_RENDER) {
        vgpu_error(&vgpu->base,
                   "%s is not a render node: name the device's " VIRTGPU_DIRECTORY "/renderD…",
                   vgpu->path);
        result = -ENODEV;
    }
    return result;
}

/* Is -EINVAL if the driver does not know the parameter. */
static int get_param(struct virtgpu_vgpu *vgpu, uint64_t param, uint64_t *ret)
{
    /* The kernel writes an int, or 64 bits of those that need them. */
    uint64_t value = 0;
    struct drm_virtgpu_getparam args = {.param = param, .value = (uintptr_t)&value};

    if (vgpu->drm.ioctl(vgpu->main->fd, DRM_IOCTL_VIRTGPU_GETPARAM, &args) < 0)
        return -errno;
    *ret = value;
    return 0;
}

static bool has_param(struct virtgpu_vgpu *vgpu, uint64_t param)
{
    uint64_t value = 0;

    return get_param(vgpu, param, &value) == 0 && value != 0;
}

static void probe_features(struct virtgpu_vgpu *vgpu)
{
    struct aliquot_vgpu *base = &vgpu->base;
    uint64_t value = 0;

    /* The driver binds to nothing older. */
    base->features = (1ull << VIRTIO_F_VERSION_1) | (1ull << VIRTIO_GPU_F_VIRGL);
    if (has_param(vgpu, VIRTGPU_PARAM_RESOURCE_BLOB))
        base->features |= 1ull << VIRTIO_GPU_F_RESOURCE_BLOB;
    int result = get_param(vgpu, VIRTGPU_PARAM_CONTEXT_INIT, &value);
    if (result == 0 && value != 0)
        base->features |= 1ull << VIRTIO_GPU_F_CONTEXT_INIT;
    else if (result == -EINVAL)
        base->without_context_init =
            "the virtio_gpu driver is too old: it takes a guest kernel of Linux 5.16 or newer";
    vgpu->host_visible = has_param(vgpu, VIRTGPU_PARAM_HOST_VISIBLE);
    vgpu->debug_name = has_param(vgpu, VIRTGPU_PARAM_EXPLICIT_DEBUG_NAME);
}

int node_probe(struct virtgpu_vgpu *vgpu)
{
    int result = check_driver(vgpu);

    if (result < 0)
        return result;
    if (!has_param(vgpu, VIRTGPU_PARAM_3D_FEATURES)) {
        vgpu_error(&vgpu->base,
                   "the virtio-gpu device of %s has no 3D: give the virtual machine one that has, "
                   "such as a vGPU of aliquotd",
                   vgpu->path);
        return -EPROTONOSUPPORT;
    }
    probe_features(vgpu);
    return virtgpu_list_capsets(vgpu);
}

static bool node_has_3d(const struct libdrm *drm, int fd)
{
    uint64_t value = 0;
    struct drm_virtgpu_getparam args = {.param = VIRTGPU_PARAM_3D_FEATURES,
                                        .value = (uintptr_t)&value};

    return drm->ioctl(fd, DRM_IOCTL_VIRTGPU_GETPARAM, &args) == 0 && value != 0;
}

/* ---- finding one ---------------------------------------------------------------------------- */

int node_find(const struct libdrm *drm, const char *directory, char **ret_path, char *reason)
{
    char path[64], name[32];

    snprintf(reason, ERROR_TEXT_BYTES, "no %s/renderD* is of " DRIVER, directory);
    for (int number = RENDER_FIRST; number <= RENDER_LAST; number++) {
        snprintf(path, sizeof(path), "%s/renderD%d", directory, number);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            snprintf(reason, ERROR_TEXT_BYTES, "%s: %s", path, strerror(errno));
        if (fd < 0)
            continue;
        bool found = driver_name(drm, fd, name, sizeof(name)) == 0 && strcmp(name, DRIVER) == 0;
        if (found && !node_has_3d(drm, fd)) { /* a plain console */
            snprintf(reason, ERROR_TEXT_BYTES, "the virtio-gpu device of %s has no 3D", path);
            found = false;
        }
        close(fd);
        if (found) {
            char *copy = strdup(path);
            if (!copy)
                return -ENOMEM;
            *ret_path = copy;
            return 0;
        }
    }
    return -ENOENT;
}
