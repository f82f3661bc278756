/* SPDX-License-Identifier: MIT */
/* Values of options that several commands take. Pure functions. */
#ifndef ALIQUOT_CLI_VALUE_H
#define ALIQUOT_CLI_VALUE_H

#include <stdbool.h>

/* Below it a client would do nothing but ask. */
#define VALUE_SECONDS_MIN 0.05

/* "2", "0.5": seconds, VALUE_SECONDS_MIN to max. No exponents, signs, infinities or NaN. */
bool value_seconds(const char *text, double max, double *ret);

#endif
