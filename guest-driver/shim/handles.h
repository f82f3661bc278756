/* SPDX-License-Identifier: MIT */
/*
 * The handles of one opened render node: small numbers for pointers, the lowest free one first, as
 * the kernel gives them out. Used for buffers and for syncobjs. Locking is the owner's.
 */
#ifndef ALIQUOT_SHIM_HANDLES_H
#define ALIQUOT_SHIM_HANDLES_H

#include <stdint.h>

/* {0} is empty. Handles start at 1. */
struct handles {
    void **items; /* owned array; what the pointers own is the user's affair */
    uint32_t count;
    uint32_t lowest; /* all below are taken; index, not handle */
};

/* 0 or -ENOMEM. */
int handles_add(struct handles *h, void *item, uint32_t *ret);
/* NULL: not in use. */
void *handles_get(const struct handles *h, uint32_t handle);
/* Takes it out and returns it, or NULL. */
void *handles_remove(struct handles *h, uint32_t handle);
/* The handle of item, or 0. Takes time in proportion to their number. */
uint32_t handles_find(const struct handles *h, const void *item);
void handles_finish(struct handles *h);

#endif
