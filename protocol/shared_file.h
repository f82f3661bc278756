/* SPDX-License-Identifier: MIT */
/*
 * Files in memory of a fixed size, by which aliquotd, a renderer and the processes of its Vulkan
 * layer share pages. Who has such a descriptor can neither shrink the file, which would be SIGBUS
 * for all others, nor grow it.
 */
#ifndef ALIQUOT_PROTOCOL_SHARED_FILE_H
#define ALIQUOT_PROTOCOL_SHARED_FILE_H

#include <stddef.h>

/* Makes one of zeroes and maps it. prot: as mmap() has it, of this mapping; seals: F_SEAL_…,
 * besides those against another size and more seals, in force after the mapping. Returns 0 or a
 * negative errno; the caller owns *ret_fd and unmaps *ret. */
int shared_file_create(const char *name, size_t bytes, int prot, int seals, int *ret_fd,
                       void **ret);
/* Maps one that somebody else has made, or a negative errno; -EINVAL: it is shorter. The descriptor
 * stays the caller's. */
int shared_file_map(int fd, size_t bytes, int prot, void **ret);

#endif
