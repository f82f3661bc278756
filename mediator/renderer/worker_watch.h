/* SPDX-License-Identifier: MIT */
/*
 * Tells when a worker of the render server is gone. virglrenderer has a socket to each, which the
 * server made; it hangs up when the last of the worker's copies is closed, at its end at the latest
 * and whatever the worker did before. virglrenderer names those sockets to nobody, and looks at one
 * only when it has something to say. Used by the virgl backend, on its thread.
 */
#ifndef ALIQUOT_RENDERER_WORKER_WATCH_H
#define ALIQUOT_RENDERER_WORKER_WATCH_H

#include <stdbool.h>
#include <sys/types.h>

/* A descriptor that is readable when worker_watch_take() has something to tell, or negative errno.
 */
int worker_watch_create(void);

/* Watches those of our descriptors that are sockets made by this process, until they are closed;
 * those that are watched already stay so. Returns how many are new, or negative errno. */
int worker_watch_add(int watch, pid_t server);

/* True if one has hung up since the last call. Does not block. */
bool worker_watch_take(int watch);

#endif
