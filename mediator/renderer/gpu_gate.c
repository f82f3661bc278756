/* SPDX-License-Identifier: MIT */
/*
 * The device model under the lease: commands that use the GPU wait for it, long streams are cut
 * while others wait, and the lease is given back as soon as all work is complete.
 *
 * Without a gate (a renderer without aliquotd) all is always open.
 */
#include "mediator/renderer/gpu_internal.h"

#include <string.h>
#include <time.h>

/* How long the main thread waits for a piece; longer ones are waited for by a fence. */
#define PIECE_WAIT_US 3000
/* What a draw takes, before one was measured. */
#define DRAW_FIRST_NS 100000
#define PIECE_DRAWS_MAX 4096

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the burst ------------------------------------------------------------------------------ */

static bool has_work(const struct gpu_device *dev)
{
    return dev->dirty || dev->in_flight > dev->on_vulkan;
}

void gpu_gate_check(struct gpu_device *dev)
{
    if (!dev->gate || !gate_is_inside(dev->gate))
        return;
    /* Afterwards others may have the processor that we run on, and for long. */
    if (!has_work(dev) && dev->ops->flush)
        dev->ops->flush(dev->opaque);
    if (has_work(dev))
        gate_progress(dev->gate);
    else
        gate_end(dev->gate, dev->gated);
}

void gpu_gate_cover(struct gpu_device *dev)
{
    if (!dev->gate || !gate_is_inside(dev->gate))
        return;
    if (dev->unasked)
        gpu_fence_ask(dev);
    if (dev->dirty && !dev->covering) {
        dev->covering = true;
        dev->cover = (struct gpu_cmd){.hdr.flags = VIRTIO_GPU_FLAG_FENCE};
        if (gpu_fence_start(dev, &dev->cover) < 0) {
            dev->covering = false;
            dev->dirty = false; /* nobody will tell: the GPU is lost */
        }
    }
    gpu_gate_check(dev);
}

bool gpu_gate_fence_done(struct gpu_device *dev, const struct gpu_cmd *cmd)
{
    if (cmd != &dev->cover)
        return false;
    dev->covering = false;
    return true;
}

bool gpu_gate_enter(struct gpu_device *dev)
{
    if (!dev->gate || gate_enter(dev->gate))
        return true;
    /* What is under way has to end before it can be asked for again. */
    gpu_gate_cover(dev);
    return false;
}

/* ---- streams -------------------------------------------------------------------------------- */

/* Remembers what a draw of the piece took; the next ones may be others, so it is smoothed. */
static void learn(struct gpu_device *dev, uint64_t took_ns, uint32_t draws)
{
    dev->draw_ns = (dev->draw_ns + MAX(took_ns / draws, UINT64_C(1))) / 2;
}

/* Waits for a piece: true if it is complete, false if a fence will tell. */
static bool finish_piece(struct gpu_device *dev, uint64_t start_ns, uint32_t draws)
{
    const struct backend_ops *ops = dev->backend->ops;

    gate_count_cut(dev->gate);
    if (ops->finish && ops->finish(dev->backend, PIECE_WAIT_US) == 1) {
        dev->dirty = false;
        learn(dev, now_ns() - start_ns, draws);
        return true;
    }
    learn(dev, PIECE_WAIT_US * UINT64_C(1000), draws);
    gate_want(dev->gate);
    gpu_gate_cover(dev);
    return false;
}

int gpu_submit(struct gpu_device *dev, uint32_t ctx_id, uint8_t *stream, size_t bytes, size_t *done)
{
    struct backend *backend = dev->backend;

    if (gpu_context_is_vulkan(dev, ctx_id)) {
        *done = bytes;
        return backend->ops->submit(backend, ctx_id, stream, bytes);
    }
    while (*done < bytes) {
        uint64_t start_ns = 0, piece_ns;
        uint32_t draws = 1;
        size_t piece = bytes - *done;

        if (!gpu_gate_enter(dev))
            return -EAGAIN;
        piece_ns = dev->gate && backend->ops->stream_piece ? gate_piece_ns(dev->gate) : 0;
        if (piece_ns > 0) {
            draws =
                (uint32_t)MAX(MIN(piece_ns / dev->draw_ns, (uint64_t)PIECE_DRAWS_MAX), UINT64_C(1));
            piece = backend->ops->stream_piece(stream + *done, piece, draws);
            start_ns = now_ns();
        }
        int r = backend->ops->submit(backend, ctx_id, stream + *done, piece);
        dev->dirty = true; /* also if it failed: what came before the wrong command is under way */
        if (r < 0)
            return r;
        *done += piece;
        if (*done < bytes && !finish_piece(dev, start_ns, draws))
            return -EAGAIN;
    }
    return 0;
}

/* ---- waiting commands ----------------------------------------------------------------------- */

static void on_opened(void *opaque)
{
    struct gpu_device *dev = opaque;
    struct gpu_cmd *cmd = dev->gated ? TAKE_PTR(dev->blocked) : NULL;

    dev->gated = false;
    if (cmd && dev->partial.buf)
        gpu_submit_continue(dev, cmd);
    else if (cmd)
        (void)gpu_device_handle(dev, cmd);
    gpu_scanouts_opened(dev);
    if (!dev->blocked && dev->ops->resume)
        dev->ops->resume(dev->opaque);
    /* The one who waited may be gone, or have failed. */
    gpu_gate_check(dev);
}

void gpu_gate_attach(struct gpu_device *dev, struct gate *gate)
{
    dev->gate = gate;
    dev->draw_ns = DRAW_FIRST_NS;
    if (gate)
        gate_set_client(gate, on_opened, dev);
}

void gpu_gate_reset(struct gpu_device *dev)
{
    dev->gated = false;
    dev->dirty = false;
    free(TAKE_PTR(dev->partial.buf));
    if (dev->gate && gate_is_inside(dev->gate))
        gate_end(dev->gate, false);
}

void gpu_gate_detach(struct gpu_device *dev)
{
    if (dev->gate)
        gate_set_client(dev->gate, NULL, NULL);
    dev->gate = NULL;
}

int gpu_device_gate_fd(const struct gpu_device *dev)
{
    return dev->gate ? gate_event_fd(dev->gate) : -1;
}

void gpu_device_gate_dispatch(struct gpu_device *dev)
{
    if (dev->gate)
        gate_dispatch(dev->gate);
}

bool gpu_device_is_at_leisure(const struct gpu_device *dev)
{
    return !dev->dirty && !dev->pending && !dev->blocked && !dev->partial.buf &&
           (!dev->gate || !gate_is_contended(dev->gate));
}

bool gpu_device_is_halfway(const struct gpu_device *dev)
{
    return dev->partial.buf != NULL;
}
