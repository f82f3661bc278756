/* SPDX-License-Identifier: MIT */
/*
 * A Vulkan driver whose GPU finishes work only when a test says so, below a layer_device with the
 * lease of a broker that the test plays too. Submissions start in order on each queue, as soon as
 * what they wait for has come.
 */
#ifndef ALIQUOT_TESTS_FAKE_VULKAN_H
#define ALIQUOT_TESTS_FAKE_VULKAN_H

#include "mediator/layer/device.h"
#include "mediator/layer/gate.h"
#include "protocol/lease_wait.h"

#define FAKE_QUEUES 2
#define FAKE_SLOT 1u

struct fake {
    /* The broker's. */
    struct lease_broker broker;
    struct lease_terms terms;
    struct lease_grant_page *grant;
    const struct lease_ack_page *ack;
    int grant_fd, ack_fd;

    struct link link;
    struct layer_memory memory;
    struct work_ring *ring;
    struct eventcount completions;
    struct layer_instance instance;
    struct layer_device *device; /* owned by the layer's code */
    VkQueue queues[FAKE_QUEUES];
};

void fake_create(struct fake *f);
/* Destroys the device, unless a test has done so (device = NULL). */
void fake_destroy(struct fake *f);
/* Both, for cmocka: state is a struct fake *. */
int fake_set_up(void **state);
int fake_tear_down(void **state);

void fake_grant(struct fake *f);
void fake_revoke(struct fake *f);

/* What the driver's next submissions, or waits, say; VK_SUCCESS = the usual. */
void fake_set_submit_result(VkResult result);
void fake_lose_device(void);

/* Lets the GPU finish so many pieces of work, now and in future. */
void fake_finish(unsigned works);
/* From now on it finishes one whenever a semaphore's value is asked for. */
void fake_finish_when_looked_at(void);
/* Work that the GPU has begun so far, and submissions that the driver was given. */
unsigned fake_started(void);
unsigned fake_finished(void);
/* Once, by who asks for a semaphore's value next after a successful wait, before it is told. */
void fake_call_after_wait(void (*call)(void *opaque), void *opaque);
/* How often the driver was to wait for semaphores. */
unsigned fake_waits(void);

/* Waits, with a bound, until the slot has exactly so much in flight. */
void fake_await_in_flight(struct fake *f, unsigned pieces);
void fake_await_started(unsigned works);
struct lease_ack fake_ack(struct fake *f);

VkSemaphore fake_semaphore(struct fake *f, bool timeline);
void fake_free_semaphore(struct fake *f, VkSemaphore semaphore);
void fake_signal(struct fake *f, VkSemaphore timeline, uint64_t value);

/* One submission to a queue; semaphores may be VK_NULL_HANDLE, values are 0 for binary ones. */
struct fake_work {
    VkSemaphore wait, signal;
    uint64_t wait_value, signal_value;
    bool idle;  /* it has no command buffer */
    bool fence; /* a fence is signalled behind it */
};
VkResult fake_submit(struct fake *f, unsigned queue, struct fake_work work);

#endif
