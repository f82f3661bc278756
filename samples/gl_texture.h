/* SPDX-License-Identifier: MIT */
/*
 * The patterns as GL textures.
 */
#ifndef ALIQUOT_SAMPLES_GL_TEXTURE_H
#define ALIQUOT_SAMPLES_GL_TEXTURE_H

#include "samples/pattern.h"

#include <epoxy/gl.h>

/* Returns the texture, trilinear and repeating; 0 where memory is short. */
GLuint gl_texture_create(enum pattern pattern);

#endif
