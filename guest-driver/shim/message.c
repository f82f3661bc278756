/* SPDX-License-Identifier: MIT */
#include "guest-driver/shim/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

void message(const char *format, ...)
{
    char line[LINE_BYTES] = "aliquot: ";
    size_t length = strlen(line);
    int saved = errno;
    va_list args;

    va_start(args, format);
    /* One byte is kept for the newline. */
    vsnprintf(line + length, sizeof(line) - length - 1, format, args);
    va_end(args);
    length = strlen(line);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0) {
        /* There is nobody left to tell. */
    }
    errno = saved;
}
