/* SPDX-License-Identifier: MIT */
/*
 * Control groups of renderers (cgroups(7)): cpu.idle of one takes the processors away from all
 * threads in it with a single write, where cpu_class.h needs a call for each. Used by the arbiters
 * of software GPUs, where the daemon may make such groups; where it may not, they do without.
 */
#ifndef ALIQUOT_DAEMON_CPU_GROUP_H
#define ALIQUOT_DAEMON_CPU_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where groups are made. Not thread-safe. */
struct cpu_group_parent {
    int dir_fd; /* owned; -1 = nowhere */
    unsigned last;
};

/* The group of one renderer and of all the processes that it makes. */
struct cpu_group {
    int idle_fd; /* of its cpu.idle, owned; -1 = none: nothing is done */
    bool idle;
    char name[40]; /* below the parent */
};
#define CPU_GROUP_NONE ((struct cpu_group){.idle_fd = -1})

/*
 * Finds the folder for this process' groups: with control groups of version 1 its own one in the
 * hierarchy of the controller "cpu", with version 2 the one above its own if that has been
 * delegated to it (systemd: Delegate=cpu, DelegateSubgroup=), and removes what an earlier daemon
 * left there. Negative errno, and a parent in which nothing can be made: -EOPNOTSUPP without the
 * controller or cpu.idle (Linux 5.15), -EPERM if it was not delegated, -EACCES, -EROFS.
 */
int cpu_group_parent_open(struct cpu_group_parent *ret);
void cpu_group_parent_close(struct cpu_group_parent *parent);

/* Makes a group and moves the process there, with all its threads. Negative errno, and
 * CPU_GROUP_NONE. May block for some milliseconds. */
int cpu_group_create(struct cpu_group_parent *parent, pid_t pid, struct cpu_group *ret);
/* Its processes run only while nobody else wants to, or as others do. Negative errno. */
int cpu_group_set_idle(struct cpu_group *group, bool idle);
/* Those that are in it must be gone, or about to be: what can't be removed yet is removed later.
 * CPU_GROUP_NONE is fine, and is left behind. */
void cpu_group_remove(struct cpu_group_parent *parent, struct cpu_group *group);

/* ---- for tests ------------------------------------------------------------------------------- */

/* The folder according to a mountinfo and a cgroup file (proc(5)), of at most size - 1 bytes.
 * Version 2: *ret_v2, and it is the process' own group. False: there is none. */
bool cpu_group_find(const char *mountinfo, const char *cgroups, char *ret_path, size_t size,
                    bool *ret_v2);

#endif
