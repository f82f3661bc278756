/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_vulkan.h"

#include "mediator/layer/submit.h"
#include "mediator/layer/wait.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 30
#define SEMAPHORES_MAX 4

struct semaphore {
    bool timeline;
    uint64_t value; /* binary: 1 = signalled */
};

struct submission {
    struct submission *next;
    unsigned waits, signals;
    struct semaphore *wait[SEMAPHORES_MAX], *signal[SEMAPHORES_MAX];
    uint64_t wait_value[SEMAPHORES_MAX], signal_value[SEMAPHORES_MAX];
    bool work, started;
};

/* Dispatchable: the first word is what the loader would put there. */
struct handle {
    void *table;
    struct submission *first, **last;
};

/* The driver, one for the process. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct handle device, queues[FAKE_QUEUES];
    unsigned may_finish, started, finished, waits;
    bool finishes_when_looked_at;
    void (*after_wait)(void *opaque); /* NULL once it was called */
    void *opaque;
    bool waited; /* successfully, since that was set */
    VkResult submit_result;
    bool lost;
} gpu = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the GPU -------------------------------------------------------------------------------- */

static bool waits_are_met(const struct submission *s)
{
    for (unsigned i = 0; i < s->waits; i++)
        if (s->wait[i]->value < s->wait_value[i])
            return false;
    return true;
}

static bool step(struct handle *queue)
{
    struct submission *s = queue->first;

    if (!s || (!s->started && !waits_are_met(s)))
        return false;
    if (!s->started) {
        s->started = true;
        gpu.started += s->work;
        for (unsigned i = 0; i < s->waits; i++)
            if (!s->wait[i]->timeline)
                s->wait[i]->value = 0;
    }
    if (s->work && gpu.may_finish == 0)
        return false;
    gpu.may_finish -= s->work;
    gpu.finished += s->work;
    for (unsigned i = 0; i < s->signals; i++)
        s->signal[i]->value = s->signal_value[i];
    queue->first = s->next;
    if (!queue->first)
        queue->last = &queue->first;
    free(s);
    return true;
}

static void run_locked(void)
{
    bool moved = true;

    while (moved && !gpu.lost) {
        moved = false;
        for (unsigned i = 0; i < FAKE_QUEUES; i++)
            moved = step(&gpu.queues[i]) || moved;
    }
    pthread_cond_broadcast(&gpu.changed);
}

/* ---- the driver ----------------------------------------------------------------------------- */

static void append(struct handle *queue, const VkSubmitInfo *info)
{
    const VkTimelineSemaphoreSubmitInfo *values =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
    struct submission *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    assert_true(info->waitSemaphoreCount <= SEMAPHORES_MAX &&
                info->signalSemaphoreCount <= SEMAPHORES_MAX);
    s->work = info->commandBufferCount > 0;
    s->waits = info->waitSemaphoreCount;
    s->signals = info->signalSemaphoreCount;
    for (unsigned i = 0; i < s->waits; i++) {
        s->wait[i] = (struct semaphore *)info->pWaitSemaphores[i];
        s->wait_value[i] = s->wait[i]->timeline ? values->pWaitSemaphoreValues[i] : 1;
    }
    for (unsigned i = 0; i < s->signals; i++) {
        s->signal[i] = (struct semaphore *)info->pSignalSemaphores[i];
        s->signal_value[i] = s->signal[i]->timeline ? values->pSignalSemaphoreValues[i] : 1;
    }
    *queue->last = s;
    queue->last = &s->next;
}

static VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                        VkFence fence)
{
    pthread_mutex_lock(&gpu.lock);
    VkResult result = gpu.lost ? VK_ERROR_DEVICE_LOST : gpu.submit_result;
    for (uint32_t i = 0; i < count && result == VK_SUCCESS; i++)
        append((struct handle *)queue, &infos[i]);
    run_locked();
    pthread_mutex_unlock(&gpu.lock);
    return result;
}

