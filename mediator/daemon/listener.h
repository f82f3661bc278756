/* SPDX-License-Identifier: MIT */
/*
 * One listening socket in the event loop: hands each accepted connection, unread, to its owner.
 * Runs dry gracefully: where the process or the system is out of descriptors it pauses instead of
 * spinning.
 */
#ifndef ALIQUOT_DAEMON_LISTENER_H
#define ALIQUOT_DAEMON_LISTENER_H

#include <systemd/sd-event.h>

struct listener;

/* A connection (CLOEXEC, blocking); it is the callee's. May not destroy the listener. */
typedef void (*listener_accepted)(void *opaque, int connection);

/* fd: non-blocking, listening; consumed on success only. path: for messages, copied. */
int listener_create(sd_event *event, int fd, const char *path, listener_accepted accepted,
                    void *opaque, struct listener **ret);
void listener_destroy(struct listener *l);

const char *listener_path(const struct listener *l);

#endif
