/* SPDX-License-Identifier: MIT */
#include "mediator/sched/knobs.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DURATION_MAX_NS UINT64_C(1000000000000000000)

int sched_knobs_check(const struct sched_knobs *k)
{
    if (k->weight < SCHED_WEIGHT_MIN || k->weight > SCHED_WEIGHT_MAX ||
        k->reservation_ppm > SCHED_RESERVATION_MAX_PPM || k->cap_ppm < SCHED_CAP_MIN_PPM ||
        k->cap_ppm > SCHED_PPM || k->slice_ns < SCHED_SLICE_MIN_NS ||
        k->slice_ns > SCHED_SLICE_MAX_NS)
        return -ERANGE;
    return k->cap_ppm < k->reservation_ppm ? -EINVAL : 0;
}

/* A decimal fraction at *text times unit (a power of ten), which has to come out whole; moves on to
 * the first character behind it. */
static int take_decimal(const char **text, uint64_t unit, uint64_t max, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;

    if (!isdigit((unsigned char)*p))
        return -EINVAL;
    for (; isdigit((unsigned char)*p); p++) {
        value = value * 10 + (uint64_t)(*p - '0') * unit;
        if (value > max)
            return -ERANGE;
    }
    if (*p == '.') {
        if (!isdigit((unsigned char)*++p))
            return -EINVAL;
        for (; isdigit((unsigned char)*p); p++) {
            if (unit % 10 != 0) { /* finer than the unit: only zeros may follow */
                if (*p != '0')
                    return -EINVAL;
                continue;
            }
            unit /= 10;
            value += (uint64_t)(*p - '0') * unit;
        }
        if (value > max)
            return -ERANGE;
    }
    *text = p;
    *ret = value;
    return 0;
}

int sched_text_ppm(const char *text, uint32_t *ret_ppm)
{
    uint64_t ppm;
    int r = take_decimal(&text, SCHED_PERCENT, SCHED_PPM, &ppm);

    if (r < 0)
        return r;
    text += strspn(text, " \t");
    if (*text == '%')
        text++;
    if (*text)
        return -EINVAL;
    *ret_ppm = (uint32_t)ppm;
    return 0;
}

int sched_text_duration(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
    const char *unit = text + strspn(text, "0123456789.");

    unit += strspn(unit, " \t");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        uint64_t ns;
        int r;

        if (strcmp(unit, units[i].name) != 0)
            continue;
        r = take_decimal(&text, units[i].ns, DURATION_MAX_NS, &ns);
        if (r < 0)
            return r;
        if (text + strspn(text, " \t") != unit)
            return -EINVAL;
        *ret_ns = ns;
        return 0;
    }
    return -EINVAL;
}

static int set_weight(struct sched_knobs *k, const char *value)
{
    uint64_t number;
    int r = take_decimal(&value, 1, SCHED_WEIGHT_MAX, &number);

    if (r == 0 && *value)
        r = -EINVAL;
    if (r == 0 && number < SCHED_WEIGHT_MIN)
        r = -ERANGE;
    if (r == 0)
        k->weight = (uint32_t)number;
    return r;
}

static int set_reservation(struct sched_knobs *k, const char *value)
{
    uint32_t ppm;
    int r = sched_text_ppm(value, &ppm);

    if (r == 0 && ppm > SCHED_RESERVATION_MAX_PPM)
        r = -ERANGE;
    if (r == 0)
        k->reservation_ppm = ppm;
    return r;
}

static int set_cap(struct sched_knobs *k, const char *value)
{
    uint32_t ppm;
    int r = sched_text_ppm(value, &ppm);

    if (r == 0 && ppm < SCHED_CAP_MIN_PPM)
        r = -ERANGE;
    if (r == 0)
        k->cap_ppm = ppm;
    return r;
}

static int set_slice(struct sched_knobs *k, const char *value)
{
    uint64_t ns;
    int r = sched_text_duration(value, &ns);

    if (r == 0 && (ns < SCHED_SLICE_MIN_NS || ns > SCHED_SLICE_MAX_NS))
        r = -ERANGE;
    if (r == 0)
        k->slice_ns = ns;
    return r;
}

static const struct knob {
    const char *key;
    int (*set)(struct sched_knobs *k, const char *value);
    const char *allowed;
} knobs_known[] = {
    {"weight", set_weight, "1 to 10000"},
    {"reservation", set_reservation, "0 to 95 percent, such as 12.5%"},
    {"cap", set_cap, "1 to 100 percent, such as 12.5%"},
    {"slice", set_slice, "0.5ms to 30ms"},
};

static const struct knob *find_knob(const char *key)
{
    for (size_t i = 0; i < sizeof(knobs_known) / sizeof(knobs_known[0]); i++) {
        if (!strcmp(knobs_known[i].key, key))
            return &knobs_known[i];
    }
    return NULL;
}

int sched_knobs_set(struct sched_knobs *knobs, const char *key, const char *value)
{
    const struct knob *knob = find_knob(key);

    return knob ? knob->set(knobs, value) : -ENOENT;
}

const char *sched_knobs_allowed(const char *key)
{
    const struct knob *knob = find_knob(key);

    return knob ? knob->allowed : NULL;
}
