/* SPDX-License-Identifier: MIT */
/*
 * The control interface, io.aliquot.Mediator, over Varlink: what the aliquot command line, and
 * whoever else may connect, ask the daemon. The description that clients see by introspection is
 * control_interface.c; this file answers.
 */
#ifndef ALIQUOT_DAEMON_CONTROL_H
#define ALIQUOT_DAEMON_CONTROL_H

#include <systemd/sd-varlink.h>

struct control;
struct mediator;

/* fd: a listening socket; consumed on success only. The mediator is borrowed. */
int control_create(struct mediator *m, int fd, struct control **ret);
void control_destroy(struct control *c);

extern const sd_varlink_interface vl_interface_io_aliquot_Mediator;

#endif
