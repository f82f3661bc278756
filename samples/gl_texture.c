/* SPDX-License-Identifier: MIT */
#include "samples/gl_texture.h"

#include <stdlib.h>

GLuint gl_texture_create(enum pattern pattern)
{
    uint8_t *texels = malloc(PATTERN_SIDE * PATTERN_SIDE * 4);
    if (!texels)
        return 0;
    pattern_fill(texels, pattern);
    GLuint texture;
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    GLint level = 0;
    for (int side = PATTERN_SIDE; side > 0; side /= 2) {
        glTexImage2D(GL_TEXTURE_2D, level++, GL_RGBA8, side, side, 0, GL_RGBA, GL_UNSIGNED_BYTE,
                     texels);
        pattern_halve(texels, side);
    }
    free(texels);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_REPEAT);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_REPEAT);
    return texture;
}
