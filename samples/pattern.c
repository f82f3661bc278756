/* SPDX-License-Identifier: MIT */
#include "samples/pattern.h"

#define SIDE PATTERN_SIDE

/* A hash of the lattice point, 0 … 255; the lattice repeats after `period` points. */
static int lattice(int x, int y, int period)
{
    uint32_t h = (uint32_t)(x % period) * 374761393u + (uint32_t)(y % period) * 668265263u;
    h = (h ^ (h >> 13)) * 1274126177u;
    return (h ^ (h >> 16)) & 255;
}

/* Value noise with cells of `cell` texels, 0 … 255, seamless across the edges. */
static int noise(int x, int y, int cell)
{
    int period = SIDE / cell, cx = x / cell, cy = y / cell, fx = x % cell, fy = y % cell;
    int top = lattice(cx, cy, period) * (cell - fx) + lattice(cx + 1, cy, period) * fx;
    int bottom = lattice(cx, cy + 1, period) * (cell - fx) + lattice(cx + 1, cy + 1, period) * fx;
    return (top * (cell - fy) + bottom * fy) / (cell * cell);
}

static int clouds(int x, int y)
{
    return (noise(x, y, 64) * 4 + noise(x, y, 32) * 2 + noise(x, y, 16) + noise(x, y, 8)) / 8;
}

struct rgb {
    int r, g, b;
};

static struct rgb mix(struct rgb a, struct rgb b, int weight_of_b /* 0 … 255 */)
{
    int w = weight_of_b;
    return (struct rgb){(a.r * (255 - w) + b.r * w) / 255, (a.g * (255 - w) + b.g * w) / 255,
                        (a.b * (255 - w) + b.b * w) / 255};
}

static struct rgb tiles(int x, int y)
{
    const struct rgb light = {226, 220, 206}, dark = {92, 108, 128}, joint = {60, 60, 64};
    int in_x = x % (SIDE / 2), in_y = y % (SIDE / 2);
    if (in_x < 4 || in_y < 4)
        return joint;
    struct rgb tile = (x / (SIDE / 2) + y / (SIDE / 2)) % 2 ? dark : light;
    return mix(tile, joint, clouds(x, y) / 4);
}

static struct rgb bricks(int x, int y)
{
    const struct rgb mortar = {196, 188, 176}, red = {166, 74, 54}, brown = {112, 52, 44};
    int row = y / 32, shifted = (x + (row % 2) * 32) % SIDE;
    if (y % 32 < 4 || shifted % 64 < 4)
        return mix(mortar, brown, noise(x, y, 8) / 6);
    int of_this_brick = lattice(shifted / 64, row, SIDE) / 2;
    return mix(red, brown, (of_this_brick + noise(x, y, 8) / 2) & 255);
}

static struct rgb marble(int x, int y)
{
    const struct rgb white = {238, 238, 232}, vein = {64, 84, 96};
    int wave = (x + y * 2 + clouds(x, y)) % 64; /* a seamless saw: 64 divides both periods */
    int distance = wave < 32 ? wave : 64 - wave;
    return mix(white, vein, distance < 12 ? (12 - distance) * 18 : clouds(x, y) / 8);
}

void pattern_fill(uint8_t *texels, enum pattern pattern)
{
    static struct rgb (*const patterns[PATTERNS])(int, int) = {
        [PATTERN_TILES] = tiles,
        [PATTERN_BRICKS] = bricks,
        [PATTERN_MARBLE] = marble,
    };
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            struct rgb color = patterns[pattern](x, y);
            *texels++ = color.r;
            *texels++ = color.g;
            *texels++ = color.b;
            *texels++ = 255;
        }
    }
}

void pattern_halve(uint8_t *texels, int side)
{
    for (int y = 0; y < side / 2; y++) {
        for (int x = 0; x < side / 2; x++) {
            for (int channel = 0; channel < 4; channel++) {
                const uint8_t *from = texels + (y * 2 * side + x * 2) * 4 + channel;
                int sum = from[0] + from[4] + from[side * 4] + from[side * 4 + 4];
                /* Written at or before what is still to be read. */
                texels[(y * (side / 2) + x) * 4 + channel] = (sum + 2) / 4;
            }
        }
    }
}
