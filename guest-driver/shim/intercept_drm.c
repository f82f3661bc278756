/* SPDX-License-Identifier: MIT */
/*
 * libdrm's functions that look for devices in /dev and /sys, where ours is not. The rest of libdrm
 * comes down to ioctls. While the shim is active ours is the only device.
 */
#include "guest-driver/shim/intercept.h"

#include "guest-driver/shim/drm_file.h"
#include "guest-driver/shim/real.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xf86drm.h>

/* As a virtio-gpu on QEMU's PCI bus: Red Hat's vendor id, and 0x1040 + the virtio device id. */
#define PCI_VENDOR 0x1af4
#define PCI_DEVICE 0x1050
#define PCI_SUBVENDOR 0x1af4
#define PCI_SUBDEVICE 0x1100
#define PCI_REVISION 1

#define NODE_NAME_BYTES 32

/* One block, which is what drmFreeDevice() frees. */
struct device_block {
    drmDevice device;
    char *nodes[DRM_NODE_MAX];
    char names[DRM_NODE_MAX][NODE_NAME_BYTES];
    drmPciBusInfo bus;
    drmPciDeviceInfo info;
};

static int make_device(drmDevicePtr *ret)
{
    struct device_block *block = calloc(1, sizeof(*block));

    if (!block)
        return -ENOMEM;
    for (int i = 0; i < DRM_NODE_MAX; i++)
        block->nodes[i] = block->names[i];
    snprintf(block->names[DRM_NODE_PRIMARY], NODE_NAME_BYTES, "%s", node_primary.path);
    snprintf(block->names[DRM_NODE_RENDER], NODE_NAME_BYTES, "%s", node_render.path);
    block->info = (drmPciDeviceInfo){
        .vendor_id = PCI_VENDOR,
        .device_id = PCI_DEVICE,
        .subvendor_id = PCI_SUBVENDOR,
        .subdevice_id = PCI_SUBDEVICE,
        .revision_id = PCI_REVISION,
    };
    block->device.nodes = block->nodes;
    block->device.available_nodes = 1 << DRM_NODE_PRIMARY | 1 << DRM_NODE_RENDER;
    block->device.bustype = DRM_BUS_PCI;
    block->device.businfo.pci = &block->bus;
    block->device.deviceinfo.pci = &block->info;
    *ret = &block->device;
    return 0;
}

/* The node that fd is open on, or NULL. */
static const struct node *node_of(int fd)
{
    struct fd_object *object = fd_table_find(fd, FD_DRM_FILE);
    const struct node *node = object ? drm_file_of(object)->node : NULL;

    fd_object_unref(object);
    return node;
}

/* ---- finding devices ------------------------------------------------------------------------ */

INTERCEPT int drmGetDevices2(uint32_t flags, drmDevicePtr devices[], int max)
{
    if (!device_wanted()) {
        const struct real *r = real_drm();
        return r->drmGetDevices2 ? r->drmGetDevices2(flags, devices, max) : -ENOSYS;
    }
    if (!devices)
        return 1;
    if (max < 1)
        return 0;
    int result = make_device(&devices[0]);
    return result < 0 ? result : 1;
}

INTERCEPT int drmGetDevices(drmDevicePtr devices[], int max)
{
    return drmGetDevices2(DRM_DEVICE_GET_PCI_REVISION, devices, max);
}

INTERCEPT int drmGetDevice2(int fd, uint32_t flags, drmDevicePtr *device)
{
    if (node_of(fd))
        return device ? make_device(device) : -EINVAL;
    const struct real *r = real_drm();
    return r->drmGetDevice2 ? r->drmGetDevice2(fd, flags, device) : -ENOSYS;
}

INTERCEPT int drmGetDevice(int fd, drmDevicePtr *device)
{
    return drmGetDevice2(fd, DRM_DEVICE_GET_PCI_REVISION, device);
}

INTERCEPT int drmGetDeviceFromDevId(dev_t id, uint32_t flags, drmDevicePtr *device)
{
    if (node_by_number(id) && device_wanted_quietly())
        return device ? make_device(device) : -EINVAL;
    const struct real *r = real_drm();
    return r->drmGetDeviceFromDevId ? r->drmGetDeviceFromDevId(id, flags, device) : -ENOSYS;
}

/* ---- names and kinds of nodes --------------------------------------------------------------- */

INTERCEPT int drmGetNodeTypeFromFd(int fd)
{
    const struct node *node = node_of(fd);
    if (node)
        return node->type;
    const struct real *r = real_drm();
    return r->drmGetNodeTypeFromFd ? r->drmGetNodeTypeFromFd(fd) : errno_result(-ENODEV);
}

INTERCEPT char *drmGetDeviceNameFromFd2(int fd)
{
    const struct node *node = node_of(fd);
    if (node)
        return strdup(node->path);
    const struct real *r = real_drm();
    return r->drmGetDeviceNameFromFd2 ? r->drmGetDeviceNameFromFd2(fd) : NULL;
}

INTERCEPT char *drmGetRenderDeviceNameFromFd(int fd)
{
    if (node_of(fd))
        return strdup(node_render.path);
    const struct real *r = real_drm();
    return r->drmGetRenderDeviceNameFromFd ? r->drmGetRenderDeviceNameFromFd(fd) : NULL;
}

INTERCEPT char *drmGetPrimaryDeviceNameFromFd(int fd)
{
    if (node_of(fd))
        return strdup(node_primary.path);
    const struct real *r = real_drm();
    return r->drmGetPrimaryDeviceNameFromFd ? r->drmGetPrimaryDeviceNameFromFd(fd) : NULL;
}
