/* SPDX-License-Identifier: MIT */
/*
 * A vertex and a fragment shader, compiled and linked; what the compiler says goes to stderr.
 */
#ifndef ALIQUOT_SAMPLES_GL_PROGRAM_H
#define ALIQUOT_SAMPLES_GL_PROGRAM_H

#include <epoxy/gl.h>

/* Returns the program, 0 after a message on stderr. The context must be current. */
GLuint gl_program_create(const char *vertex_source, const char *fragment_source);

#endif
