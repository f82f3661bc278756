/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/child.h"

#include "mediator/base/util.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

extern char **environ;

/* The child's descriptors start here. */
#define FIRST_FD 3

/* The environment without what the service manager means for the daemon alone. The array is the
 * caller's, the strings are not. NULL = no memory. */
static char **child_environment(void)
{
    static const char *const ours[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "FDSTORE="};
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **env = calloc(count + 1, sizeof(*env));
    if (!env)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        bool drop = false;
        for (size_t j = 0; j < ARRAY_SIZE(ours); j++)
            drop |= !strncmp(environ[i], ours[j], strlen(ours[j]));
        if (!drop)
            env[kept++] = environ[i];
    }
    return env;
}

/* Fills attributes and file actions; high holds the copies that the actions refer to. */
static int prepare(const struct child_args *args, int high[static CHILD_FDS_MAX + 1],
                   posix_spawnattr_t *attr, posix_spawn_file_actions_t *actions)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF);
    if (r == 0)
        r = posix_spawnattr_setpgroup(attr, 0);
    if (r == 0)
        r = posix_spawnattr_setsigmask(attr, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attr, &all);

    if (r == 0)
        r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    /* Copies above the target numbers: putting one into place must not overwrite the next. */
    const int above = FIRST_FD + CHILD_FDS_MAX;
    for (size_t i = 0; i <= args->n_fds && r == 0; i++) {
        int fd = i < args->n_fds ? args->fds[i] : args->stdout_fd;
        int target = i < args->n_fds ? FIRST_FD + (int)i : STDOUT_FILENO;
        if (fd < 0) {
            r = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
            continue;
        }
        high[i] = fcntl(fd, F_DUPFD_CLOEXEC, above);
        if (high[i] < 0)
            return -errno;
        r = posix_spawn_file_actions_adddup2(actions, high[i], target);
    }
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, FIRST_FD + (int)args->n_fds);
    return -r;
}

int child_spawn(const struct child_args *args, int *ret_pidfd, pid_t *ret_pid)
{
    if (args->n_fds > CHILD_FDS_MAX)
        return -EINVAL;
    int high[CHILD_FDS_MAX + 1];
    for (size_t i = 0; i < ARRAY_SIZE(high); i++)
        high[i] = -1;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;
    int r = posix_spawnattr_init(&attr);
    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_init(&actions);
    if (r != 0) {
        posix_spawnattr_destroy(&attr);
        return -r;
    }

    int pidfd = -1;
    char **env = child_environment();
    r = env ? prepare(args, high, &attr, &actions) : -ENOMEM;
    if (r == 0)
        r = -pidfd_spawn(&pidfd, args->argv[0], &actions, &attr, args->argv, env);
    for (size_t i = 0; i < ARRAY_SIZE(high); i++) {
        if (high[i] >= 0)
            close(high[i]);
    }
    free(env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (r < 0)
        return r;

    pid_t pid = pidfd_getpid(pidfd);
    if (pid <= 0) { /* no /proc: it could not be killed as a group later */
        r = pid < 0 ? -errno : -ESRCH;
        siginfo_t info;
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
        waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
        close(pidfd);
        return r;
    }
    *ret_pidfd = pidfd;
    *ret_pid = pid;
    return 0;
}

bool child_has_ended(int pidfd)
{
    siginfo_t info = {0};

    return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

int child_reap(int pidfd, pid_t pid, int *ret_code, int *ret_status)
{
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return -errno;
    if (info.si_pid == 0)
        return 0;
    child_kill(pid);
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
        return -errno;
    *ret_code = info.si_code;
    *ret_status = info.si_status;
    return 1;
}

void child_kill(pid_t pid)
{
    if (pid > 1) /* 0 and -1 would mean other processes than the child */
        kill(-pid, SIGKILL);
}

void child_describe_end(int code, int status, char *buf, size_t size)
{
    if (code == CLD_EXITED)
        snprintf(buf, size, "exited with status %d", status);
    else
        snprintf(buf, size, "was killed by signal %d (%s)%s", status, strsignal(status),
                 code == CLD_DUMPED ? ", core dumped" : "");
}
