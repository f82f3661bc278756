// SPDX-License-Identifier: MIT
// vk-bench: 48 rounds for each of 512 x 512 numbers.
#version 450

layout(local_size_x = 8, local_size_y = 8) in;
layout(std430, set = 0, binding = 0) writeonly buffer Pixels { uint pixels[]; };

void main()
{
    vec2 z = vec2(gl_GlobalInvocationID.xy) / 256.0 - 1.0, c = z;
    for (int i = 0; i < 48; i++)
        z = vec2(z.x * z.x - z.y * z.y, 2.0 * z.x * z.y) * 0.5 + c;
    pixels[gl_GlobalInvocationID.y * 512 + gl_GlobalInvocationID.x] =
        packUnorm4x8(vec4(fract(z), 0.5, 1.0));
}
