/* SPDX-License-Identifier: MIT */
/*
 * The command line of aliquotd, read into what main() acts upon. Settings that the configuration
 * file has too are kept as text until the file has been read: the command line wins.
 */
#ifndef ALIQUOT_DAEMON_OPTIONS_H
#define ALIQUOT_DAEMON_OPTIONS_H

#include "mediator/daemon/config.h"

#include <stdbool.h>
#include <stddef.h>

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK_CONFIG,
    OPTIONS_HELP,
    OPTIONS_VERSION,
};

#define OPTIONS_SETTINGS 10

struct options {
    enum options_action action;
    const char *config_file; /* borrowed from argv, as all here; NULL = the usual one, if any */
    /* Keys of [aliquot] that are options too, by their place in options.c's table; NULL = not
     * given. */
    const char *settings[OPTIONS_SETTINGS];
    const char **vgpus; /* owned array of borrowed names */
    size_t n_vgpus;
    int ready_fd; /* -1 = none */
    int owner_fd; /* -1 = none */
    bool verbose;
};

/* False: wrong usage, the message has been printed to stderr. */
bool options_parse(int argc, char **argv, struct options *ret);
void options_finish(struct options *o);

/* The settings of the command line, over those of the file. */
int options_apply(const struct options *o, struct config *config, char **ret_error);

extern const char options_help[];

#endif
