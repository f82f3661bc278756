// SPDX-License-Identifier: MIT
// vk-load: work by the round. z neither grows nor vanishes, whatever their number: all cost the same.
#version 450

layout(location = 0) out vec4 result;
layout(push_constant) uniform Work { uint rounds; };

void main()
{
    vec2 c = gl_FragCoord.xy / 256.0, z = c;
    for (uint i = 0; i < rounds; i++)
        z = z * 0.9 + vec2(z.y, -z.x) * 0.3 + c;
    result = vec4(fract(z), 0.5, 1.0) / 64.0;
}
