/* SPDX-License-Identifier: MIT */
/*
 * Doorbells, and how often they are heard. Each ring wakes a thread of real-time priority, and a
 * renderer that rings in a loop would keep it, and a processor with it, from all others. So a vGPU
 * may ring RINGS_MAX times in a row, and in the long run as often as fill_ns() says. One that rings
 * more is not heard any more: it is looked at times of our own whether such ones have rung, all of
 * them at once, so that their rings cost the same however many there are. One that has been quiet
 * for as long as a ring costs is heard again.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#include <sys/epoll.h>
#include <sys/uio.h>

#define RINGS_MAX 64u
#define RING_NS UINT64_C(250000)
/* So many vGPUs have the full rate each; more have to share. */
#define FULL_RATE_VGPUS 4
/* Looks at so many cost as much as is to be spent in RING_NS. */
#define LOOKS_AT_ONCE 16

static uint64_t fill_ns(const struct arbiter *a)
{
    return RING_NS * (1 + a->n_vgpus / FULL_RATE_VGPUS);
}

static uint64_t pause_ns(const struct arbiter *a)
{
    return RING_NS * (1 + a->n_muted / LOOKS_AT_ONCE);
}

static int listen_to(struct arbiter_vgpu *v, int op, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = v};

    return epoll_ctl(v->arbiter->epoll_fd, op, v->doorbell_fd, &event) < 0 ? -errno : 0;
}

/* Edge-triggered: nobody has to read what was written. */
int arbiter_doorbell_watch(struct arbiter_vgpu *v)
{
    v->bell.left = RINGS_MAX;
    return listen_to(v, EPOLL_CTL_ADD, EPOLLIN | EPOLLET);
}

void arbiter_doorbell_unwatch(struct arbiter_vgpu *v)
{
    listen_to(v, EPOLL_CTL_DEL, 0);
    v->arbiter->n_muted -= v->bell.muted;
    v->bell.muted = false;
}

bool arbiter_doorbell_take(const struct arbiter_vgpu *v)
{
    uint64_t count;
    const struct iovec iov = {.iov_base = &count, .iov_len = sizeof(count)};

    return preadv2(v->doorbell_fd, &iov, 1, -1, RWF_NOWAIT) == (ssize_t)sizeof(count);
}

static void mute(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    if (listen_to(v, EPOLL_CTL_MOD, 0) < 0)
        return;
    v->bell.muted = true;
    v->bell.filled_ns = now_ns;
    v->bell.floods++;
    if (a->n_muted++ == 0)
        a->look_ns = now_ns + pause_ns(a);
}

static void unmute(struct arbiter_vgpu *v, uint64_t now_ns)
{
    /* If it has rung since we looked, that is an event at once. */
    if (listen_to(v, EPOLL_CTL_MOD, EPOLLIN | EPOLLET) < 0)
        return;
    v->bell.muted = false;
    v->bell.left = 1;
    v->bell.filled_ns = now_ns;
    v->arbiter->n_muted--;
}

void arbiter_doorbell_rung(struct arbiter_vgpu *v, uint64_t now_ns)
{
    uint64_t every_ns = fill_ns(v->arbiter), more = (now_ns - v->bell.filled_ns) / every_ns;

    if (v->bell.muted) /* it rang before we were deaf */
        return;
    v->bell.rings++;
    v->bell.filled_ns += more * every_ns;
    v->bell.left = (unsigned)MIN(v->bell.left + more, (uint64_t)RINGS_MAX);
    arbiter_look_at(v, now_ns);
    if (v->bell.left > 0)
        v->bell.left--;
    if (v->bell.left == 0)
        mute(v, now_ns);
}

void arbiter_look_at_muted(struct arbiter *a, uint64_t now_ns)
{
    if (a->n_muted == 0 || now_ns < a->look_ns)
        return;
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (!v->bell.muted)
            continue;
        if (arbiter_doorbell_take(v) || v->bell.pending) {
            v->bell.pending = false;
            v->bell.rings++;
            v->bell.filled_ns = now_ns;
            arbiter_look_at(v, now_ns);
        } else if (now_ns - v->bell.filled_ns >= fill_ns(a)) {
            unmute(v, now_ns);
        }
    }
    a->look_ns = now_ns + pause_ns(a);
}

uint64_t arbiter_next_look_ns(const struct arbiter *a)
{
    return a->n_muted > 0 ? a->look_ns : SCHED_NEVER;
}
