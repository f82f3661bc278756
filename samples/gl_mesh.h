/* SPDX-License-Identifier: MIT */
/*
 * Solids made by formula, in GPU buffers: position (attribute 0), normal (1), texture
 * coordinate (2), drawn as indexed triangles.
 */
#ifndef ALIQUOT_SAMPLES_GL_MESH_H
#define ALIQUOT_SAMPLES_GL_MESH_H

#include <epoxy/gl.h>

enum gl_mesh_shape {
    GL_MESH_SPHERE, /* radius 1 */
    GL_MESH_TORUS,  /* radii 1 and 0.38, in the plane y = 0 */
    GL_MESH_BOX,    /* from -1 to 1 */
    GL_MESH_GROUND, /* y = 0, x and z from -1 to 1, looking up */
    GL_MESH_SHAPES,
};

struct gl_mesh {
    GLuint vertex_array, vertices, indices;
    GLsizei index_count;
};

/* Returns 0 or -ENOMEM. The context must be current. */
int gl_mesh_init(struct gl_mesh *mesh, enum gl_mesh_shape shape);
void gl_mesh_draw(const struct gl_mesh *mesh);
void gl_mesh_finish(struct gl_mesh *mesh);

#endif
