/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets inherited from a service manager (sd_listen_fds(3)), by name. A name is that of
 * a vGPU, "aliquot" for the socket of vGPUs on demand, or "control" for the control interface.
 */
#ifndef ALIQUOT_DAEMON_ACTIVATION_H
#define ALIQUOT_DAEMON_ACTIVATION_H

#include <stddef.h>

#define ACTIVATION_ON_DEMAND "aliquot"
#define ACTIVATION_CONTROL "control"

struct activation_socket {
    char *name; /* owned */
    char *path; /* where it is bound; owned */
    int fd;     /* owned; -1 = taken */
};

struct activation {
    struct activation_socket *sockets; /* owned array */
    size_t count;
};

/* Takes them from the environment and checks that they are what they should be: listening
 * SOCK_STREAM sockets of the file system. Count 0 = started in another way. */
int activation_init(struct activation *a, char **ret_error);
void activation_finish(struct activation *a); /* closes what nobody took */

/* Gives one away, non-blocking; NULL = there is none of this name. path is borrowed from a. */
struct activation_socket *activation_find(struct activation *a, const char *name);

#endif
