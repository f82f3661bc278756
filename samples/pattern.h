/* SPDX-License-Identifier: MIT */
/*
 * Textures made by formula, in whole numbers and with all their mip levels made on the CPU: every
 * driver samples exactly the same texels. R G B A, 8 bits each, seamless across the edges.
 */
#ifndef ALIQUOT_SAMPLES_PATTERN_H
#define ALIQUOT_SAMPLES_PATTERN_H

#include <stdint.h>

#define PATTERN_SIDE 256 /* texels, a power of two */
#define PATTERN_LEVELS 9 /* down to one texel */

enum pattern {
    PATTERN_TILES,
    PATTERN_BRICKS,
    PATTERN_MARBLE,
    PATTERNS,
};

/* The largest level, PATTERN_SIDE texels wide and high. */
void pattern_fill(uint8_t *texels, enum pattern pattern);

/* From a level of side × side texels the next one, in place: each texel the mean of four. */
void pattern_halve(uint8_t *texels, int side);

#endif
