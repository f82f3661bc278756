/* SPDX-License-Identifier: MIT */
/*
 * Solids made by formula, as indexed triangles: counter-clockwise from outside. What the samples
 * put into the GPU's buffers.
 */
#ifndef ALIQUOT_SAMPLES_MESH_H
#define ALIQUOT_SAMPLES_MESH_H

#include "samples/matrix.h"

#include <stddef.h>
#include <stdint.h>

enum mesh_shape {
    MESH_SPHERE, /* radius 1 */
    MESH_TORUS,  /* radii 1 and 0.38, in the plane y = 0 */
    MESH_BOX,    /* from -1 to 1 */
    MESH_GROUND, /* y = 0, x and z from -1 to 1, looking up */
    MESH_SHAPES,
};

struct mesh_vertex {
    struct vec3 position, normal;
    float u, v;
};

struct mesh {
    struct mesh_vertex *vertices; /* owned */
    uint16_t *indices;            /* owned */
    size_t vertex_count, index_count;
};

/* Returns 0 or -ENOMEM. */
int mesh_init(struct mesh *mesh, enum mesh_shape shape);
void mesh_finish(struct mesh *mesh);

#endif
