// SPDX-License-Identifier: MIT
// vk-bench: one colour.
#version 450

layout(location = 0) out vec4 result;
layout(push_constant) uniform Draw { vec4 colour; };

void main()
{
    result = colour;
}
