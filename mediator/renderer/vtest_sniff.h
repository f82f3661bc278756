/* SPDX-License-Identifier: MIT */
/*
 * Tells which protocol a fresh connection speaks, without reading from it: one socket serves
 * vhost-user front-ends and vtest clients. Used by main.c.
 *
 * Both begin with two words of 32 bits. The second one of vhost-user is flags with version 1 in its
 * low bits; of vtest it is the number of the first command, which is always CREATE_RENDERER (8).
 */
#ifndef ALIQUOT_RENDERER_VTEST_SNIFF_H
#define ALIQUOT_RENDERER_VTEST_SNIFF_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct vtest_sniff;

enum vtest_sniff_result {
    VTEST_SNIFF_VTEST,
    VTEST_SNIFF_OTHER, /* vhost-user, or for its parser to refuse: rubbish, an early end */
    VTEST_SNIFF_STALLED,
};

/*
 * Watches fd, which stays the caller's, and calls done once, from the event loop and never from
 * inside create; the callee may destroy the sniff. A peer may be silent for as long as it likes;
 * once it has begun it has timeout_us for the first eight bytes. Returns 0 or a negative errno.
 */
int vtest_sniff_create(sd_event *event, int fd, uint64_t timeout_us,
                       void (*done)(void *opaque, enum vtest_sniff_result result), void *opaque,
                       struct vtest_sniff **ret);
void vtest_sniff_destroy(struct vtest_sniff *sniff);

#endif
