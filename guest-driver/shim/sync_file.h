/* SPDX-License-Identifier: MIT */
/*
 * sync_files: fences as descriptors, with the two ioctls that the kernel's have.
 *
 * What the program holds is an eventfd that nobody writes to at first. Mesa makes one for each
 * frame and waits for it with a poll() of that one alone, which we answer from the shared ring with
 * no thread in between. Only when the descriptor goes where we can't see the waiting (epoll, a poll
 * among others, another process, a fork) it is "armed": a thread then waits for the fences and
 * writes.
 */
#ifndef ALIQUOT_SHIM_SYNC_FILE_H
#define ALIQUOT_SHIM_SYNC_FILE_H

#include "guest-driver/shim/device.h"
#include "guest-driver/shim/fd_table.h"
#include "guest-driver/shim/fence_set.h"

struct sync_file {
    struct fd_object base;
    struct device *device;
    int event_fd;         /* owned, private: the program's eventfd, once a thread waits; or -1 */
    struct fence_set set; /* under the state lock */
    bool armed;           /* under the state lock */
};

/* Makes one of an empty set. Returns the program's descriptor, or a negative errno; on success
 * *ret is a reference of the caller. */
int sync_file_create(struct device *device, struct sync_file **ret);
/* Adds to its fences. */
void sync_file_add(struct sync_file *file, const struct fence_set *set);
/* The fences that fd stands for, if it is a sync_file of ours: false if not. */
bool sync_file_fences(int fd, struct fence_set *ret);

struct sync_file *sync_file_of(struct fd_object *base);
/* Done: or waits until deadline_ns. */
bool sync_file_wait(struct sync_file *file, int64_t deadline_ns);
/* If fd is one. */
void sync_file_arm_fd(int fd);
void sync_file_arm_all(void);

/* An ioctl on a sync_file: 0 or a negative errno. */
int sync_file_ioctl(struct sync_file *file, unsigned long request, void *arg);

#endif
