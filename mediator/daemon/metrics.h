/* SPDX-License-Identifier: MIT */
/*
 * Metrics for Prometheus over HTTP: GET /metrics, and nothing else. libmicrohttpd does the HTTP,
 * inside the daemon's event loop; metrics_text.c writes what is served. Connections are few and
 * short-lived, so that nobody's keeps the daemon busy or its memory full.
 */
#ifndef ALIQUOT_DAEMON_METRICS_H
#define ALIQUOT_DAEMON_METRICS_H

#include <stdio.h>
#include <sys/socket.h>

struct mediator;
struct metrics;

/* Listens. The mediator is borrowed. */
int metrics_create(struct mediator *m, const struct sockaddr_storage *address, struct metrics **ret,
                   char **ret_error);
void metrics_destroy(struct metrics *x);

/* "http://127.0.0.1:9477/metrics" */
const char *metrics_url(const struct metrics *x);

/* All metrics, in the Prometheus text format. -ENOMEM or 0. */
int metrics_write(const struct mediator *m, FILE *out);

#endif
