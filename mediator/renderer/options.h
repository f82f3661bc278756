/* SPDX-License-Identifier: MIT */
/*
 * The command line of aliquot-renderer. Used by main.c alone; --help is its manual.
 */
#ifndef ALIQUOT_RENDERER_OPTIONS_H
#define ALIQUOT_RENDERER_OPTIONS_H

#include "mediator/renderer/backend.h"

#include <stdbool.h>
#include <stdint.h>

/* Of --hostmem. It is address space, not memory. */
#define HOSTMEM_MIN_BYTES (1ull << 20)
#define HOSTMEM_MAX_BYTES (256ull << 30)
#define HOSTMEM_DEFAULT_BYTES (1ull << 30)

enum renderer_mode {
    RENDERER_MODE_NONE,
    RENDERER_MODE_BROKER, /* served by aliquotd */
    RENDERER_MODE_FD,     /* one connected socket */
    RENDERER_MODE_LISTEN, /* one connection after another */
    RENDERER_MODE_PROBE,
    RENDERER_MODE_HELP,
    RENDERER_MODE_VERSION,
};

struct renderer_options {
    enum renderer_mode mode;
    const char *name;    /* all strings are borrowed from argv */
    const char *backend; /* "virgl" */
    const char *gpu;     /* "auto" */
    const char *listen_path;
    int fd, broker_fd, stats_fd, memory_fd, work_fd, ready_fd; /* -1 = not given */
    int lease_fd;              /* the first of four: grant, ack, doorbell, wake; -1 = not given */
    uint32_t scanouts;         /* 1 */
    uint32_t width, height;    /* 1280 × 800 */
    bool dmabuf;               /* --scanout-by dmabuf */
    uint64_t max_memory_bytes; /* 0 = not given */
    uint64_t hostmem_bytes;    /* of the host-visible region; 0 = none */
    enum backend_priority priority; /* medium */
    enum backend_vulkan vulkan;     /* auto */
    bool verbose;
};

/* True, or false after a line on stderr that says what is wrong (usage: exit code 2). */
bool options_parse(struct renderer_options *o, int argc, char **argv);

void options_print_help(void);

#endif
