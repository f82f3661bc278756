/* SPDX-License-Identifier: MIT */
/*
 * Takes the processors away from a process for the benefit of others, and gives them back: how a
 * slice on a software GPU ends, whose work can't be waited for, but can be preempted.
 */
#ifndef ALIQUOT_DAEMON_CPU_CLASS_H
#define ALIQUOT_DAEMON_CPU_CLASS_H

#include <stdbool.h>
#include <sys/types.h>

/* idle: all threads of the process run only while nobody else wants to (SCHED_IDLE); else they are
 * as before. Threads of another class than these two are left alone. Threads that it makes are like
 * the one that makes them. Negative errno if there is no such process, or none of its threads may
 * be changed. */
int cpu_class_set_idle(pid_t pid, bool idle);

#endif
