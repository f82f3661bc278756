/* SPDX-License-Identifier: MIT */
#include "samples/matrix.h"

#include <math.h>

struct vec3 vec3_sub(struct vec3 a, struct vec3 b)
{
    return (struct vec3){a.x - b.x, a.y - b.y, a.z - b.z};
}

struct vec3 vec3_cross(struct vec3 a, struct vec3 b)
{
    return (struct vec3){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

static float vec3_dot(struct vec3 a, struct vec3 b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

struct vec3 vec3_normalize(struct vec3 a)
{
    float length = sqrtf(vec3_dot(a, a));
    if (length == 0.0f)
        return a;
    return (struct vec3){a.x / length, a.y / length, a.z / length};
}

struct mat4 mat4_identity(void)
{
    return mat4_scale(1.0f);
}

struct mat4 mat4_mul(struct mat4 a, struct mat4 b)
{
    struct mat4 r;
    for (int column = 0; column < 4; column++) {
        for (int row = 0; row < 4; row++) {
            float sum = 0.0f;
            for (int k = 0; k < 4; k++)
                sum += a.m[k * 4 + row] * b.m[column * 4 + k];
            r.m[column * 4 + row] = sum;
        }
    }
    return r;
}

struct mat4 mat4_translate(struct vec3 by)
{
    struct mat4 r = mat4_identity();
    r.m[12] = by.x;
    r.m[13] = by.y;
    r.m[14] = by.z;
    return r;
}

struct mat4 mat4_scale(float by)
{
    return (struct mat4){{by, 0, 0, 0, 0, by, 0, 0, 0, 0, by, 0, 0, 0, 0, 1}};
}

struct mat4 mat4_rotate(float angle, struct vec3 axis)
{
    struct vec3 a = vec3_normalize(axis);
    float c = cosf(angle), s = sinf(angle), t = 1.0f - c;
    return (struct mat4){{
        t * a.x * a.x + c,
        t * a.x * a.y + s * a.z,
        t * a.x * a.z - s * a.y,
        0,
        t * a.x * a.y - s * a.z,
        t * a.y * a.y + c,
        t * a.y * a.z + s * a.x,
        0,
        t * a.x * a.z + s * a.y,
        t * a.y * a.z - s * a.x,
        t * a.z * a.z + c,
        0,
        0,
        0,
        0,
        1,
    }};
}

struct mat4 mat4_look_at(struct vec3 eye, struct vec3 target, struct vec3 up)
{
    struct vec3 back = vec3_normalize(vec3_sub(eye, target));
    struct vec3 right = vec3_normalize(vec3_cross(up, back));
    struct vec3 above = vec3_cross(back, right);
    return (struct mat4){{
        right.x,
        above.x,
        back.x,
        0,
        right.y,
        above.y,
        back.y,
        0,
        right.z,
        above.z,
        back.z,
        0,
        -vec3_dot(right, eye),
        -vec3_dot(above, eye),
        -vec3_dot(back, eye),
        1,
    }};
}

struct mat4 mat4_perspective(float fov_y, float aspect, float z_near, float z_far)
{
    float f = 1.0f / tanf(fov_y / 2.0f);
    struct mat4 r = {{0}};
    r.m[0] = f / aspect;
    r.m[5] = f;
    r.m[10] = (z_far + z_near) / (z_near - z_far);
    r.m[11] = -1.0f;
    r.m[14] = 2.0f * z_far * z_near / (z_near - z_far);
    return r;
}
