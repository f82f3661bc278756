/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the shim and of the library in it, which the program must neither meet nor close:
 * they get high numbers, and the functions that the program calls treat those as not open. Programs
 * that close "all" descriptors, or a range that they don't own, thus leave the vGPU alone.
 *
 * The library's calls, and ours by name, arrive here by the linker's --wrap: its sockets, eventfds
 * and so on become private at birth, and its close() does not pass through the program's.
 */
#ifndef ALIQUOT_SHIM_PRIVATE_FD_H
#define ALIQUOT_SHIM_PRIVATE_FD_H

#include <stdbool.h>

/* Descriptors beyond it are not kept track of. */
#define SHIM_FD_MAX 65536

/* Moves fd, which is consumed, to a high number: that, or the same one if none was to be had. */
int private_fd_take(int fd);
bool private_fd_is(int fd);
/* The first private one in first … last, or -1. */
int private_fd_next(unsigned first, unsigned last);

#endif
