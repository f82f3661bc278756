/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: the regions that the front-end shares with us, and the only way from an address of
 * its to a pointer of ours. Used by the vhost-user back-end.
 *
 * A mapping is counted: the table holds a reference, so does each ring that runs in it and each
 * resource whose backing lies in it. A table update therefore never moves or unmaps memory that
 * somebody still points into; a region that comes again (same file, offset, size) keeps its
 * mapping. The file can be cut short by the front-end at any time, which sigbus.c deals with.
 *
 * One thread. Contents are hostile and change while they are read: see protocol/iov.h.
 */
#ifndef ALIQUOT_RENDERER_GUEST_MEM_H
#define ALIQUOT_RENDERER_GUEST_MEM_H

#include "protocol/vhost_user.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Regions of one table. libvhost-user answers 509 to GET_MAX_MEM_SLOTS; QEMU aborts at its 513th,
 * whatever we say. */
#define GUEST_MEM_REGIONS_MAX 509

/* A mapping of a part of a file. */
struct guest_map;

struct guest_region {
    uint64_t gpa, uva, size; /* none of the ranges wraps */
    struct guest_map *map;   /* owned reference */
};

struct guest_mem {
    struct guest_region regions[GUEST_MEM_REGIONS_MAX]; /* sorted by gpa, never overlapping there */
    size_t count;
    size_t last_hit; /* index of the region found last: nearly always the next one too */
};

void guest_mem_init(struct guest_mem *mem);
/* Drops the table's references. */
void guest_mem_finish(struct guest_mem *mem);

/*
 * Replaces the table with n regions, each with its descriptor, all or nothing. The descriptors stay
 * the caller's and are not needed afterwards. Returns 0, or with *ret_reason set to a static
 * sentence -EINVAL (a region is empty, wraps, overlaps another, is misaligned or longer than its
 * file; not a file), -ENOSPC (too many) or what mmap(2) says.
 */
int guest_mem_set(struct guest_mem *mem, const struct vhost_user_region *regions, const int *fds,
                  size_t n, const char **ret_reason);
/* Adds one region; as above. */
int guest_mem_add(struct guest_mem *mem, const struct vhost_user_region *region, int fd,
                  const char **ret_reason);
/* Removes the region with these gpa, uva and size. -ENOENT: there is none. */
int guest_mem_remove(struct guest_mem *mem, const struct vhost_user_region *region,
                     const char **ret_reason);

/* vring_translate_fn over a struct guest_mem: the pointer is valid until the table changes. */
void *guest_mem_translate(void *mem, uint64_t gpa, uint64_t *len);

/* The same, and *ret_map gets a reference that keeps the memory mapped. NULL: nothing is taken. */
void *guest_mem_ref(struct guest_mem *mem, uint64_t gpa, uint64_t *len, struct guest_map **ret_map);

/*
 * Translates an address of the front-end's own address space, as ring addresses are. All of the len
 * bytes have to lie within one region, and the address to be a multiple of align (a power of two).
 * Returns NULL where that is not so; else *ret_map gets a reference.
 */
void *guest_mem_uva_ref(struct guest_mem *mem, uint64_t uva, uint64_t len, uint64_t align,
                        struct guest_map **ret_map);

/* References to mappings on behalf of requests that are being worked on: their buffers must stay
 * where they are when the table changes. */
#define GUEST_PINS_MAX 1024
struct guest_pins {
    struct guest_map *maps[GUEST_PINS_MAX]; /* owned, each once */
    size_t count;
};
/* Adds all mappings of the table that are not pinned yet, by one owner at a time. False: too many,
 * which takes a front-end that changes its memory again and again while its GPU work hangs. */
bool guest_mem_pin(struct guest_mem *mem, struct guest_pins *pins);
void guest_pins_drop(struct guest_pins *pins);

/* NULL is fine. */
void guest_map_unref(struct guest_map *map);

#endif
