/* SPDX-License-Identifier: MIT */
/*
 * The directory with the daemon's sockets. One daemon has it at a time: it holds a lock file
 * there, so that of two that start together one wins, and what a dead one left behind can be told
 * from what a live one uses. All that is made here is taken away at the end. Used by the daemon for
 * its listening sockets and by nothing else.
 */
#ifndef ALIQUOT_DAEMON_SOCKET_DIR_H
#define ALIQUOT_DAEMON_SOCKET_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct socket_dir;

struct socket_dir_config {
    const char *path;
    mode_t socket_mode;
    gid_t socket_group; /* (gid_t)-1 = the daemon's own */
    bool remove;        /* the directory at the end, even if it was there before */
};

/*
 * Makes the directory where it is missing (its parent must be there) and locks it. On failure a
 * negative errno and a message: -EBUSY, a live daemon has it (the message names its pid);
 * -ENOTDIR; -EPERM, everybody may write in it; …
 */
int socket_dir_open(const struct socket_dir_config *config, struct socket_dir **ret,
                    char **ret_error);

/* Removes the sockets, the lock and the directory if it was made here and is empty. */
void socket_dir_close(struct socket_dir *dir);

/* Absolute, no links in it. */
const char *socket_dir_path(const struct socket_dir *dir);

/*
 * Makes a listening SOCK_STREAM socket, non-blocking, in place of a stale one. The descriptor is
 * the caller's, the file is removed by socket_dir_close(). On failure a negative errno and a
 * message: -EADDRINUSE, a live process listens there (named by its pid); -EEXIST, there is
 * something that is no socket, left alone; -ENAMETOOLONG; …
 */
int socket_dir_listen(struct socket_dir *dir, const char *file, int *ret_fd, char **ret_error);
/* Removes such a socket now; its descriptor is not touched. */
void socket_dir_unlink(struct socket_dir *dir, const char *file);

#endif
