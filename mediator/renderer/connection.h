/* SPDX-License-Identifier: MIT */
/*
 * One connection of a client, whichever protocol it speaks: vhost-user (vhost_backend.h) or vtest
 * (vtest_session.h). The first bytes tell, and until they are there nothing is read. Used by
 * main.c, one at a time.
 */
#ifndef ALIQUOT_RENDERER_CONNECTION_H
#define ALIQUOT_RENDERER_CONNECTION_H

#include "mediator/renderer/connection_config.h"

struct connection;

/* Serves fd, a connected stream socket; it is consumed on success only. config->ended may destroy
 * the connection. */
int connection_create(const struct connection_config *config, int fd, struct connection **ret);
void connection_destroy(struct connection *c);

#endif
