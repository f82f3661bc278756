// SPDX-License-Identifier: MIT
// vk-scene: light per pixel, the same as gl-scene's.
#version 450

layout(location = 0) in vec3 world_position;
layout(location = 1) in vec3 world_normal;
layout(location = 2) in vec2 texel;
layout(location = 0) out vec4 result;

layout(std140, set = 0, binding = 0) uniform View
{
    mat4 view_projection;
    vec4 eye, fog;
    vec4 light_position[2], light_color[2];
};
layout(set = 0, binding = 1) uniform sampler2D pattern;

layout(push_constant) uniform Object
{
    mat4 model;
    vec4 tint; // and gloss
};

void main()
{
    vec3 n = normalize(world_normal);
    vec3 to_eye = eye.xyz - world_position;
    float distance_to_eye = length(to_eye);
    vec3 base = texture(pattern, texel).rgb * tint.rgb;
    vec3 color = base * mix(vec3(0.10, 0.09, 0.08), vec3(0.20, 0.23, 0.28), n.y * 0.5 + 0.5);
    for (int i = 0; i < 2; i++) {
        vec3 to_light = light_position[i].xyz - world_position;
        float squared = dot(to_light, to_light);
        vec3 l = to_light * inversesqrt(squared);
        vec3 h = normalize(l + to_eye / distance_to_eye);
        float diffuse = max(dot(n, l), 0.0);
        float specular = diffuse > 0.0 ? pow(max(dot(n, h), 0.0), tint.a) : 0.0;
        vec3 light = light_color[i].rgb / (1.0 + 0.03 * squared);
        color += light * (base * diffuse + 0.35 * specular);
    }
    float haze = clamp((distance_to_eye - 7.0) / 16.0, 0.0, 1.0);
    result = vec4(mix(color, fog.rgb, haze), 1.0);
}
