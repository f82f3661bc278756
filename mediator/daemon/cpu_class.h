/* SPDX-License-Identifier: MIT */
/*
 * Takes the processors away from a process for the benefit of others, and gives them back: how a
 * slice on a software GPU ends, whose work can't be waited for, but can be preempted.
 */
#ifndef ALIQUOT_DAEMON_CPU_CLASS_H
#define ALIQUOT_DAEMON_CPU_CLASS_H

#include <sys/types.h>

enum cpu_class {
    CPU_CLASS_NORMAL,
    CPU_CLASS_IDLE,    /* runs while nobody else wants to (SCHED_IDLE), and a little besides: where
                          threads that waken have just had more than their part, Linux lets an idle
                          one go on to the next tick of its clock, 1 to 4 ms */
    CPU_CLASS_STOPPED, /* not at all (SIGSTOP) */
};

/*
 * Brings the process from one class, which it must have, to another. Threads of another scheduling
 * class than SCHED_OTHER and SCHED_IDLE are only stopped; threads that a thread makes are like it.
 * pidfd names the process, pid is its number. Negative errno if there is no such process, or none
 * of its threads may be changed.
 */
int cpu_class_set(int pidfd, pid_t pid, enum cpu_class from, enum cpu_class to);

#endif
