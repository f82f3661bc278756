/* SPDX-License-Identifier: MIT */
/*
 * An aliquotd of our own, for "aliquot run" where none runs: in a directory of mode 0700 made for
 * it, and gone when we are, however we end. It is told by the end of a pipe (--owner-fd), upon
 * which it stops and removes the directory by itself.
 *
 * Its log comes to us: warnings and errors go to our stderr, the rest only if wanted.
 */
#ifndef ALIQUOT_CLI_PRIVATE_DAEMON_H
#define ALIQUOT_CLI_PRIVATE_DAEMON_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct private_daemon;

struct private_daemon_args {
    const char *gpu, *backend; /* NULL = its choice */
    bool verbose;              /* shows all of its log */
};

/* Waits until it serves, running the event loop. A negative errno after a message. */
int private_daemon_start(sd_event *event, const struct private_daemon_args *args,
                         struct private_daemon **ret);
/* Ends it, waits for that, and removes what it may have left. NULL is fine. */
void private_daemon_stop(struct private_daemon *d);

/* Its socket directory. */
const char *private_daemon_dir(const struct private_daemon *d);

#endif
