/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/knob_text.h"

#include "mediator/sched/knobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* digits: how many of the fraction there are; zeros at its end are left out. */
static void decimal(uint64_t whole, uint64_t fraction, int digits, const char *unit,
                    char buf[static KNOB_TEXT_MAX])
{
    char part[16] = "";
    size_t len = 0;

    if (fraction > 0)
        len = (size_t)snprintf(part, sizeof(part), ".%0*" PRIu64, digits, fraction);
    while (len > 0 && part[len - 1] == '0')
        part[--len] = '\0';
    snprintf(buf, KNOB_TEXT_MAX, "%" PRIu64 "%s%s", whole, part, unit);
}

void knob_text_ppm(uint32_t ppm, char buf[static KNOB_TEXT_MAX])
{
    decimal(ppm / SCHED_PERCENT, ppm % SCHED_PERCENT, 4, "%", buf);
}

void knob_text_slice(uint64_t ns, char buf[static KNOB_TEXT_MAX])
{
    decimal(ns / 1000000, ns % 1000000, 6, "ms", buf);
}
