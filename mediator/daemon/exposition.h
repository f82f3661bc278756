/* SPDX-License-Identifier: MIT */
/*
 * Writes metrics in the Prometheus text format, 0.0.4: a family with its help and type, then its
 * samples. Times are written in seconds and shares as ratios, the units of that world. Used by
 * metrics.c, which knows what there is to tell.
 */
#ifndef ALIQUOT_DAEMON_EXPOSITION_H
#define ALIQUOT_DAEMON_EXPOSITION_H

#include "mediator/daemon/arbiter.h"

#include <stdint.h>
#include <stdio.h>

enum exposition_type { EXPOSITION_GAUGE, EXPOSITION_COUNTER, EXPOSITION_HISTOGRAM };

void exposition_family(FILE *out, const char *name, enum exposition_type type, const char *help);

/* Values are escaped. */
struct exposition_label {
    const char *name, *value;
};
/* labels ends with a row without a name. */
void exposition_integer(FILE *out, const char *name, const struct exposition_label *labels,
                        uint64_t value);
/* In seconds, exactly. */
void exposition_ns(FILE *out, const char *name, const struct exposition_label *labels, uint64_t ns);
/* As a ratio, exactly. */
void exposition_ppm(FILE *out, const char *name, const struct exposition_label *labels,
                    uint32_t ppm);
/* In seconds; every second of its bounds from 16 µs to 4.2 s. */
void exposition_histogram(FILE *out, const char *name, const struct exposition_label *labels,
                          const struct arbiter_histogram *h);

#endif