static VkResult VKAPI_CALL create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                            const VkAllocationCallbacks *allocator,
                                            VkSemaphore *ret)
{
    const VkSemaphoreTypeCreateInfo *type =
        dispatch_in_chain(info->pNext, VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
    struct semaphore *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->timeline = type && type->semaphoreType == VK_SEMAPHORE_TYPE_TIMELINE;
    *ret = (VkSemaphore)s;
    return VK_SUCCESS;
}

static void VKAPI_CALL destroy_semaphore(VkDevice device, VkSemaphore semaphore,
                                         const VkAllocationCallbacks *allocator)
{
    free((struct semaphore *)semaphore);
}

static VkResult VKAPI_CALL wait_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info,
                                           uint64_t timeout_ns)
{
    const struct semaphore *s = (const struct semaphore *)info->pSemaphores[0];
    uint64_t until_ns;
    struct timespec until;
    VkResult result = VK_SUCCESS;

    clock_gettime(CLOCK_REALTIME, &until);
    until_ns = (uint64_t)until.tv_nsec + timeout_ns % 1000000000;
    until.tv_sec += (time_t)(timeout_ns / 1000000000 + until_ns / 1000000000);
    until.tv_nsec = (long)(until_ns % 1000000000);
    pthread_mutex_lock(&gpu.lock);
    gpu.waits++;
    while (result == VK_SUCCESS && !gpu.lost && s->value < info->pValues[0])
        if (pthread_cond_timedwait(&gpu.changed, &gpu.lock, &until) == ETIMEDOUT)
            result = VK_TIMEOUT;
    if (gpu.lost)
        result = VK_ERROR_DEVICE_LOST;
    gpu.waited = gpu.waited || result == VK_SUCCESS;
    pthread_mutex_unlock(&gpu.lock);
    return result;
}

