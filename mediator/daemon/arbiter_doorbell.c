/* SPDX-License-Identifier: MIT */
/*
 * Doorbells, and how often they are heard. Each ring wakes a thread of real-time priority, and a
 * renderer that rings in a loop would keep it, and a processor with it, from all others. So a vGPU
 * may ring RINGS_MAX times in a row, and once every RING_NS in the long run; one that rings more is
 * not heard any more, but looked at when it has rung, at times of our own: all such vGPUs together
 * cost one look every RING_NS, and those of them that others wait for one more each. One that has
 * been quiet between two looks is heard again.
 */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/util.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define RINGS_MAX 64u
#define RING_NS UINT64_C(250000)

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

static void mute(struct arbiter_vgpu *v, uint64_t now_ns)
{
    struct arbiter *a = v->arbiter;

    if (listen_to(v, EPOLL_CTL_MOD, 0) < 0)
        return;
    v->bell.muted = true;
    v->bell.looked_ns = now_ns;
    v->bell.floods++;
    if (a->n_muted++ == 0)
        a->look_ns = now_ns + RING_NS;
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
    uint64_t more = (now_ns - v->bell.filled_ns) / RING_NS;

    if (v->bell.muted) /* it rang before we were deaf */
        return;
    v->bell.rings++;
    v->bell.filled_ns += more * RING_NS;
    v->bell.left = (unsigned)MIN(v->bell.left + more, (uint64_t)RINGS_MAX);
    arbiter_look_at(v, now_ns);
    if (v->bell.left > 0)
        v->bell.left--;
    if (v->bell.left == 0)
        mute(v, now_ns);
}

static void look(struct arbiter_vgpu *v, uint64_t now_ns)
{
    eventfd_t count;

    v->bell.looked_ns = now_ns;
    if (eventfd_read(v->doorbell_fd, &count) < 0) { /* it has been quiet */
        unmute(v, now_ns);
        return;
    }
    v->bell.rings++;
    arbiter_look_at(v, now_ns);
}

void arbiter_look_at_muted(struct arbiter *a, uint64_t now_ns)
{
    struct arbiter_vgpu *oldest = NULL;

    if (a->n_muted == 0 || now_ns < a->look_ns)
        return;
    a->look_ns = now_ns + RING_NS;
    for (struct arbiter_vgpu *v = a->vgpus; v; v = v->next) {
        if (!v->bell.muted)
            continue;
        if (v->place == PLACE_IN || v->place == PLACE_LEAVING)
            look(v, now_ns);
        else if (!oldest || v->bell.looked_ns < oldest->bell.looked_ns)
            oldest = v;
    }
    if (oldest)
        look(oldest, now_ns);
}

uint64_t arbiter_next_look_ns(const struct arbiter *a)
{
    return a->n_muted > 0 ? a->look_ns : SCHED_NEVER;
}
