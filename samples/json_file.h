/* SPDX-License-Identifier: MIT */
/*
 * Figures of the samples as JSON files, for scripts.
 */
#ifndef ALIQUOT_SAMPLES_JSON_FILE_H
#define ALIQUOT_SAMPLES_JSON_FILE_H

#include <stdio.h>

/*
 * Writes what print() prints to path. The file appears whole or not at all, except where path is no
 * regular file (/dev/stdout). Returns 0, or a negative errno after a message on stderr.
 */
int json_file_write(const char *path, void (*print)(FILE *f, const void *data), const void *data);

/* Text in quotation marks, with what needs it escaped. */
void json_print_string(FILE *f, const char *text);

#endif
