/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/error_text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void error_text_set(char **ret_error, const char *format, ...)
{
    if (!ret_error)
        return;
    va_list args;
    va_start(args, format);
    if (vasprintf(ret_error, format, args) < 0)
        *ret_error = NULL;
    va_end(args);
}
