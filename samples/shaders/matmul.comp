// SPDX-License-Identifier: MIT
// vk-compute: c = a b, square matrices in rows. A group makes a tile of 32 x 32, an invocation
// 4 x 4 of it; the tiles of a and b that it needs pass through shared memory, 16 columns at a time.
#version 450

const uint TILE = 32, DEPTH = 16, EACH = 4;
const uint SIDE = TILE / EACH; // invocations in a row of the group: 8, and 64 are in it

layout(local_size_x = 8, local_size_y = 8) in;
layout(std430, set = 0, binding = 0) readonly buffer A { float a[]; };
layout(std430, set = 0, binding = 1) readonly buffer B { float b[]; };
layout(std430, set = 0, binding = 2) writeonly buffer C { float c[]; };
layout(push_constant) uniform Size { uint n; };

shared float part_a[DEPTH][TILE]; // a column of a is a row here
shared float part_b[DEPTH][TILE];

void main()
{
    uint top = gl_WorkGroupID.y * TILE, left = gl_WorkGroupID.x * TILE;
    uint me = gl_LocalInvocationIndex;
    float sums[EACH][EACH];
    for (uint i = 0; i < EACH; i++)
        for (uint j = 0; j < EACH; j++)
            sums[i][j] = 0.0;

    for (uint k0 = 0; k0 < n; k0 += DEPTH) {
        for (uint i = me; i < TILE * DEPTH; i += SIDE * SIDE) {
            uint row = top + i / DEPTH, k = k0 + i % DEPTH;
            part_a[i % DEPTH][i / DEPTH] = row < n && k < n ? a[row * n + k] : 0.0;
            uint column = left + i % TILE;
            k = k0 + i / TILE;
            part_b[i / TILE][i % TILE] = column < n && k < n ? b[k * n + column] : 0.0;
        }
        barrier();
        for (uint k = 0; k < DEPTH; k++)
            for (uint i = 0; i < EACH; i++)
                for (uint j = 0; j < EACH; j++)
                    sums[i][j] += part_a[k][gl_LocalInvocationID.y * EACH + i] *
                                  part_b[k][gl_LocalInvocationID.x * EACH + j];
        barrier();
    }
    for (uint i = 0; i < EACH; i++) {
        for (uint j = 0; j < EACH; j++) {
            uint row = top + gl_LocalInvocationID.y * EACH + i;
            uint column = left + gl_LocalInvocationID.x * EACH + j;
            if (row < n && column < n)
                c[row * n + column] = sums[i][j];
        }
    }
}
