/* SPDX-License-Identifier: MIT */
#include "mediator/cli/value.h"

#include <stdlib.h>
#include <string.h>

bool value_seconds(const char *text, double max, double *ret)
{
    char *end;

    /* strtod() takes more than that, and in the C locale, which this is, a dot. */
    if (!*text || text[strspn(text, "0123456789.")])
        return false;
    double value = strtod(text, &end);
    if (*end || !(value >= VALUE_SECONDS_MIN && value <= max))
        return false;
    *ret = value;
    return true;
}
