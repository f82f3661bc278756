/* SPDX-License-Identifier: MIT */
/*
 * The vtest server: serves one connection of a Mesa client (GALLIUM_DRIVER=virpipe, or Venus with
 * VN_DEBUG=vtest) as virgl_test_server does, over the same device model, backend, limits and
 * counters as a guest's vhost-user connection. Used by main.c, one at a time, in place of a struct
 * vhost_backend.
 *
 * Every byte is hostile. Reads and writes never wait: a client that stalls in the middle of a
 * message, or does not read its answers, costs no processor time and holds up nobody but itself.
 * What breaks the protocol ends the connection with one log line; the process lives on.
 *
 * vtest_stream.c has the bytes in and out, vtest_session.c takes messages apart, vtest_commands.c
 * and vtest_resource.c do what they say, vtest_blob.c and vtest_sync.c what Venus says;
 * vtest_wait.c waits for the GPU.
 */
#ifndef ALIQUOT_RENDERER_VTEST_SESSION_H
#define ALIQUOT_RENDERER_VTEST_SESSION_H

#include "mediator/renderer/connection_config.h"

struct vtest_session;

/* Serves fd, a connected stream socket; it is consumed on success only. */
int vtest_session_create(const struct connection_config *config, int fd,
                         struct vtest_session **ret);
void vtest_session_destroy(struct vtest_session *s);

#endif
