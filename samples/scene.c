/* SPDX-License-Identifier: MIT */
#include "samples/scene.h"

#include <math.h>

#define FRAMES_PER_SECOND 60.0f /* of the scene's own time */

const struct vec3 scene_fog = {0.46f, 0.56f, 0.68f};

const struct scene_object scene_objects[SCENE_OBJECTS] = {
    {MESH_GROUND, PATTERN_TILES, {0, 0, 0}, 16, {0, 1, 0}, 0, 0, {0.9f, 0.9f, 0.9f}, 24},
    {MESH_TORUS,
     PATTERN_MARBLE,
     {0, 1.75f, 0},
     1.25f,
     {1, 0.4f, 0.2f},
     0.16f,
     0.12f,
     {1.0f, 0.86f, 0.45f},
     48},
    {MESH_SPHERE, PATTERN_BRICKS, {0, 1.75f, 0}, 0.62f, {0, 1, 0}, -0.3f, 0.12f, {1, 1, 1}, 32},
    {MESH_BOX, PATTERN_BRICKS, {-2.7f, 0.75f, 1.2f}, 0.75f, {0, 1, 0}, 0.1f, 0, {1, 1, 1}, 16},
    {MESH_BOX,
     PATTERN_MARBLE,
     {-2.7f, 2.15f, 1.2f},
     0.42f,
     {1, 1, 0.3f},
     0.35f,
     0.08f,
     {0.55f, 0.85f, 1.0f},
     64},
    {MESH_SPHERE,
     PATTERN_MARBLE,
     {2.5f, 0.9f, 1.5f},
     0.9f,
     {0.3f, 1, 0},
     0.2f,
     0,
     {0.62f, 1.0f, 0.62f},
     80},
    {MESH_TORUS,
     PATTERN_TILES,
     {2.2f, 0.95f, -2.6f},
     0.68f,
     {1, 0, 0.6f},
     0.25f,
     0.2f,
     {1.0f, 0.6f, 0.7f},
     40},
    {MESH_BOX,
     PATTERN_TILES,
     {-2.0f, 0.6f, -2.8f},
     0.6f,
     {0, 1, 0},
     -0.15f,
     0,
     {0.95f, 0.75f, 0.5f},
     20},
};

static float turns(float count)
{
    return count * 6.2831853f;
}

struct mat4 scene_place(const struct scene_object *object, uint32_t frame)
{
    const struct scene_object *o = object;
    float time_s = frame / FRAMES_PER_SECOND;
    struct vec3 at = o->place;
    at.y += o->lift * sinf(turns(0.5f * time_s));
    struct mat4 turned = mat4_rotate(turns(o->turns_per_s * time_s), o->axis);
    return mat4_mul(mat4_translate(at), mat4_mul(turned, mat4_scale(o->scale)));
}

struct scene_view scene_view(uint32_t frame, float aspect)
{
    float time_s = frame / FRAMES_PER_SECOND;
    float around = turns(0.08f + 0.05f * time_s), light = turns(0.12f * time_s);
    struct vec3 eye = {8.0f * sinf(around), 4.2f, 8.0f * cosf(around)};
    struct mat4 view = mat4_look_at(eye, (struct vec3){0, 1.1f, 0}, (struct vec3){0, 1, 0});
    return (struct scene_view){
        .view_projection = mat4_mul(mat4_perspective(turns(0.13f), aspect, 0.5f, 40.0f), view),
        .eye = eye,
        .light_position = {{5.0f, 8.0f, 3.0f}, {3.4f * cosf(light), 3.2f, 3.4f * sinf(light)}},
        .light_color = {{2.9f, 2.7f, 2.3f}, {0.5f, 0.75f, 1.1f}},
    };
}
