/* SPDX-License-Identifier: MIT */
/*
 * What gl-bench measures: small frames, each of which loads one part of the way from the program to
 * the GPU. They draw into a framebuffer object of 512×512 pixels that the caller has bound.
 */
#ifndef ALIQUOT_SAMPLES_GL_WORKLOAD_H
#define ALIQUOT_SAMPLES_GL_WORKLOAD_H

#include <stdint.h>

#define GL_WORKLOAD_SIDE 512

struct gl_workload {
    const char *name;
    const char *text;    /* one line */
    int (*set_up)(void); /* 0, or -1 after a message; or NULL */
    void (*frame)(uint32_t number);
};

extern const struct gl_workload gl_workloads[];
extern const unsigned gl_workload_count;

#endif
