/* SPDX-License-Identifier: MIT */
/*
 * What in a virgl command stream has to be known before virglrenderer runs it: commands that
 * allocate host memory past every limit of ours. Looks at the headers alone; whether the commands
 * make sense is virglrenderer's to find out.
 */
#ifndef ALIQUOT_RENDERER_VIRGL_STREAM_H
#define ALIQUOT_RENDERER_VIRGL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sub-context is a GL context on the host, ten megabytes with llvmpipe. Mesa makes one for each
 * GL context of the program. */
#define VIRGL_SUB_CONTEXTS_MAX 64

/* The sub-contexts that a context has made, besides its first. Zeroed = none. */
struct virgl_sub_contexts {
    uint32_t count;
    uint32_t ids[VIRGL_SUB_CONTEXTS_MAX];
};

/* What virgl_stream_check() finds out about a context from its streams. Zeroed = nothing yet. */
struct virgl_stream_notes {
    struct virgl_sub_contexts subs;
    bool asks_query; /* a query's result was asked for; for the caller to clear */
};

/*
 * Looks through a stream of bytes (a multiple of 4) that is about to run in the context whose notes
 * are given, and brings them up to date. Returns 0, or
 *   -EOPNOTSUPP a command that makes resources by itself, which belongs to blobs
 *   -ENOMEM     one sub-context too many
 * in which case nothing of the stream may run.
 */
int virgl_stream_check(const void *stream, size_t bytes, struct virgl_stream_notes *notes);

/* How much of the stream, in bytes, holds the first draws of that number and what comes before
 * them, all of it if there are no more. Draws are what has the GPU do something: draws, dispatches,
 * clears, copies. */
size_t virgl_stream_piece(const void *stream, size_t bytes, uint32_t draws);

#endif
