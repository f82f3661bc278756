/* SPDX-License-Identifier: MIT */
/*
 * EXECBUFFER: commands, the buffers that they use, what they wait for and what they signal.
 */
#include "guest-driver/shim/ioctl.h"
#include "guest-driver/shim/real.h"
#include "guest-driver/shim/state.h"
#include "guest-driver/shim/sync_file.h"
#include "guest-driver/shim/syncobj.h"
#include "protocol/virtio_gpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Buffers and syncobjs of one call: far more than any driver has; the kernel's limit is memory. */
#define LIST_MAX (1u << 16)
/* As many buffers need no allocation. */
#define BOS_INLINE 128

struct exec {
    struct drm_file *file;
    struct drm_virtgpu_execbuffer *args;
    struct aliquot_context *context;
    int ring_idx;
    uint64_t timeline;
    struct bo **bos; /* owned references, all or none */
    struct bo *bos_inline[BOS_INLINE];
    struct sync_file *out_file; /* owned reference, or NULL */
    int out_fd;                 /* owned until it is given out, or -1 */
};

/* ---- buffers -------------------------------------------------------------------------------- */

static int take_bos(struct exec *e)
{
    const uint32_t *handles = (void *)(uintptr_t)e->args->bo_handles;
    uint32_t count = e->args->num_bo_handles;
    uint32_t taken = 0;

    if (count == 0)
        return 0;
    if (!handles)
        return -EFAULT;
    if (count > LIST_MAX)
        return -ENOMEM;
    struct bo **bos = count <= BOS_INLINE ? e->bos_inline : calloc(count, sizeof(*bos));
    if (!bos)
        return -ENOMEM;
    state_lock();
    for (; taken < count; taken++) {
        struct bo *bo = handles_get(&e->file->bos, handles[taken]);
        if (!bo)
            break;
        bos[taken] = bo_ref(bo);
    }
    state_unlock();
    if (taken == count) {
        e->bos = bos;
        return 0;
    }
    while (taken > 0)
        bo_unref(bos[--taken]);
    if (bos != e->bos_inline)
        free(bos);
    return -ENOENT;
}

static void put_bos(struct exec *e)
{
    if (!e->bos)
        return;
    for (uint32_t i = 0; i < e->args->num_bo_handles; i++)
        bo_unref(e->bos[i]);
    if (e->bos != e->bos_inline)
        free(e->bos);
}

/* ---- what it waits for ---------------------------------------------------------------------- */

/* Fences of the timeline that it goes to itself are in order by nature. */
static void wait_for(struct exec *e, struct fence_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->points[i].timeline != e->timeline)
            aliquot_fence_wait(set->points[i].fence, INT64_MAX);
    }
    fence_set_clear(set);
}

static int wait_in_fence(struct exec *e)
{
    struct fence_set set = {0};

    if (!(e->args->flags & VIRTGPU_EXECBUF_FENCE_FD_IN))
        return 0;
    if (!sync_file_fences(e->args->fence_fd, &set))
        return -EINVAL;
    wait_for(e, &set);
    return 0;
}

static void read_syncobj(const struct exec *e, uint64_t list, uint32_t i,
                         struct drm_virtgpu_execbuffer_syncobj *ret)
{
    size_t stride = e->args->syncobj_stride;

    memset(ret, 0, sizeof(*ret));
    memcpy(ret, (uint8_t *)(uintptr_t)list + i * stride,
           stride < sizeof(*ret) ? stride : sizeof(*ret));
}

static int wait_in_syncobjs(struct exec *e)
{
    const struct drm_virtgpu_execbuffer *args = e->args;
    struct drm_virtgpu_execbuffer_syncobj desc;

    if (args->num_in_syncobjs > 0 && !args->in_syncobjs)
        return -EFAULT;
    if (args->num_in_syncobjs > LIST_MAX)
        return -ENOMEM;
    for (uint32_t i = 0; i < args->num_in_syncobjs; i++) {
        struct fence_set set = {0};
        read_syncobj(e, args->in_syncobjs, i, &desc);
        if (desc.flags & ~(uint32_t)VIRTGPU_EXECBUF_SYNCOBJ_FLAGS)
            return -EINVAL;
        struct syncobj *syncobj = drm_file_get_syncobj(e->file, desc.handle);
        if (!syncobj)
            return -ENOENT;
        state_lock();
        bool submitted = syncobj_find(syncobj, desc.point, &set);
        state_unlock();
        syncobj_unref(syncobj);
        if (!submitted)
            return -EINVAL;
        wait_for(e, &set);
    }
    return 0;
}

static void reset_in_syncobjs(struct exec *e)
{
    struct drm_virtgpu_execbuffer_syncobj desc;

    for (uint32_t i = 0; i < e->args->num_in_syncobjs; i++) {
        read_syncobj(e, e->args->in_syncobjs, i, &desc);
        if (!(desc.flags & VIRTGPU_EXECBUF_SYNCOBJ_RESET))
            continue;
        state_lock();
        struct syncobj *syncobj = handles_get(&e->file->syncobjs, desc.handle);
        if (syncobj)
            syncobj_reset(syncobj);
        state_unlock();
    }
}

