/* SPDX-License-Identifier: MIT */
#include "guest-driver/vgpu.h"
#include "guest-driver/choice.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int64_t vgpu_deadline_ns(const struct aliquot_vgpu *vgpu)
{
    return monotonic_ns() + vgpu->timeout_ms * 1000000ll;
}

int64_t vgpu_deadline_of_ns(const struct aliquot_vgpu *vgpu, int64_t timeout_ns)
{
    int64_t now_ns = monotonic_ns();

    if (timeout_ns < 0)
        return vgpu_deadline_ns(vgpu);
    return timeout_ns < INT64_MAX - 1 - now_ns ? now_ns + timeout_ns : INT64_MAX - 1;
}

/* ---- lock, loss, errors --------------------------------------------------------------------- */

bool vgpu_is_foreign(const struct aliquot_vgpu *vgpu)
{
    return *(const volatile uint32_t *)vgpu->fork_guard != VGPU_GUARD;
}

int vgpu_lock_lost(struct aliquot_vgpu *vgpu)
{
    if (vgpu_is_foreign(vgpu))
        return -EOWNERDEAD;
    pthread_mutex_lock(&vgpu->lock);
    return 0;
}

int vgpu_lock(struct aliquot_vgpu *vgpu)
{
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    result = vgpu->lost;
    if (result < 0)
        pthread_mutex_unlock(&vgpu->lock);
    return result;
}

void vgpu_unlock(struct aliquot_vgpu *vgpu)
{
    pthread_mutex_unlock(&vgpu->lock);
}

void vgpu_error(struct aliquot_vgpu *vgpu, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(vgpu->error_text, sizeof(vgpu->error_text), format, args);
    va_end(args);
}

void vgpu_lose(struct aliquot_vgpu *vgpu, int error, const char *text)
{
    if (vgpu->lost)
        return;
    vgpu->lost = error;
    vgpu_error(vgpu, "vGPU lost: %s", text);
    vgpu->transport->lose(vgpu, error);
}

void vgpu_wait_begin(struct aliquot_vgpu *vgpu)
{
    vgpu->waiting++;
}

void vgpu_wait_end(struct aliquot_vgpu *vgpu)
{
    if (--vgpu->waiting == 0)
        pthread_cond_signal(&vgpu->nobody_waits);
}

/* ---- opening and closing -------------------------------------------------------------------- */

static int make_guard(const uint32_t **ret)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    if (madvise(page, PAGE_BYTES, MADV_WIPEONFORK) < 0) {
        int error = errno;
        munmap(page, PAGE_BYTES);
        return -error;
    }
    *(uint32_t *)page = VGPU_GUARD;
    *ret = page;
    return 0;
}

void vgpu_unref(struct aliquot_vgpu *vgpu)
{
    if (atomic_fetch_sub(&vgpu->refs, 1) != 1)
        return;
    vgpu->transport->finish(vgpu);
    if (!vgpu_is_foreign(vgpu)) {
        pthread_cond_destroy(&vgpu->nobody_waits);
        pthread_mutex_destroy(&vgpu->lock);
    }
    munmap((void *)vgpu->fork_guard, PAGE_BYTES);
    free(vgpu);
}

static int check_args(const struct aliquot_open_args *args, uint64_t *ret_memory_bytes)
{
    uint64_t bytes = args->memory_bytes ? args->memory_bytes : ALIQUOT_MEMORY_DEFAULT_BYTES;

    for (size_t i = 0; i < sizeof(args->reserved) / sizeof(args->reserved[0]); i++) {
        if (args->reserved[i])
            return -EINVAL;
    }
    if (bytes < ALIQUOT_MEMORY_MIN_BYTES || bytes > ALIQUOT_MEMORY_MAX_BYTES ||
        args->timeout_ms > INT_MAX || (!args->path && args->fd < 0))
        return -EINVAL;
    *ret_memory_bytes = page_align(bytes);
    return 0;
}

