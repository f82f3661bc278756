/* SPDX-License-Identifier: MIT */
/*
 * To be included first by the files that define functions in libc's place: they need its plain
 * names (no 64-bit renaming, no fortified wrappers) and have to export what they define. Each
 * function decides whether a call is about us, and otherwise passes it on unchanged.
 */
#ifndef ALIQUOT_SHIM_INTERCEPT_H
#define ALIQUOT_SHIM_INTERCEPT_H

#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <errno.h>

#define INTERCEPT __attribute__((visibility("default")))

/* What a system call returns for a result of ours. */
static inline int errno_result(int result)
{
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

#endif
