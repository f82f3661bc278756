/* SPDX-License-Identifier: MIT */
#include "samples/gl_mesh.h"

#include "samples/gl_math.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define PI 3.14159265f
#define TORUS_TUBE 0.38f

struct vertex {
    struct vec3 position, normal;
    float u, v;
};

/* A surface over the unit square. All shapes are one or more of these, cut into a grid. */
typedef struct vertex surface_fn(float u, float v, int face);

static struct vertex sphere(float u, float v, int face)
{
    float around = u * 2.0f * PI, down = v * PI;
    struct vec3 p = {cosf(around) * sinf(down), cosf(down), -sinf(around) * sinf(down)};
    return (struct vertex){p, p, u * 4.0f, v * 2.0f};
}

static struct vertex torus(float u, float v, int face)
{
    float around = u * 2.0f * PI, tube = -v * 2.0f * PI;
    struct vec3 n = {cosf(around) * cosf(tube), sinf(tube), -sinf(around) * cosf(tube)};
    struct vec3 p = {cosf(around) + TORUS_TUBE * n.x, TORUS_TUBE * n.y,
                     -sinf(around) + TORUS_TUBE * n.z};
    return (struct vertex){p, n, u * 6.0f, v * 2.0f};
}

static struct vertex box(float u, float v, int face)
{
    static const struct {
        struct vec3 normal, right, up;
    } faces[6] = {
        {{1, 0, 0}, {0, 0, -1}, {0, 1, 0}}, {{-1, 0, 0}, {0, 0, 1}, {0, 1, 0}},
        {{0, 1, 0}, {1, 0, 0}, {0, 0, -1}}, {{0, -1, 0}, {1, 0, 0}, {0, 0, 1}},
        {{0, 0, 1}, {1, 0, 0}, {0, 1, 0}},  {{0, 0, -1}, {-1, 0, 0}, {0, 1, 0}},
    };
    struct vec3 n = faces[face].normal, r = faces[face].right, t = faces[face].up;
    float x = u * 2.0f - 1.0f, y = 1.0f - v * 2.0f;
    struct vec3 p = {n.x + x * r.x + y * t.x, n.y + x * r.y + y * t.y, n.z + x * r.z + y * t.z};
    return (struct vertex){p, n, u, v};
}

static struct vertex ground(float u, float v, int face)
{
    struct vec3 p = {u * 2.0f - 1.0f, 0.0f, v * 2.0f - 1.0f};
    return (struct vertex){p, {0, 1, 0}, u * 12.0f, v * 12.0f};
}

static const struct {
    surface_fn *surface;
    int faces, columns,
        rows; /* the grid of one face; (columns + 1) * (rows + 1) * faces <= 65536 */
} shapes[GL_MESH_SHAPES] = {
    [GL_MESH_SPHERE] = {sphere, 1, 48, 24},
    [GL_MESH_TORUS] = {torus, 1, 64, 24},
    [GL_MESH_BOX] = {box, 6, 1, 1},
    [GL_MESH_GROUND] = {ground, 1, 1, 1},
};

/* Rows run down and columns to the right, seen from outside: counter-clockwise is the front. */
static void make_grid(enum gl_mesh_shape shape, struct vertex *vertices, uint16_t *indices)
{
    int columns = shapes[shape].columns, rows = shapes[shape].rows;
    for (int face = 0; face < shapes[shape].faces; face++) {
        uint16_t base = face * (columns + 1) * (rows + 1);
        for (int row = 0; row <= rows; row++)
            for (int column = 0; column <= columns; column++)
                *vertices++ =
                    shapes[shape].surface((float)column / columns, (float)row / rows, face);
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                uint16_t a = base + row * (columns + 1) + column;   /* a b */
                uint16_t b = a + 1, c = a + columns + 1, d = c + 1; /* c d */
                const uint16_t quad[6] = {a, c, b, b, c, d};
                for (int i = 0; i < 6; i++)
                    *indices++ = quad[i];
            }
        }
    }
}

static void upload(struct gl_mesh *mesh, const struct vertex *vertices, size_t vertex_count,
                   const uint16_t *indices, size_t index_count)
{
    glGenVertexArrays(1, &mesh->vertex_array);
    glBindVertexArray(mesh->vertex_array);
    glGenBuffers(1, &mesh->vertices);
    glBindBuffer(GL_ARRAY_BUFFER, mesh->vertices);
    glBufferData(GL_ARRAY_BUFFER, vertex_count * sizeof(*vertices), vertices, GL_STATIC_DRAW);
    glGenBuffers(1, &mesh->indices);
    glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, mesh->indices);
    glBufferData(GL_ELEMENT_ARRAY_BUFFER, index_count * sizeof(*indices), indices, GL_STATIC_DRAW);
    static const struct {
        GLint size;
        size_t offset;
    } attributes[3] = {
        {3, offsetof(struct vertex, position)},
        {3, offsetof(struct vertex, normal)},
        {2, offsetof(struct vertex, u)},
    };
    for (GLuint i = 0; i < 3; i++) {
        glEnableVertexAttribArray(i);
        glVertexAttribPointer(i, attributes[i].size, GL_FLOAT, GL_FALSE, sizeof(*vertices),
                              (const void *)attributes[i].offset);
    }
    glBindVertexArray(0);
    mesh->index_count = index_count;
}

int gl_mesh_init(struct gl_mesh *mesh, enum gl_mesh_shape shape)
{
    size_t faces = shapes[shape].faces, columns = shapes[shape].columns, rows = shapes[shape].rows;
    size_t vertex_count = faces * (columns + 1) * (rows + 1),
           index_count = faces * columns * rows * 6;
    struct vertex *vertices = malloc(vertex_count * sizeof(*vertices));
    uint16_t *indices = malloc(index_count * sizeof(*indices));
    int r = -ENOMEM;
    if (vertices && indices) {
        make_grid(shape, vertices, indices);
        upload(mesh, vertices, vertex_count, indices, index_count);
        r = 0;
    }
    free(vertices);
    free(indices);
    return r;
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