/* ---- what it signals ------------------------------------------------------------------------ */

static int check_out_syncobjs(struct exec *e)
{
    const struct drm_virtgpu_execbuffer *args = e->args;
    struct drm_virtgpu_execbuffer_syncobj desc;
    int result = 0;

    if (args->num_out_syncobjs > 0 && !args->out_syncobjs)
        return -EFAULT;
    if (args->num_out_syncobjs > LIST_MAX)
        return -ENOMEM;
    state_lock();
    for (uint32_t i = 0; i < args->num_out_syncobjs && result == 0; i++) {
        read_syncobj(e, args->out_syncobjs, i, &desc);
        if (desc.flags || !handles_get(&e->file->syncobjs, desc.handle))
            result = -EINVAL;
    }
    state_unlock();
    return result;
}

/* Under the state lock. */
static void signal_out_syncobjs(struct exec *e, const struct fence_set *set)
{
    struct drm_virtgpu_execbuffer_syncobj desc;

    for (uint32_t i = 0; i < e->args->num_out_syncobjs; i++) {
        read_syncobj(e, e->args->out_syncobjs, i, &desc);
        struct syncobj *syncobj = handles_get(&e->file->syncobjs, desc.handle);
        if (syncobj)
            syncobj_set(syncobj, desc.point, set);
    }
}

static void note_fence(struct exec *e, struct aliquot_fence *fence)
{
    struct fence_point point = {fence, e->timeline};
    const struct fence_set set = {.points = &point, .count = 1};

    state_lock();
    for (uint32_t i = 0; i < e->args->num_bo_handles; i++)
        fence_set_add(&e->bos[i]->fences, fence, e->timeline);
    if (e->out_file)
        fence_set_add(&e->out_file->set, fence, e->timeline);
    signal_out_syncobjs(e, &set);
    state_unlock();
}

/* ---- the call ------------------------------------------------------------------------------- */

static int submit(struct exec *e)
{
    const void *commands = (void *)(uintptr_t)e->args->command;
    size_t bytes = e->args->size;
    struct aliquot_fence *fence = NULL;
    bool wants_fence = e->args->num_bo_handles || e->args->num_out_syncobjs || e->out_file;

    if (bytes == 0 && !wants_fence)
        return 0; /* there are calls for the fence alone, but not for nothing */
    if (bytes > 0 && !commands)
        return -EFAULT;
    pthread_mutex_lock(&e->file->device->submit_lock);
    int result =
        aliquot_submit(e->context, commands, bytes, e->ring_idx, wants_fence ? &fence : NULL);
    if (result == 0 && fence)
        note_fence(e, fence);
    pthread_mutex_unlock(&e->file->device->submit_lock);
    aliquot_fence_unref(fence);
    return device_result(e->file->device, result);
}

static int prepare(struct exec *e)
{
    int result = drm_file_context(e->file, &e->context);

    if (result < 0)
        return result;
    if (e->args->flags & VIRTGPU_EXECBUF_RING_IDX) {
        e->ring_idx = (int)e->args->ring_idx;
        e->timeline = (uint64_t)aliquot_context_id(e->context) << 8 | (e->args->ring_idx + 1);
    }
    result = take_bos(e);
    if (result == 0 && (e->args->flags & VIRTGPU_EXECBUF_FENCE_FD_OUT)) {
        e->out_fd = sync_file_create(e->file->device, &e->out_file);
        if (e->out_fd < 0)
            result = e->out_fd;
    }
    if (result == 0)
        result = check_out_syncobjs(e);
    if (result == 0)
        result = wait_in_syncobjs(e);
    if (result == 0)
        result = wait_in_fence(e);
    return result;
}

int ioctl_execbuffer(struct drm_file *file, void *arg)
{
    struct exec e = {
        .file = file, .args = arg, .ring_idx = ALIQUOT_RING_NONE, .timeline = TIMELINE_COMMON};

    e.out_fd = -1;
    if (!device_has(file->device, VIRTIO_GPU_F_VIRGL))
        return -ENOSYS;
    if (e.args->flags & ~(uint32_t)VIRTGPU_EXECBUF_FLAGS)
        return -EINVAL;
    if ((e.args->flags & VIRTGPU_EXECBUF_RING_IDX) && e.args->ring_idx >= file->num_rings)
        return -EINVAL;
    int result = prepare(&e);
    if (result == 0)
        result = submit(&e);
    if (result == 0) {
        reset_in_syncobjs(&e);
        if (e.out_fd >= 0)
            e.args->fence_fd = e.out_fd;
    } else if (e.out_fd >= 0) {
        fd_table_drop(e.out_fd);
        real()->close(e.out_fd);
    }
    if (e.out_file)
        fd_object_unref(&e.out_file->base);
    put_bos(&e);
    return result;
}
