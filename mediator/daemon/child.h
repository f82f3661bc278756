/* SPDX-License-Identifier: MIT */
/*
 * A child process: its own process group, a fresh signal state, no descriptor but the ones named,
 * none of the service manager's variables. The result is a pidfd, so that no signal ever hits a
 * stranger with a reused pid. Used for renderers and for the probe.
 */
#ifndef ALIQUOT_DAEMON_CHILD_H
#define ALIQUOT_DAEMON_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHILD_FDS_MAX 8

struct child_args {
    char *const *argv; /* argv[0] is the program's path */
    int stdout_fd;     /* borrowed; -1 = the daemon's stderr */
    const int *fds;    /* borrowed; they become 3, 4, … in the child */
    size_t n_fds;      /* at most CHILD_FDS_MAX */
};

/* stdin is /dev/null, stderr the daemon's. Negative errno, also where the program can't be run. */
int child_spawn(const struct child_args *args, int *ret_pidfd, pid_t *ret_pid);

/* It has ended, and still has its number: it is not reaped yet. */
bool child_has_ended(int pidfd);

/* Reaps what has ended: 1 = done, with siginfo's si_code and si_status; 0 = still running. Whatever
 * is left of its process group gets SIGKILL before the group's number is free for others. */
int child_reap(int pidfd, pid_t pid, int *ret_code, int *ret_status);

/* SIGKILL to the whole group of a child that has not been reaped. */
void child_kill(pid_t pid);

/* "exited with status 1", "was killed by signal 9 (Killed)" */
void child_describe_end(int code, int status, char *buf, size_t size);

#endif
