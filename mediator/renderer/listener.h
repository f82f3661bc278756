/* SPDX-License-Identifier: MIT */
/*
 * The listening socket of a stand-alone renderer (--listen). Used by main.c. It hands over one
 * connection and takes no other until it is told; those that come meanwhile wait in the backlog.
 */
#ifndef ALIQUOT_RENDERER_LISTENER_H
#define ALIQUOT_RENDERER_LISTENER_H

#include <systemd/sd-event.h>

struct listener;

/*
 * Listens at path; a socket there that nobody serves is replaced. accepted gets each connection,
 * which is then the callee's, with the listener paused. Returns 0 or a negative errno, having
 * logged what is wrong.
 */
int listener_create(sd_event *event, const char *path, void (*accepted)(void *opaque, int fd),
                    void *opaque, struct listener **ret);
/* Closes it and removes the socket, if it is still the same. */
void listener_destroy(struct listener *listener);

/* Waits for the next connection. 0 or a negative errno. */
int listener_resume(struct listener *listener);

#endif
