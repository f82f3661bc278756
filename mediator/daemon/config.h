/* SPDX-License-Identifier: MIT */
/*
 * What the operator asks for: the settings of aliquotd and of each configured vGPU, from an INI
 * file and the command line. One table of keys serves both, so that a value is checked and a
 * mistake explained in one way. Used by the daemon at its start; nothing here touches the system
 * but to read the file and to look up names of users and groups.
 *
 * Functions that take ret_error set it, on failure only, to a sentence for the operator that the
 * caller frees (NULL if memory is short).
 */
#ifndef ALIQUOT_DAEMON_CONFIG_H
#define ALIQUOT_DAEMON_CONFIG_H

#include "mediator/daemon/arbiter.h"
#include "mediator/daemon/peer.h"
#include "mediator/sched/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#define CONFIG_FILE "/etc/aliquot/aliquot.conf"

#define VGPU_NAME_MAX 63
/* More than one host serves; bounds what a runaway generator of configuration can ask for. */
#define CONFIG_VGPUS_MAX 256
/* Guests name at most so many scan-outs (virtio-gpu 1.3). */
#define CONFIG_SCANOUTS_MAX 16
#define CONFIG_SIZE_MIN 64
#define CONFIG_SIZE_MAX 16384
#define CONFIG_MEMORY_MIN (UINT64_C(1) << 20)
#define CONFIG_MEMORY_MAX (UINT64_C(1) << 44)
/* Of the host-visible region, as the renderer takes it. */
#define CONFIG_HOSTMEM_MIN (UINT64_C(1) << 20)
#define CONFIG_HOSTMEM_MAX (UINT64_C(1) << 38)
#define CONFIG_HOSTMEM_DEFAULT (INT64_C(1) << 30)

/* A vGPU as configured. The values of [aliquot] fill what is unset here in config_finish(). */
struct vgpu_config {
    char name[VGPU_NAME_MAX + 1];
    char *gpu;                 /* owned; NULL = unset */
    const char *backend;       /* static; NULL = unset */
    int scanouts;              /* -1 = unset */
    uint32_t width, height;    /* 0 = unset */
    const char *scanout_by;    /* static; NULL = unset */
    uint64_t max_memory_bytes; /* 0 = no limit of ours: the renderer's own */
    const char *vulkan;        /* "auto", "on" or "off", static; NULL = unset */
    int64_t hostmem_bytes;     /* of the host-visible region; 0 = none, -1 = unset */
    struct sched_knobs knobs;  /* of a kind that knobs_set names; else meaningless */
    unsigned knobs_set;        /* CONFIG_KNOB_… */
};

#define CONFIG_KNOB_WEIGHT (1u << 0)
#define CONFIG_KNOB_RESERVATION (1u << 1)
#define CONFIG_KNOB_CAP (1u << 2)
#define CONFIG_KNOB_SLICE (1u << 3)

struct config {
    char *socket_dir;                /* owned */
    char *state_dir;                 /* owned; NULL = there is no place for it */
    struct sockaddr_storage metrics; /* of the HTTP server; AF_UNSPEC = none */
    bool on_demand;
    unsigned max_vgpus; /* made on demand, at one time */
    enum sched_policy policy;
    int preempt;             /* enum arbiter_preempt, or -1: as suits the GPU */
    unsigned parallelism;    /* vGPUs inside a slice at once */
    bool early_handover;     /* where slices end by draining */
    uint64_t reset_after_ns; /* UINT64_MAX = unset */
    struct peer_policy peers;
    mode_t socket_mode;          /* (mode_t)-1 = unset */
    gid_t socket_group;          /* (gid_t)-1 = the daemon's own */
    struct vgpu_config defaults; /* of vGPUs made on demand, and of what a section leaves out */
    struct vgpu_config *vgpus;   /* owned array */
    size_t n_vgpus;
};

void config_init(struct config *c);
void config_destroy(struct config *c); /* what it points to, not c itself */

/* Reads a file over what is there. -EINVAL: *ret_error names file and line. */
int config_load(struct config *c, const char *path, char **ret_error);
/* The same from an open stream; path is for messages. */
int config_load_stream(struct config *c, FILE *file, const char *path, char **ret_error);

/* Sets one key of [aliquot], as the command line does; where opens the message ("--gpu"). */
int config_set(struct config *c, const char *key, const char *value, const char *where,
               char **ret_error);

/* The same for one key of a vGPU that no file has: the caller owns v->gpu. */
int config_vgpu_set(struct vgpu_config *v, const char *key, const char *value, const char *where,
                    char **ret_error);
/* Of the knobs that v has set, over those in *knobs. */
void config_vgpu_merge_knobs(const struct vgpu_config *v, struct sched_knobs *knobs);
/* A vGPU with nothing set. */
extern const struct vgpu_config config_vgpu_unset;
/* What v leaves open comes from defaults. -ENOMEM or 0. */
int config_vgpu_inherit(struct vgpu_config *v, const struct vgpu_config *defaults);
/* Whether a vGPU may have this name: valid, and not kept for vGPUs on demand. -EINVAL and a
 * message. */
int config_vgpu_check_name(const char *name, const char *where, char **ret_error);

/* Adds a vGPU with nothing set. -EEXIST, -EINVAL (a bad name), -E2BIG, each with a message. */
int config_add_vgpu(struct config *c, const char *name, const char *where, char **ret_error);

/* Fills in all that is unset. -EINVAL with a message if there is no place for the sockets. */
int config_finish(struct config *c, char **ret_error);

/* NULL = there is none of this name. */
struct vgpu_config *config_find_vgpu(struct config *c, const char *name);

#endif
