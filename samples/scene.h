/* SPDX-License-Identifier: MIT */
/*
 * What gl-scene and vk-scene draw: solids that turn and float over a tiled ground, lit per pixel by
 * two lights, seen from a camera that circles them. What a frame looks like follows from its number
 * alone. The light itself is computed in shaders, the same in both.
 */
#ifndef ALIQUOT_SAMPLES_SCENE_H
#define ALIQUOT_SAMPLES_SCENE_H

#include "samples/matrix.h"
#include "samples/mesh.h"
#include "samples/pattern.h"

#include <stdint.h>

#define SCENE_LIGHTS 2
#define SCENE_OBJECTS 8

/* What stands where, and how it moves. */
struct scene_object {
    enum mesh_shape shape;
    enum pattern pattern;
    struct vec3 place;
    float scale;
    struct vec3 axis;
    float turns_per_s;
    float lift; /* how far it floats up and down */
    struct vec3 tint;
    float gloss;
};

struct scene_view {
    struct mat4 view_projection; /* depth from -1 to 1 */
    struct vec3 eye;
    struct vec3 light_position[SCENE_LIGHTS];
    struct vec3 light_color[SCENE_LIGHTS];
};

extern const struct scene_object scene_objects[SCENE_OBJECTS];
extern const struct vec3 scene_fog; /* also what is behind all */

/* aspect: width by height. */
struct scene_view scene_view(uint32_t frame, float aspect);

/* From the object's space to the world's. */
struct mat4 scene_place(const struct scene_object *object, uint32_t frame);

#endif
