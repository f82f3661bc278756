/* SPDX-License-Identifier: MIT */
#include "samples/mesh.h"

#include "samples/matrix.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define PI 3.14159265f
#define TORUS_TUBE 0.38f

/* A surface over the unit square. All shapes are one or more of these, cut into a grid. */
typedef struct mesh_vertex surface_fn(float u, float v, int face);

static struct mesh_vertex sphere(float u, float v, int face)
{
    float around = u * 2.0f * PI, down = v * PI;
    struct vec3 p = {cosf(around) * sinf(down), cosf(down), -sinf(around) * sinf(down)};
    return (struct mesh_vertex){p, p, u * 4.0f, v * 2.0f};
}

static struct mesh_vertex torus(float u, float v, int face)
{
    float around = u * 2.0f * PI, tube = -v * 2.0f * PI;
    struct vec3 n = {cosf(around) * cosf(tube), sinf(tube), -sinf(around) * cosf(tube)};
    struct vec3 p = {cosf(around) + TORUS_TUBE * n.x, TORUS_TUBE * n.y,
                     -sinf(around) + TORUS_TUBE * n.z};
    return (struct mesh_vertex){p, n, u * 6.0f, v * 2.0f};
}

static struct mesh_vertex box(float u, float v, int face)
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
    return (struct mesh_vertex){p, n, u, v};
}

static struct mesh_vertex ground(float u, float v, int face)
{
    struct vec3 p = {u * 2.0f - 1.0f, 0.0f, v * 2.0f - 1.0f};
    return (struct mesh_vertex){p, {0, 1, 0}, u * 12.0f, v * 12.0f};
}

static const struct {
    surface_fn *surface;
    int faces, columns,
        rows; /* the grid of one face; (columns + 1) * (rows + 1) * faces <= 65536 */
} shapes[MESH_SHAPES] = {
    [MESH_SPHERE] = {sphere, 1, 48, 24},
    [MESH_TORUS] = {torus, 1, 64, 24},
    [MESH_BOX] = {box, 6, 1, 1},
    [MESH_GROUND] = {ground, 1, 1, 1},
};

/* Rows run down and columns to the right, seen from outside: counter-clockwise is the front. */
static void make_grid(enum mesh_shape shape, struct mesh_vertex *vertices, uint16_t *indices)
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

int mesh_init(struct mesh *mesh, enum mesh_shape shape)
{
    size_t faces = shapes[shape].faces, columns = shapes[shape].columns, rows = shapes[shape].rows;
    struct mesh made = {
        .vertex_count = faces * (columns + 1) * (rows + 1),
        .index_count = faces * columns * rows * 6,
    };
    made.vertices = malloc(made.vertex_count * sizeof(*made.vertices));
    made.indices = malloc(made.index_count * sizeof(*made.indices));
    if (!made.vertices || !made.indices) {
        mesh_finish(&made);
        return -ENOMEM;
    }
    make_grid(shape, made.vertices, made.indices);
    *mesh = made;
    return 0;
}

void mesh_finish(struct mesh *mesh)
{
    free(mesh->vertices);
    free(mesh->indices);
    *mesh = (struct mesh){0};
}
