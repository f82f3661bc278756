/* SPDX-License-Identifier: MIT */
/*
 * A program that uses the render node by bare ioctls, as no driver would, and checks what the
 * kernel promises. It knows nothing of the shim that is preloaded into it. Each check is a
 * subcommand of the program; a failure is a line on stderr and exit status 1.
 */
#ifndef ALIQUOT_TESTS_SHIM_PROBE_H
#define ALIQUOT_TESTS_SHIM_PROBE_H

#include <drm/drm.h>
#include <drm/virtgpu_drm.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE "/dev/dri/renderD128"
#define BUFFER_BYTES 8192u

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %s)\n", __FILE__, __LINE__, #condition,              \
                    strerrorname_np(errno));                                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The ioctl fails, with that errno. */
#define CHECK_FAILS(error, call)                                                                   \
    do {                                                                                           \
        errno = 0;                                                                                 \
        CHECK((call) == -1 && errno == (error));                                                   \
    } while (0)

int open_node(void);
int init_context(int fd, uint64_t param, uint64_t value);
/* A buffer of BUFFER_BYTES; returns its handle. */
uint32_t make_buffer(int fd, uint32_t *ret_resource);
uint8_t *map_buffer(int fd, uint32_t handle);
void close_buffer(int fd, uint32_t handle);
int transfer(int fd, unsigned long request, uint32_t handle, uint32_t bytes);
int wait_buffer(int fd, uint32_t handle, uint32_t flags);
/* Sends a no-op that uses the buffer; returns a fence descriptor if asked for. */
int execute(int fd, uint32_t handle, bool fence);
/* Data gets to the device and back. */
void check_round_trip(int fd);

void probe_errors(void);
void probe_buffers(void);
void probe_prime(void);
void probe_blobs(void);
void probe_fences(void);
void probe_syncobjs(void);
void probe_descriptors(void);
void probe_fork(void);
void probe_child(void);
void probe_threads(void);
void probe_naps(void);
void probe_run(void);

#endif
