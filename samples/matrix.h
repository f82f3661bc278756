/* SPDX-License-Identifier: MIT */
/*
 * The little linear algebra that the samples need: 4 × 4 matrices in column order, right-handed,
 * made on the CPU so that every machine feeds the GPU the same numbers.
 */
#ifndef ALIQUOT_SAMPLES_MATRIX_H
#define ALIQUOT_SAMPLES_MATRIX_H

struct vec3 {
    float x, y, z;
};

struct mat4 {
    float m[16]; /* m[column * 4 + row] */
};

struct vec3 vec3_sub(struct vec3 a, struct vec3 b);
struct vec3 vec3_cross(struct vec3 a, struct vec3 b);
/* The zero vector stays zero. */
struct vec3 vec3_normalize(struct vec3 a);

struct mat4 mat4_identity(void);
struct mat4 mat4_mul(struct mat4 a, struct mat4 b);
struct mat4 mat4_translate(struct vec3 by);
struct mat4 mat4_scale(float by);
/* angle in radians around axis, which need not be a unit vector. */
struct mat4 mat4_rotate(float angle, struct vec3 axis);
struct mat4 mat4_look_at(struct vec3 eye, struct vec3 target, struct vec3 up);
/* fov_y in radians; depth from -1 to 1, as OpenGL has it. */
struct mat4 mat4_perspective(float fov_y, float aspect, float z_near, float z_far);

#endif
