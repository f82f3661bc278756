/* SPDX-License-Identifier: MIT */
/*
 * The options --weight, --reservation, --cap and --slice of commands, and the parameters of the
 * daemon's methods that they become.
 */
#ifndef ALIQUOT_CLI_KNOBS_H
#define ALIQUOT_CLI_KNOBS_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-json.h>

struct knobs {
    int64_t weight;                        /* 0 = not given, as it is no weight */
    const char *reservation, *cap, *slice; /* borrowed from argv; NULL = not given */
};

/* Takes the option of this name; false: the value is not allowed, a message has been printed. What
 * the daemon's table of keys refuses is refused here, before there is a daemon. */
bool knobs_take(struct knobs *k, const char *name, const char *value);

bool knobs_given(const struct knobs *k);

/* Of an object that is built. */
#define KNOBS_BUILD_PAIRS(k)                                                                       \
    SD_JSON_BUILD_PAIR_CONDITION((k)->weight != 0, "weight", SD_JSON_BUILD_INTEGER((k)->weight)),  \
        SD_JSON_BUILD_PAIR_CONDITION((k)->reservation != NULL, "reservation",                      \
                                     SD_JSON_BUILD_STRING((k)->reservation)),                      \
        SD_JSON_BUILD_PAIR_CONDITION((k)->cap != NULL, "cap", SD_JSON_BUILD_STRING((k)->cap)),     \
        SD_JSON_BUILD_PAIR_CONDITION((k)->slice != NULL, "slice",                                  \
                                     SD_JSON_BUILD_STRING((k)->slice))

#endif
