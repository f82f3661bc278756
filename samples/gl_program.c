/* SPDX-License-Identifier: MIT */
#include "samples/gl_program.h"

#include <errno.h>
#include <stdio.h>

#define LOG_MAX 2048

static GLuint compile(GLenum type, const char *source)
{
    GLuint shader = glCreateShader(type);
    glShaderSource(shader, 1, &source, NULL);
    glCompileShader(shader);
    GLint ok = GL_FALSE;
    glGetShaderiv(shader, GL_COMPILE_STATUS, &ok);
    if (ok)
        return shader;
    char log[LOG_MAX] = "";
    glGetShaderInfoLog(shader, sizeof(log), NULL, log);
    fprintf(stderr, "%s: shader does not compile: %s\n", program_invocation_short_name, log);
    glDeleteShader(shader);
    return 0;
}

GLuint gl_program_create(const char *vertex_source, const char *fragment_source)
{
    GLuint vertex = compile(GL_VERTEX_SHADER, vertex_source);
    GLuint fragment = compile(GL_FRAGMENT_SHADER, fragment_source);
    GLuint program = 0;
    if (vertex && fragment) {
        program = glCreateProgram();
        glAttachShader(program, vertex);
        glAttachShader(program, fragment);
        glLinkProgram(program);
        GLint ok = GL_FALSE;
        glGetProgramiv(program, GL_LINK_STATUS, &ok);
        if (!ok) {
            char log[LOG_MAX] = "";
            glGetProgramInfoLog(program, sizeof(log), NULL, log);
            fprintf(stderr, "%s: shaders do not link: %s\n", program_invocation_short_name, log);
            glDeleteProgram(program);
            program = 0;
        }
    }
    glDeleteShader(vertex);
    glDeleteShader(fragment);
    return program;
}
