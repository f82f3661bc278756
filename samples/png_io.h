/* SPDX-License-Identifier: MIT */
/*
 * Pictures to and from PNG files, 8 bits a channel, R G B A in memory, top row first. Used by the
 * sample programs and by whoever compares their pictures.
 */
#ifndef ALIQUOT_SAMPLES_PNG_IO_H
#define ALIQUOT_SAMPLES_PNG_IO_H

#include <stddef.h>
#include <stdint.h>

/* The largest side of a picture that is read or written. */
#define PNG_IO_SIDE_MAX 16384u

/*
 * Writes w × h pixels, rows stride bytes apart, to path. The file is replaced as a whole: an error
 * leaves no half of a picture behind. Returns 0, -EINVAL (an empty picture, one over
 * PNG_IO_SIDE_MAX, a stride shorter than a row), -ENOMEM, or why the file could not be written.
 */
int png_write_rgba(const char *path, const uint8_t *rgba, uint32_t w, uint32_t h, size_t stride);

/*
 * Reads any PNG as R G B A with tight rows. *ret is malloc'ed, the caller frees it. Returns 0,
 * -EBADMSG (not a PNG, or a damaged one), -EFBIG (over PNG_IO_SIDE_MAX), -ENOMEM, or why the file
 * could not be read.
 */
int png_read_rgba(const char *path, uint8_t **ret, uint32_t *ret_w, uint32_t *ret_h);

#endif
