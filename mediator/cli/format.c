/* SPDX-License-Identifier: MIT */
#include "mediator/cli/format.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

void format_bytes(int64_t bytes, char buf[static FORMAT_MAX])
{
    static const char units[] = "KMGTPE";
    if (bytes < 1024) {
        snprintf(buf, FORMAT_MAX, "%" PRId64, bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1000 && unit + 2 < sizeof(units); unit++)
        value /= 1024;
    snprintf(buf, FORMAT_MAX, value < 99.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void format_count(int64_t count, char buf[static FORMAT_MAX])
{
    static const char units[] = "kMGTPE";
    if (count < 100000) {
        snprintf(buf, FORMAT_MAX, "%" PRId64, count);
        return;
    }
    double value = (double)count / 1000;
    size_t unit = 0;
    for (; value >= 1000 && unit + 2 < sizeof(units); unit++)
        value /= 1000;
    snprintf(buf, FORMAT_MAX, value < 99.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void format_usec(int64_t usec, char buf[static FORMAT_MAX])
{
    int64_t s = usec / 1000000;

    if (usec <= 0)
        snprintf(buf, FORMAT_MAX, "0");
    else if (usec < 1000)
        snprintf(buf, FORMAT_MAX, "%" PRId64 "us", usec);
    else if (usec < 99950)
        snprintf(buf, FORMAT_MAX, "%.1fms", (double)usec / 1e3);
    else if (usec < 999500)
        snprintf(buf, FORMAT_MAX, "%.0fms", (double)usec / 1e3);
    else if (usec < 59950000)
        snprintf(buf, FORMAT_MAX, "%.1fs", (double)usec / 1e6);
    else if (s < 3600)
        snprintf(buf, FORMAT_MAX, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, FORMAT_MAX, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(buf, FORMAT_MAX, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
}
