/* SPDX-License-Identifier: MIT */
/*
 * What all GL samples have in common: options, context, the framebuffer object that every frame is
 * drawn to, the loop over the frames with its clock, the picture and the figures. A sample brings
 * the drawing.
 */
#ifndef ALIQUOT_SAMPLES_GL_SAMPLE_H
#define ALIQUOT_SAMPLES_GL_SAMPLE_H

#include <stdint.h>

struct gl_sample {
    const char *summary; /* one line for --help */
    /* Makes shaders, buffers, textures. 0, or a negative errno after a message on stderr. */
    int (*init)(void);
    /* Draws frame `frame` to the bound framebuffer of width × height, viewport set, contents
     * undefined. The picture depends on the arguments alone. */
    void (*draw)(uint32_t frame, uint32_t width, uint32_t height);
    void (*finish)(void);
};

/* The sample's main(). Returns the exit code: 0 fine, 1 failed, 2 usage. */
int gl_sample_main(const struct gl_sample *sample, int argc, char **argv);

#endif
