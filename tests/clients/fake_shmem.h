/* SPDX-License-Identifier: MIT */
/*
 * The fake server's blobs and their mapping: it shows each blob that is to be mapped as it should,
 * but for the one fault it was told to commit. Used by fake_server.c.
 */
#ifndef ALIQUOT_TESTS_FAKE_SHMEM_H
#define ALIQUOT_TESTS_FAKE_SHMEM_H

#include "protocol/vring.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a blob begins in its descriptor, and what fills it: its resource id, as bytes. */
#define FAKE_BLOB_OFFSET 0x1000

enum fake_shmem_fault {
    SHMEM_FINE,
    SHMEM_ASKING,        /* waits for answers, as QEMU's servers may */
    SHMEM_UNSAID,        /* knows that we are the driver, and does not say what it hides */
    SHMEM_PIECES,        /* sends the message byte by byte */
    SHMEM_NEWS,          /* has the configuration change before each mapping */
    SHMEM_REFUSE,        /* answers the command with "out of memory" */
    SHMEM_NOTHING,       /* says that it is there, and it is not */
    SHMEM_NO_FD,         /* the faults of SHMEM_MAP */
    SHMEM_TWO_FDS,       /* … */
    SHMEM_SHORT_FD,      /* a byte less than the blob is long */
    SHMEM_PIPE,          /* a descriptor that has no length */
    SHMEM_BAD_FD_OFFSET, /* not on a page */
    SHMEM_FAR_FD_OFFSET, /* that wraps */
    SHMEM_OTHER_PLACE,   /* where nobody asked for it */
    SHMEM_OUTSIDE,       /* behind the end of the region */
    SHMEM_WRAPPING,      /* length 2^64 - 4096 */
    SHMEM_LONGER,        /* than the blob */
    SHMEM_EMPTY,         /* length 0 */
    SHMEM_OTHER_REGION,
    SHMEM_BAD_FLAGS,
    SHMEM_REPLY_FLAG, /* an answer to nothing */
    SHMEM_BAD_REQUEST,
    SHMEM_SHORT, /* the payload */
    SHMEM_HUGE,  /* announces a payload of 2 GiB */
    SHMEM_GARBAGE,
    SHMEM_TWICE,    /* with two answers to be had */
    SHMEM_CUT,      /* half a message, then the answer to the command */
    SHMEM_CLOSE,    /* closes the channel */
    SHMEM_DEAF,     /* wants many answers and reads none */
    SHMEM_UNMAP_FD, /* SHMEM_UNMAP with a descriptor */
};

/* What it shows of what ends on the GPU, if the client is the driver. Each command that it takes
 * counts as such an end. */
enum fake_completions {
    COMPLETIONS_NONE,
    COMPLETIONS_SHOWN,
    COMPLETIONS_TWICE,
    COMPLETIONS_UNANNOUNCED, /* the faults */
    COMPLETIONS_OTHER_SIZE,
    COMPLETIONS_SHORT_FD,
    COMPLETIONS_BAD_FD_OFFSET,
    COMPLETIONS_OTHER_PLACE,
    COMPLETIONS_BAD_FLAGS,
    COMPLETIONS_PIPE,
    COMPLETIONS_NO_FD,
};

#define FAKE_BLOBS 64

struct fake_shmem {
    int channel;                                     /* owned, or -1 */
    bool to_driver;                                  /* the client has said that it is the driver */
    uint64_t sizes[FAKE_BLOBS], offsets[FAKE_BLOBS]; /* by resource id */
    uint32_t refusals;                               /* answers that were not 0 */
    struct eventcount *completions;                  /* owned, or NULL */
};

/* The channel is there. */
void fake_shmem_show_completions(struct fake_shmem *shmem, enum fake_completions how);

/* Looks at a command on its way; it may be one about blobs. Returns the error to answer it with, or
 * 0: as usual. */
uint32_t fake_shmem_command(struct fake_shmem *shmem, enum fake_shmem_fault fault,
                            const struct vring_chain *chain);

#endif