static void say(const struct aliquot_open_args *args, const char *text)
{
    if (args->error && args->error_size)
        snprintf(args->error, args->error_size, "%s", text);
}

static int open_with(const struct transport *transport, const struct aliquot_open_args *args,
                     uint64_t memory_bytes, struct aliquot_vgpu **ret)
{
    struct aliquot_vgpu *vgpu = calloc(1, transport->vgpu_bytes);
    if (!vgpu)
        return -ENOMEM;
    int result = make_guard(&vgpu->fork_guard);
    if (result < 0) {
        free(vgpu);
        return result;
    }
    vgpu->transport = transport;
    atomic_init(&vgpu->refs, 1);
    vgpu->timeout_ms = args->timeout_ms ? args->timeout_ms : ALIQUOT_TIMEOUT_DEFAULT_MS;
    vgpu->memory_bytes = memory_bytes;
    pthread_mutex_init(&vgpu->lock, NULL);
    pthread_cond_init(&vgpu->nobody_waits, NULL);

    result = transport->open(vgpu, args);
    if (result < 0) {
        say(args, vgpu->error_text[0] ? vgpu->error_text : strerror(-result));
        transport->release(vgpu);
        vgpu_unref(vgpu);
        return result;
    }
    *ret = vgpu;
    return 0;
}

int aliquot_open(const struct aliquot_open_args *args, struct aliquot_vgpu **ret)
{
    const struct transport *transport = &transport_vhost_user;
    struct aliquot_open_args chosen = *args;
    char error[ERROR_TEXT_BYTES] = "";
    char *path = NULL;
    uint64_t memory_bytes;

    say(args, "");
    int result = check_args(args, &memory_bytes);
    if (result < 0)
        return result;
    if (args->path) {
        result = vgpu_choose(args->path, &transport, &path, error);
        if (result < 0) {
            say(args, error);
            return result;
        }
        chosen.path = path;
    }
    result = open_with(transport, &chosen, memory_bytes, ret);
    free(path);
    return result;
}

void aliquot_close(struct aliquot_vgpu *vgpu)
{
    if (!vgpu)
        return;
    if (vgpu_lock_lost(vgpu) == 0) {
        vgpu_lose(vgpu, -ECONNRESET, "closed");
        /* They are awake, and need what is torn down below for a moment more. */
        while (vgpu->waiting)
            pthread_cond_wait(&vgpu->nobody_waits, &vgpu->lock);
        vgpu_unlock(vgpu);
        vgpu->transport->settle(vgpu);
    }
    while (vgpu->contexts) {
        struct aliquot_context *context = vgpu->contexts;
        vgpu->contexts = context->next;
        vgpu->transport->context_release(context);
    }
    while (vgpu->resources) {
        struct aliquot_resource *resource = vgpu->resources;
        vgpu->resources = resource->next;
        vgpu->transport->resource_release(resource);
    }
    vgpu->transport->release(vgpu);
    vgpu_unref(vgpu);
}

/* ---- asking --------------------------------------------------------------------------------- */

int aliquot_get_info(struct aliquot_vgpu *vgpu, struct aliquot_info *ret)
{
    int result = vgpu_lock(vgpu);

    if (result < 0)
        return result;
    vgpu->transport->poll(vgpu);
    *ret = (struct aliquot_info){
        .features = vgpu->features,
        .num_scanouts = vgpu->num_scanouts,
        .num_capsets = vgpu->num_capsets,
        .errors = vgpu->errors,
    };
    vgpu->transport->get_info(vgpu, ret);
    vgpu_unlock(vgpu);
    return 0;
}

int aliquot_last_error(struct aliquot_vgpu *vgpu, char *buf, size_t size)
{
    int result = vgpu_lock_lost(vgpu);

    if (result < 0)
        return result;
    if (!vgpu->lost)
        vgpu->transport->poll(vgpu);
    result = (int)strlen(vgpu->error_text);
    if (size > 0)
        snprintf(buf, size, "%s", vgpu->error_text);
    vgpu_unlock(vgpu);
    return result;
}
