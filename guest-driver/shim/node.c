/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/node.h"

#include <string.h>
#include <sys/sysmacros.h>
#include <xf86drm.h>

const struct node node_primary = {"/dev/dri/card0", 0, DRM_NODE_PRIMARY};
const struct node node_render = {"/dev/dri/renderD128", 128, DRM_NODE_RENDER};

const struct node *node_by_path(const char *path)
{
    /* Most paths are settled by their start. */
    if (!path || strncmp(path, "/dev/dri/", strlen("/dev/dri/")) != 0)
        return NULL;
    if (strcmp(path, node_render.path) == 0)
        return &node_render;
    return strcmp(path, node_primary.path) == 0 ? &node_primary : NULL;
}

const struct node *node_by_number(dev_t number)
{
    if (number == makedev(NODE_MAJOR, node_render.minor))
        return &node_render;
    return number == makedev(NODE_MAJOR, node_primary.minor) ? &node_primary : NULL;
}
