// SPDX-License-Identifier: MIT
// vk-scene: an object's vertices, placed in the world and seen by the camera.
#version 450

layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 coordinate;
layout(location = 0) out vec3 world_position;
layout(location = 1) out vec3 world_normal;
layout(location = 2) out vec2 texel;

layout(std140, set = 0, binding = 0) uniform View
{
    mat4 view_projection;
    vec4 eye, fog;
    vec4 light_position[2], light_color[2];
};

layout(push_constant) uniform Object
{
    mat4 model;
    vec4 tint; // and gloss
};

void main()
{
    vec4 world = model * vec4(position, 1.0);
    world_position = world.xyz;
    // Models are turned, moved and scaled evenly: no inverse transpose.
    world_normal = mat3(model) * normal;
    texel = coordinate;
    gl_Position = view_projection * world;
}
