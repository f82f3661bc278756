/* SPDX-License-Identifier: MIT */
/*
 * Textures made by formula, in whole numbers and with all their mip levels made on the CPU: every
 * driver samples exactly the same texels.
 */
#ifndef ALIQUOT_SAMPLES_GL_TEXTURE_H
#define ALIQUOT_SAMPLES_GL_TEXTURE_H

#include <epoxy/gl.h>

enum gl_texture_pattern {
    GL_TEXTURE_TILES,
    GL_TEXTURE_BRICKS,
    GL_TEXTURE_MARBLE,
    GL_TEXTURE_PATTERNS,
};

/* Returns the texture, trilinear and repeating; 0 where memory is short. */
GLuint gl_texture_create(enum gl_texture_pattern pattern);

#endif
