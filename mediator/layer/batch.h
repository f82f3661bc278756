/* SPDX-License-Identifier: MIT */
/*
 * What an application submits in one call, whichever of the three calls it is: the semaphores that
 * are waited for and signalled, and whether there is work between them.
 */
#ifndef ALIQUOT_LAYER_BATCH_H
#define ALIQUOT_LAYER_BATCH_H

#include <vulkan/vulkan.h>

#include <stdbool.h>

enum batch_kind {
    BATCH_SUBMIT,  /* VkSubmitInfo */
    BATCH_SUBMIT2, /* VkSubmitInfo2 */
    BATCH_SPARSE,  /* VkBindSparseInfo */
    BATCH_PRESENT, /* one VkPresentInfoKHR */
};

struct batch {
    enum batch_kind kind;
    uint32_t count;
    const void *infos; /* borrowed */
    VkFence fence;     /* signalled behind the last of them; VK_NULL_HANDLE = none */
};

/* value: what the submission says; 0 where it is certainly a binary semaphore. */
struct batch_semaphore {
    VkSemaphore handle;
    uint64_t value;
};

uint32_t batch_wait_count(const struct batch *b, uint32_t info);
uint32_t batch_signal_count(const struct batch *b, uint32_t info);
struct batch_semaphore batch_wait(const struct batch *b, uint32_t info, uint32_t i);
struct batch_semaphore batch_signal(const struct batch *b, uint32_t info, uint32_t i);

/* There is something for the GPU to do. */
bool batch_has_work(const struct batch *b);

/* The application can learn of its end: there is a fence, or a semaphore that may be a timeline. */
bool batch_has_end(const struct batch *b);

/* A part of it. */
struct batch batch_part(const struct batch *b, uint32_t first, uint32_t count);

#endif
