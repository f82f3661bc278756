/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_class.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>

/* What is done to each thread of a process; 0 or a negative errno. */
typedef int (*thread_fn)(pid_t pid, pid_t tid);

static int change_class(pid_t tid, int from, int to)
{
    const struct sched_param param = {0};
    int now = sched_getscheduler(tid);

    if (now != from)
        return now < 0 ? -errno : 0;
    return sched_setscheduler(tid, to, &param) < 0 ? -errno : 0;
}

static int make_idle(pid_t pid, pid_t tid)
{
    return change_class(tid, SCHED_OTHER, SCHED_IDLE);
}

static int make_normal(pid_t pid, pid_t tid)
{
    return change_class(tid, SCHED_IDLE, SCHED_OTHER);
}

/* One that gets the signal stops all; the first thread, which gets it if it is sent to the process,
 * may be waiting for a processor, and the one that has it goes on. */
static int stop_by(pid_t pid, pid_t tid)
{
    return tgkill(pid, tid, SIGSTOP) < 0 ? -errno : 0;
}

static int each_thread(pid_t pid, thread_fn fn)
{
    char path[32];
    const struct dirent *entry;
    int result = -ESRCH;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        pid_t tid = atoi(entry->d_name);
        if (tid <= 0) /* "." and ".." */
            continue;
        int r = fn(pid, tid);
        if (result != 0)
            result = r;
    }
    closedir(dir);
    return result;
}

int cpu_class_set(int pidfd, pid_t pid, enum cpu_class from, enum cpu_class to)
{
    int r;

    if (pidfd_send_signal(pidfd, 0, NULL, 0) < 0) /* nobody else may have its number by now */
        return -errno;
    if (to == CPU_CLASS_STOPPED)
        return each_thread(pid, stop_by);
    r = each_thread(pid, to == CPU_CLASS_IDLE ? make_idle : make_normal);
    if (from == CPU_CLASS_STOPPED && pidfd_send_signal(pidfd, SIGCONT, NULL, 0) < 0)
        r = -errno;
    return r;
}
