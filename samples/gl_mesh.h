/* SPDX-License-Identifier: MIT */
/*
 * Solids in GPU buffers: position (attribute 0), normal (1), texture coordinate (2), drawn as
 * indexed triangles.
 */
#ifndef ALIQUOT_SAMPLES_GL_MESH_H
#define ALIQUOT_SAMPLES_GL_MESH_H

#include "samples/mesh.h"

#include <epoxy/gl.h>

struct gl_mesh {
    GLuint vertex_array, vertices, indices;
    GLsizei index_count;
};

/* Returns 0 or -ENOMEM. The context must be current. */
int gl_mesh_init(struct gl_mesh *mesh, enum mesh_shape shape);
void gl_mesh_draw(const struct gl_mesh *mesh);
void gl_mesh_finish(struct gl_mesh *mesh);

#endif
