// SPDX-License-Identifier: MIT
// vk-bench: a triangle with legs of an eighth of the picture; no vertex buffer.
#version 450

void main()
{
    vec2 corner = vec2(gl_VertexIndex == 1 ? 0.25 : 0.0, gl_VertexIndex == 2 ? 0.25 : 0.0);
    gl_Position = vec4(corner, 0.0, 1.0);
}