static VkResult VKAPI_CALL signal_semaphore(VkDevice device, const VkSemaphoreSignalInfo *info)
{
    struct semaphore *s = (struct semaphore *)info->semaphore;

    pthread_mutex_lock(&gpu.lock);
    assert_true(s->timeline && info->value > s->value);
    s->value = info->value;
    run_locked();
    pthread_mutex_unlock(&gpu.lock);
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL counter_value(VkDevice device, VkSemaphore semaphore, uint64_t *ret)
{
    const struct semaphore *s = (const struct semaphore *)semaphore;
    void (*after_wait)(void *) = NULL;

    pthread_mutex_lock(&gpu.lock);
    if (gpu.waited) {
        after_wait = gpu.after_wait;
        gpu.after_wait = NULL;
    }
    pthread_mutex_unlock(&gpu.lock);
    if (after_wait)
        after_wait(gpu.opaque);
    pthread_mutex_lock(&gpu.lock);
    assert_true(s->timeline);
    *ret = s->value;
    gpu.may_finish += gpu.finishes_when_looked_at;
    run_locked();
    pthread_mutex_unlock(&gpu.lock);
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL idle(VkDevice device)
{
    return VK_SUCCESS;
}

static void VKAPI_CALL get_queue(VkDevice device, uint32_t family, uint32_t index, VkQueue *ret)
{
    *ret = (VkQueue)&gpu.queues[index];
}

static void VKAPI_CALL destroy_device(VkDevice device, const VkAllocationCallbacks *allocator)
{
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        assert_true(gpu.lost || !gpu.queues[i].first);
}

/* ---- the test's side ------------------------------------------------------------------------ */

static void create_device(struct fake *f)
{
    static int table;
    struct layer_device *d = calloc(1, sizeof(*d));

    assert_non_null(d);
    gpu.device.table = &table;
    *d = (struct layer_device){.handle = (VkDevice)&gpu.device,
                               .instance = &f->instance,
                               .link = &f->link,
                               .gated = true,
                               .lock = PTHREAD_MUTEX_INITIALIZER};
    d->table = (struct device_table){.DestroyDevice = destroy_device,
                                     .GetDeviceQueue = get_queue,
                                     .QueueSubmit = queue_submit,
                                     .DeviceWaitIdle = idle,
                                     .CreateSemaphore = create_semaphore,
                                     .DestroySemaphore = destroy_semaphore,
                                     .WaitSemaphores = wait_semaphores,
                                     .SignalSemaphore = signal_semaphore,
                                     .GetSemaphoreCounterValue = counter_value};
    handle_map_init(&d->memories);
    handle_map_init(&d->timelines);
    handle_map_init(&d->binaries);
    handle_map_init(&d->backings);
    f->device = d;
    assert_int_equal(handle_map_put(&dispatch_map, dispatch_key(d->handle), DISPATCH_HANDLE(d)), 0);
    f->link.slot->devices++;
    for (uint32_t i = 0; i < FAKE_QUEUES; i++)
        device_get_queue(d->handle, 0, i, &f->queues[i]);
}

void fake_create(struct fake *f)
{
    const struct lease_grant_page *grant;
    struct lease_ack_page *ack;

    *f = (struct fake){.terms = {.max_in_flight = 8, .max_predicted_us = UINT32_MAX}};
    assert_int_equal(lease_grant_page_create(&f->grant_fd, &f->grant), 0);
    assert_int_equal(lease_ack_page_create(&f->ack_fd, &f->ack), 0);
    assert_int_equal(lease_grant_page_map(f->grant_fd, &grant), 0);
    assert_int_equal(lease_ack_page_map(f->ack_fd, &ack), 0);
    lease_broker_init(&f->broker, f->grant, f->ack, LEASE_SLOTS_MAX, now_ns());
    assert_int_equal(lease_attach(&f->link.lease, grant, ack, FAKE_SLOT), 0);
    f->memory.quota_bytes = UINT64_MAX;
    f->link.gated = true;
    f->link.doorbell_fd = -1;
    f->link.memory = &f->memory;
    f->link.slot = &f->memory.slots[FAKE_SLOT];
    f->ring = f->link.ring = aligned_alloc(_Alignof(struct work_ring), sizeof(*f->ring));
    assert_non_null(f->ring);
    f->link.completions = &f->completions;
    memset(f->ring, 0, sizeof(*f->ring));
    gpu.may_finish = gpu.started = gpu.finished = gpu.waits = 0;
    gpu.finishes_when_looked_at = false;
    gpu.after_wait = NULL;
    gpu.submit_result = VK_SUCCESS;
    gpu.lost = false;
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        gpu.queues[i] = (struct handle){.last = &gpu.queues[i].first};
    create_device(f);
}

void fake_destroy(struct fake *f)
{
    /* A test that failed leaves something behind, which nobody would wait for. */
    if (f->device &&
        (fake_ack(f).in_flight != 0 || __atomic_load_n(&f->device->held, __ATOMIC_ACQUIRE) != 0)) {
        fake_revoke(f);
        fake_lose_device();
    }
    if (f->device)
        device_destroy(f->device->handle, NULL);
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        while (gpu.queues[i].first) {
            struct submission *s = gpu.queues[i].first;

            gpu.queues[i].first = s->next;
            free(s);
        }
    assert_int_equal(fake_ack(f).in_flight, 0);
    lease_page_unmap(f->link.lease.grant);
    lease_page_unmap(f->link.lease.ack);
    lease_page_unmap(f->grant);
    lease_page_unmap(f->ack);
    close(f->grant_fd);
    close(f->ack_fd);
    free(f->ring);
}

int fake_set_up(void **state)
{
    struct fake *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fake_create(f);
    *state = f;
    return 0;
}

int fake_tear_down(void **state)
{
    fake_destroy(*state);
    free(*state);
    return 0;
}

static void wake(struct fake *f, uint32_t wakes)
{
    static const int none[LEASE_SLOTS_MAX] = {[0 ... LEASE_SLOTS_MAX - 1] = -1};

    lease_wake(&f->broker, none, wakes);
}

void fake_grant(struct fake *f)
{
    uint32_t wakes = 0;

    assert_int_equal(lease_grant(&f->broker, &f->terms, NULL, false, &wakes), 0);
    wake(f, wakes);
}

void fake_revoke(struct fake *f)
{
    wake(f, lease_revoke(&f->broker));
}

void fake_set_submit_result(VkResult result)
{
    pthread_mutex_lock(&gpu.lock);
    gpu.submit_result = result;
    pthread_mutex_unlock(&gpu.lock);
}

void fake_lose_device(void)
{
    pthread_mutex_lock(&gpu.lock);
    gpu.lost = true;
    pthread_cond_broadcast(&gpu.changed);
    pthread_mutex_unlock(&gpu.lock);
}

void fake_finish(unsigned works)
{
    pthread_mutex_lock(&gpu.lock);
    gpu.may_finish += works;
    run_locked();
    pthread_mutex_unlock(&gpu.lock);
}

void fake_call_after_wait(void (*call)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&gpu.lock);
    gpu.after_wait = call;
    gpu.opaque = opaque;
    gpu.waited = false;
    pthread_mutex_unlock(&gpu.lock);
}

void fake_finish_when_looked_at(void)
{
    pthread_mutex_lock(&gpu.lock);
    gpu.finishes_when_looked_at = true;
    pthread_mutex_unlock(&gpu.lock);
}

unsigned fake_waits(void)
{
    pthread_mutex_lock(&gpu.lock);
    unsigned waits = gpu.waits;
    pthread_mutex_unlock(&gpu.lock);
    return waits;
}

unsigned fake_started(void)
{
    pthread_mutex_lock(&gpu.lock);
    unsigned started = gpu.started;
    pthread_mutex_unlock(&gpu.lock);
    return started;
}

unsigned fake_finished(void)
{
    pthread_mutex_lock(&gpu.lock);
    unsigned finished = gpu.finished;
    pthread_mutex_unlock(&gpu.lock);
    return finished;
}

struct lease_ack fake_ack(struct fake *f)
{
    struct lease_ack none = {0}, ack = {0};

    assert_int_equal(lease_ack_read(&f->broker, FAKE_SLOT, now_ns(), &none, &ack),
                     LEASE_FAULT_NONE);
    return ack;
}

void fake_await_in_flight(struct fake *f, unsigned pieces)
{
    uint64_t until_ns = now_ns() + PATIENCE_S * 1000000000ull;

    while (fake_ack(f).in_flight != pieces) {
        assert_true(now_ns() < until_ns);
        sched_yield();
    }
}

void fake_await_started(unsigned works)
{
    uint64_t until_ns = now_ns() + PATIENCE_S * 1000000000ull;

    while (fake_started() < works) {
        assert_true(now_ns() < until_ns);
        sched_yield();
    }
}

VkSemaphore fake_semaphore(struct fake *f, bool timeline)
{
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = timeline ? VK_SEMAPHORE_TYPE_TIMELINE
                                                                      : VK_SEMAPHORE_TYPE_BINARY};
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                        .pNext = &type};
    VkSemaphore s = VK_NULL_HANDLE;

    assert_int_equal(wait_create_semaphore(f->device->handle, &info, NULL, &s), VK_SUCCESS);
    return s;
}

