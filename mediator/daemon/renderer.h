/* SPDX-License-Identifier: MIT */
/*
 * A renderer process as the daemon sees it: started for one connection, watched through its pidfd
 * and its message socket, and gone at the end whatever it does. Nothing that it says or leaves
 * undone blocks the daemon: each wait has a deadline, and SIGKILL behind it.
 * Used by vgpu.c.
 *
 *   STARTING --READY--> SERVING --DONE, socket closed, renderer_finish()--> ENDING
 *       \___________________\_________________________________________________/ | late
 *                    | late at the start, or renderer_stop()                     |
 *                    v                                                           v
 *                 TERMINATED ---------------late, rubbish--------------------> KILLED
 *   and from each, when the process is gone: ops->exited
 */
#ifndef ALIQUOT_DAEMON_RENDERER_H
#define ALIQUOT_DAEMON_RENDERER_H

#include "mediator/daemon/config.h"
#include "mediator/daemon/work_log.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct renderer;

/* The texts are printable ASCII, at most BROKER_TEXT_MAX bytes, valid during the call. */
struct renderer_ops {
    void (*ready)(void *opaque, const char *text);
    void (*done)(void *opaque, const char *text);
    /* The process has been reaped; the callee destroys the renderer now or later. how: for people,
     * "exited with status 1". Called from the event loop, exactly once, unless destroyed before. */
    void (*exited)(void *opaque, const char *how, bool clean);
};

struct arbiter_vgpu;

struct renderer_config {
    sd_event *event;                /* borrowed */
    const char *program;            /* borrowed during the call */
    const struct vgpu_config *vgpu; /* borrowed for the renderer's life; its gpu is not used */
    const char *gpu;                /* borrowed during the call; NULL = the backend needs none */
    bool verbose;
    struct arbiter_vgpu *lease;     /* borrowed for the renderer's life; NULL = it needs none */
    const struct renderer_ops *ops; /* borrowed */
    void *opaque;
};

/* Starts the program and queues the connection (borrowed) for it. Negative errno on failure. */
int renderer_spawn(const struct renderer_config *config, int connection, struct renderer **ret);

/* Kills and reaps the process if it is still there. */
void renderer_destroy(struct renderer *r);

/* Its work is over: it is to exit by itself, within less than a second. */
void renderer_finish(struct renderer *r);
/* SIGTERM now, SIGKILL soon. The second call is SIGKILL now. */
void renderer_stop(struct renderer *r);

pid_t renderer_pid(const struct renderer *r);

/* A copy of the counters that the renderer (struct broker_stats) and the processes of its Vulkan
 * layer (struct layer_memory) write: shown to people, used for nothing. */
struct renderer_counters {
    bool driver_ok;
    uint64_t resources, resource_bytes, contexts, commands, submits, fences, rejected, flushes;
    uint64_t mapped_blobs;
    uint64_t vulkan_contexts, vulkan_devices, vulkan_bytes, vulkan_submits, vulkan_refused;
};
void renderer_counters_read(const struct renderer *r, struct renderer_counters *ret);
/* Likewise: adds what it counted of its command streams, from their being taken up to completion.
 */
void renderer_latency_add(const struct renderer *r, struct arbiter_histogram *sum);
/* Likewise: takes what has been noted of the GPU's work since the last time, as that vGPU's. */
void renderer_take_work(struct renderer *r, struct work_log *log, uint32_t vgpu);

#endif
