/* SPDX-License-Identifier: MIT */
/* Numbers for people, in few characters. Pure functions. */
#ifndef ALIQUOT_CLI_FORMAT_H
#define ALIQUOT_CLI_FORMAT_H

#include <stdint.h>

#define FORMAT_MAX 24

/* "15.2M": at most six characters. */
void format_bytes(int64_t bytes, char buf[static FORMAT_MAX]);
/* "12345", "123k", "4.5M": at most five characters. */
void format_count(int64_t count, char buf[static FORMAT_MAX]);
/* "0", "15us", "4.1ms", "12.3s", "4m12s", "3h05m", "12d03h": at most six characters below a
 * thousand days. */
void format_usec(int64_t usec, char buf[static FORMAT_MAX]);

#endif
