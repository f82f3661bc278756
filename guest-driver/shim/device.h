/* SPDX-License-Identifier: MIT */
/*
 * The process's one vGPU, as the kernel's driver would have one device: connected to when the
 * render node is first opened, and kept until the process ends, since programs open and close the
 * node many times before they stay. A fork starts without one: what it has inherited is dead
 * (-EOWNERDEAD), and opening the node again connects it anew.
 *
 * Settings, all from the environment:
 *   ALIQUOT_SOCKET   the vGPU's socket; without it the shim does nothing
 *   ALIQUOT_MEMORY   shared memory in bytes, with K, M or G; default 4G, used as it is touched
 *   ALIQUOT_ON_LOSS  "error": when the vGPU is lost, calls fail and the program goes on; otherwise
 *                    it ends, because Mesa's virgl would go on without ever telling it
 *   ALIQUOT_TRACE    set: each ioctl's name and result goes to standard error
 */
#ifndef ALIQUOT_SHIM_DEVICE_H
#define ALIQUOT_SHIM_DEVICE_H

#include "guest-driver/include/aliquot-guest.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit status of a program that has lost its vGPU: EX_UNAVAILABLE of <sysexits.h>. */
#define DEVICE_LOST_STATUS 69

/* As many as virtio has ids for. */
#define DEVICE_CAPSETS 64

struct device {
    struct aliquot_vgpu *vgpu; /* owned; NULL in a fork of its process */
    uint64_t features;         /* mask of VIRTIO_GPU_F_… */
    uint64_t capset_mask;
    uint64_t host_visible_bytes;
    struct {
        uint32_t max_version;
        uint32_t max_bytes;
        uint8_t *data; /* owned: of version data_version, or NULL */
        size_t data_bytes;
        uint32_t data_version;
    } capsets[DEVICE_CAPSETS];
    pthread_mutex_t capset_lock; /* guards the data */
    /* Held while a command is sent and its fence noted, so that the order of fences on a buffer is
     * that of the commands. */
    pthread_mutex_t submit_lock;
    bool lost_reported, in_vain_reported;
};

/* The environment asks for a vGPU: without it the shim lets everything pass. Tells the user why it
 * does so when a program looks for a GPU. */
bool device_wanted(void);
bool device_wanted_quietly(void);

/* Connects if need be. The device lives as long as the process. 0, or a negative errno that open(2)
 * can return; the user has been told what to do. */
int device_get(struct device **ret);

bool device_has(const struct device *device, unsigned feature);
/* The device's process is another one than ours. */
bool device_is_foreign(const struct device *device);

/* Turns a result of the library into what an ioctl returns: a lost vGPU into -ENODEV. The first
 * time it tells the user; and see ALIQUOT_ON_LOSS. Locks of ours may be held. */
int device_result(struct device *device, int result);

/* The same for a program that waits in vain for something that is lost, as the text says. Returns
 * if it is to go on. */
void device_waits_in_vain(struct device *device, const char *text);

/* Copies a capset, at most size bytes: 0, -EINVAL (no such one), … */
int device_capset(struct device *device, uint32_t id, uint32_t version, void *buf, size_t size);

/* Around fork(): in the child, all devices become foreign. */
void device_lock(void);
void device_unlock(void);
void device_forked(void);

#endif
