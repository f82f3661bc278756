/* SPDX-License-Identifier: MIT */
#include "samples/gl_mesh.h"

#include <stddef.h>

static void upload(struct gl_mesh *mesh, const struct mesh *solid)
{
    glGenVertexArrays(1, &mesh->vertex_array);
    glBindVertexArray(mesh->vertex_array);
    glGenBuffers(1, &mesh->vertices);
    glBindBuffer(GL_ARRAY_BUFFER, mesh->vertices);
    glBufferData(GL_ARRAY_BUFFER, solid->vertex_count * sizeof(*solid->vertices), solid->vertices,
                 GL_STATIC_DRAW);
    glGenBuffers(1, &mesh->indices);
    glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, mesh->indices);
    glBufferData(GL_ELEMENT_ARRAY_BUFFER, solid->index_count * sizeof(*solid->indices),
                 solid->indices, GL_STATIC_DRAW);
    static const struct {
        GLint size;
        size_t offset;
    } attributes[3] = {
        {3, offsetof(struct mesh_vertex, position)},
        {3, offsetof(struct mesh_vertex, normal)},
        {2, offsetof(struct mesh_vertex, u)},
    };
    for (GLuint i = 0; i < 3; i++) {
        glEnableVertexAttribArray(i);
        glVertexAttribPointer(i, attributes[i].size, GL_FLOAT, GL_FALSE, sizeof(struct mesh_vertex),
                              (const void *)attributes[i].offset);
    }
    glBindVertexArray(0);
    mesh->index_count = solid->index_count;
}

int gl_mesh_init(struct gl_mesh *mesh, enum mesh_shape shape)
{
    struct mesh solid;
    int r = mesh_init(&solid, shape);
    if (r < 0)
        return r;
    upload(mesh, &solid);
    mesh_finish(&solid);
    return 0;
}

void gl_mesh_draw(const struct gl_mesh *mesh)
{
    glBindVertexArray(mesh->vertex_array);
    glDrawElements(GL_TRIANGLES, mesh->index_count, GL_UNSIGNED_SHORT, NULL);
}

void gl_mesh_finish(struct gl_mesh *mesh)
{
    glDeleteVertexArrays(1, &mesh->vertex_array);
    glDeleteBuffers(1, &mesh->vertices);
    glDeleteBuffers(1, &mesh->indices);
    *mesh = (struct gl_mesh){0};
}
