/* SPDX-License-Identifier: MIT */
/*
 * Takes the processors away from a process for the benefit of others, and gives them back: how a
 * slice on a software GPU ends, whose work can't be waited for, but can be preempted. Used by the
 * arbiter, some hundred times a second.
 */
#ifndef ALIQUOT_DAEMON_CPU_CLASS_H
#define ALIQUOT_DAEMON_CPU_CLASS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum cpu_class {
    CPU_CLASS_NORMAL,
    CPU_CLASS_IDLE,    /* runs while nobody else wants to (SCHED_IDLE), and a little besides: where
                          threads that waken have just had more than their part, Linux lets an idle
                          one go on to the next tick of its clock, 1 to 4 ms */
    CPU_CLASS_STOPPED, /* not at all (SIGSTOP) */
};

/* A process, which begins in CPU_CLASS_NORMAL. Zeroed = none: nothing is done. */
struct cpu_process {
    int pidfd; /* borrowed */
    pid_t pid;
    DIR *threads; /* owned; kept open, since looking it up is half of the price */
    enum cpu_class class;
    bool grouped; /* a control group makes it idle (cpu_group.h): its threads are left alone */
    bool clocked;
    clockid_t clock;  /* clocked: of its threads' processor time */
    uint64_t used_ns; /* by it, when cpu_process_take_ns() looked last */
};

/* pidfd is borrowed until cpu_process_finish. Negative errno if there is no such process. */
int cpu_process_init(struct cpu_process *p, int pidfd, pid_t pid);
/* Leaves it in the class that it has, and zeroes p. */
void cpu_process_finish(struct cpu_process *p);
/* Threads of SCHED_BATCH count as those of SCHED_OTHER, and come back as such; those of other
 * classes, which take privileges, are only stopped. Threads that a thread makes are like it.
 * Negative errno if the process is gone, or none of its threads may be changed; it is taken to be
 * in the new class all the same. */
int cpu_process_set(struct cpu_process *p, enum cpu_class class);
/* Processor time of all its threads, also of those that have ended, since the last call, or since
 * cpu_process_init. A process that is gone, or none, has used none. One system call. */
uint64_t cpu_process_take_ns(struct cpu_process *p);

#endif
