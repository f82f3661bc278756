/* SPDX-License-Identifier: MIT */
/*
 * The device nodes that exist in the program's eyes: the render node, and a primary one that can't
 * set modes, as GPUs without a display have it; EGL's GBM platform wants one unless it is told
 * which node to use.
 */
#ifndef ALIQUOT_SHIM_NODE_H
#define ALIQUOT_SHIM_NODE_H

#include <sys/types.h>

#define NODE_MAJOR 226

struct node {
    const char *path;
    unsigned minor;
    int type; /* libdrm's DRM_NODE_… */
};

extern const struct node node_primary, node_render;

/* NULL: none of ours. */
const struct node *node_by_path(const char *path);
const struct node *node_by_number(dev_t number);

#endif
