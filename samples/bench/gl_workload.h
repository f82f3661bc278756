/* SPDX-License-Identifier: MIT */
/*
 * What gl-bench measures. The workloads draw into a framebuffer object of WORKLOAD_SIDE² pixels
 * that the caller has bound.
 */
#ifndef ALIQUOT_SAMPLES_GL_WORKLOAD_H
#define ALIQUOT_SAMPLES_GL_WORKLOAD_H

#include "samples/bench/workload.h"

extern const struct workload gl_workloads[];
extern const unsigned gl_workload_count;

#endif
