/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/cpu_class.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>

/* What is done to each thread of a process; 0 or a negative errno. */
typedef int (*thread_fn)(pid_t pid, pid_t tid);

/* Between SCHED_IDLE and the classes that anybody may give himself. Whether its children are like
 * it stays as it is: only the privileged may take that back, and it is no way out. */
static int change_class(pid_t tid, int to)
{
    const struct sched_param param = {0};
    int now = sched_getscheduler(tid);

    if (now < 0)
        return -errno;
    int class = now & ~SCHED_RESET_ON_FORK;
    bool due =
        to == SCHED_IDLE ? class == SCHED_OTHER || class == SCHED_BATCH : class == SCHED_IDLE;
    if (!due)
        return 0;
    return sched_setscheduler(tid, to | (now & SCHED_RESET_ON_FORK), &param) < 0 ? -errno : 0;
}

static int make_idle(pid_t pid, pid_t tid)
{
    return change_class(tid, SCHED_IDLE);
}

static int make_normal(pid_t pid, pid_t tid)
{
    return change_class(tid, SCHED_OTHER);
}

/* One that gets the signal stops all; the first thread, which gets it if it is sent to the process,
 * may be waiting for a processor, and the one that has it goes on. */
static int stop_by(pid_t pid, pid_t tid)
{
    return tgkill(pid, tid, SIGSTOP) < 0 ? -errno : 0;
}

static int each_thread(struct cpu_process *p, thread_fn fn)
{
    const struct dirent *entry;
    int result = -ESRCH;

    rewinddir(p->threads);
    while ((entry = readdir(p->threads))) {
        pid_t tid = atoi(entry->d_name);
        if (tid <= 0) /* "." and ".." */
            continue;
        int r = fn(p->pid, tid);
        if (result != 0)
            result = r;
    }
    return result;
}

static int stop(struct cpu_process *p)
{
    if (pidfd_send_signal(p->pidfd, 0, NULL, 0) < 0) /* nobody else may have its number by now */
        return -errno;
    return each_thread(p, stop_by);
}

int cpu_process_init(struct cpu_process *p, int pidfd, pid_t pid)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        return -errno;
    *p = (struct cpu_process){.pidfd = pidfd, .pid = pid, .threads = threads};
    p->clocked = clock_getcpuclockid(pid, &p->clock) == 0;
    (void)cpu_process_take_ns(p);
    return 0;
}

void cpu_process_finish(struct cpu_process *p)
{
    if (p->threads)
        closedir(p->threads);
    *p = (struct cpu_process){0};
}

int cpu_process_set(struct cpu_process *p, enum cpu_class class)
{
    enum cpu_class before = p->class;
    int r = 0;

    if (!p->threads || class == before)
        return 0;
    p->class = class;
    if (class == CPU_CLASS_STOPPED)
        return stop(p);
    if (!p->grouped)
        r = each_thread(p, class == CPU_CLASS_IDLE ? make_idle : make_normal);
    if (before == CPU_CLASS_STOPPED && pidfd_send_signal(p->pidfd, SIGCONT, NULL, 0) < 0)
        r = -errno;
    return r;
}

uint64_t cpu_process_take_ns(struct cpu_process *p)
{
    uint64_t before_ns = p->used_ns;
    struct timespec ts;

    if (!p->clocked || clock_gettime(p->clock, &ts) < 0)
        return 0;
    p->used_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    return p->used_ns > before_ns ? p->used_ns - before_ns : 0;
}
