/* SPDX-License-Identifier: MIT */
/*
 * The GPUs of this machine. The daemon links no GPU library: it asks the renderer program once, at
 * its start (aliquot-renderer --probe), and remembers the answer:
 *
 *   {"gpus": [{"id": "software", "gl_renderer": "llvmpipe …", "usable": true, "error": null}, …],
 *    "auto": "software", "why": "…"}
 *
 * The probe runs the drivers, so it may crash or hang; it is given bounded time and space.
 */
#ifndef ALIQUOT_DAEMON_GPU_LIST_H
#define ALIQUOT_DAEMON_GPU_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define GPU_LIST_MAX 64

struct gpu {
    char *id;   /* what --gpu takes; owned */
    char *text; /* for people: what draws, or why it can't be used; may be empty; owned */
    bool usable;
};

struct gpu_list {
    struct gpu *gpus; /* owned array */
    size_t count;
    char *auto_id; /* what auto means; owned; NULL = nothing usable */
    char *why;     /* one sentence; owned, never NULL */
};

/* Runs the probe and waits for it, some seconds at most. Negative errno and a message. */
int gpu_list_probe(const char *renderer_program, struct gpu_list *ret, char **ret_error);

/* Takes the probe's answer apart. -EINVAL and a message if it is no such answer. */
int gpu_list_parse(const char *json, struct gpu_list *ret, char **ret_error);

void gpu_list_destroy(struct gpu_list *list);

/* GPUs that a name stands for: one, or with auto perhaps several. Borrowed from the list. */
struct gpu_ids {
    const char *ids[GPU_LIST_MAX];
    size_t count; /* 1 or more */
};

/* What wanted (auto or an id) stands for: auto is what the probe chose, and then all others of its
 * kind that work, hardware or software. -ENODEV: there is none, or it can't be used; the message,
 * opened by where, lists what exists. */
int gpu_list_resolve(const struct gpu_list *list, const char *wanted, const char *where,
                     struct gpu_ids *ret, char **ret_error);

#endif
