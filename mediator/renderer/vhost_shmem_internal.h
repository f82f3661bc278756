/* SPDX-License-Identifier: MIT */
/*
 * What vhost_shmem.c (what the front-end shows) and vhost_request.c (asking it to) share. Nobody
 * else includes this.
 */
#ifndef ALIQUOT_RENDERER_VHOST_SHMEM_INTERNAL_H
#define ALIQUOT_RENDERER_VHOST_SHMEM_INTERNAL_H

#include "mediator/renderer/vhost_internal.h"

#include <sys/stat.h>

/* How long an answer may take after the one before, and a listing after it. QEMU's main loop takes
 * milliseconds (tens where hundreds of blobs are mapped, and it takes requests one by one), and
 * stands still for longer only while the guest does, too. */
#define ANSWER_US UINT64_C(5000000)

struct vhost_shmem_map {
    struct vhost_shmem_map *next;
    dev_t dev; /* what is shown, by which it is known again in the memory table */
    ino_t ino;
    uint64_t fd_offset, offset, bytes;
    bool asked_for;        /* its SHMEM_MAP is on its way */
    bool leaving;          /* its SHMEM_UNMAP is */
    bool listed, unlisted; /* is in the memory table, or was */
    struct vhost_user_region region;
    struct gpu_cmd *cmd; /* borrowed; waits for the listing; NULL = none does */
    uint64_t shown_us;
};

struct vhost_shmem_request {
    struct vhost_shmem_request *next;
    uint32_t type;               /* enum vhost_user_backend_request */
    struct vhost_shmem_map *map; /* borrowed */
    struct gpu_cmd *cmd;         /* borrowed; waits for the answer; NULL = none does */
    int fd;                      /* owned; to be sent; -1 = none */
    bool sent;
    uint64_t since_us;
};

uint64_t vhost_shmem_now_us(struct vhost_backend *be);
/* The front-end is the driver itself, and may be shown what ends on the GPU. */
bool vhost_shmem_has_completions(const struct vhost_backend *be);
/* Tells the device, if it still waits. */
void vhost_shmem_done(struct vhost_backend *be, struct gpu_cmd *cmd, int result);
/* Has the clock looked at; see CHECK_US in vhost_shmem.c. */
void vhost_shmem_watch_time(struct vhost_backend *be);
void vhost_shmem_map_free(struct vhost_shmem *s, struct vhost_shmem_map *map);
/* The front-end says that it shows the map. */
void vhost_shmem_map_shown(struct vhost_backend *be, struct vhost_shmem_map *map,
                           struct gpu_cmd *cmd);

/* ---- vhost_request.c ------------------------------------------------------------------------ */

/* 0, -EPIPE without a socket, or -ENOMEM. fd is borrowed, -1 = none. */
int vhost_request(struct vhost_backend *be, uint32_t type, struct vhost_shmem_map *map, int fd,
                  struct gpu_cmd *cmd);
/* Shows a blob to a front-end that is the driver itself, and does not answer: 0, -EPIPE without a
 * socket, or -ENOMEM: it takes no more. */
int vhost_request_show(struct vhost_backend *be, const struct gpu_shmem_map *args);
void vhost_request_free(struct vhost_shmem_request *req);
/* Takes back what was not sent yet. */
void vhost_request_drop_unsent(struct vhost_shmem *s);
/* Without a socket; what waits for an answer fails. */
void vhost_request_drop_socket(struct vhost_backend *be);
/* True while an answer is waited for. One that is overdue is the last: the front-end is asked no
 * more. */
bool vhost_request_pending(struct vhost_backend *be, uint64_t now);

#endif