void fake_free_semaphore(struct fake *f, VkSemaphore semaphore)
{
    wait_destroy_semaphore(f->device->handle, semaphore, NULL);
}

void fake_signal(struct fake *f, VkSemaphore timeline, uint64_t value)
{
    const VkSemaphoreSignalInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = timeline, .value = value};

    assert_int_equal(signal_semaphore(f->device->handle, &info), VK_SUCCESS);
}

/* The driver does nothing with it. */
static const VkFence fake_fence = (VkFence)&gpu;

VkResult fake_submit(struct fake *f, unsigned queue, struct fake_work work)
{
    static const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = work.wait != VK_NULL_HANDLE,
        .pWaitSemaphoreValues = &work.wait_value,
        .signalSemaphoreValueCount = work.signal != VK_NULL_HANDLE,
        .pSignalSemaphoreValues = &work.signal_value};
    const VkCommandBuffer commands = VK_NULL_HANDLE;
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .pNext = &values,
                               .waitSemaphoreCount = work.wait != VK_NULL_HANDLE,
                               .pWaitSemaphores = &work.wait,
                               .pWaitDstStageMask = &all,
                               .commandBufferCount = !work.idle,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = work.signal != VK_NULL_HANDLE,
                               .pSignalSemaphores = &work.signal};

    return submit_queue_submit(f->queues[queue], 1, &info,
                               work.fence ? fake_fence : VK_NULL_HANDLE);
}
