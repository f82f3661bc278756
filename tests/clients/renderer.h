/* SPDX-License-Identifier: MIT */
/*
 * A stand-alone aliquot-renderer for a test: started, ready, and gone again with its socket. The
 * program is found in $ALIQUOT_BUILD.
 */
#ifndef ALIQUOT_TESTS_RENDERER_H
#define ALIQUOT_TESTS_RENDERER_H

#include <sys/types.h>

struct renderer {
    pid_t pid; /* 0 = reaped */
    char dir[64], path[96];
};

/* Returns when the socket at r->path takes connections; fails the test otherwise. */
void renderer_start(struct renderer *r, const char *backend);
/* Asks it to end, and fails the test if it does not, or not well. */
void renderer_stop(struct renderer *r);
/* SIGKILL, and reaps it. */
void renderer_kill(struct renderer *r);

#endif
