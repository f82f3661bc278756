/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_class.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static int set_thread(pid_t tid, bool idle)
{
    const struct sched_param param = {0};
    int from = idle ? SCHED_OTHER : SCHED_IDLE;
    int to = idle ? SCHED_IDLE : SCHED_OTHER;
    int now = sched_getscheduler(tid);

    if (now != from)
        return now < 0 ? -errno : 0;
    return sched_setscheduler(tid, to, &param) < 0 ? -errno : 0;
}

int cpu_class_set_idle(pid_t pid, bool idle)
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
        int r = set_thread(tid, idle);
        if (result != 0)
            result = r;
    }
    closedir(dir);
    return result;
}
