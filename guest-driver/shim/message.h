/* SPDX-License-Identifier: MIT */
/*
 * One-line messages to the user of the program, on its standard error: the shim has no caller that
 * could pass them on. Only for what he can do something about, and each only once.
 */
#ifndef ALIQUOT_SHIM_MESSAGE_H
#define ALIQUOT_SHIM_MESSAGE_H

/* Prints "aliquot: …" with a newline, in one write(2). errno is kept. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
