/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/gate.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "protocol/lease_wait.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

/* A vGPU that comes waits for one piece, or one draw; each piece costs a wait for its end. */
#define PIECE_CONTENDED_NS 1000000u
#define PIECE_ALONE_NS 3000000u

/* What is under way is accounted so often, at least. */
#define PROGRESS_NS 1000000u

struct gate {
    struct lease_participant lease;
    const struct lease_grant_page *grant; /* owned mapping */
    struct lease_ack_page *ack;           /* owned mapping */
    int doorbell_fd, wake_fd;             /* borrowed */
    sd_event_source *source;              /* owned; of wake_fd */
    sd_event_source *retry;               /* owned; oneshot after gate_end() */
    void (*opened)(void *opaque);
    void *opaque;

    bool inside;
    uint64_t submitted_ns; /* when the burst began, or was last accounted */
    bool waiting;          /* is marked as a waiter */
    bool wanted;           /* opened() is due */
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void do_duties(struct gate *g, uint32_t duties)
{
    if (duties != 0)
        lease_do(&g->lease, g->doorbell_fd, duties);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void stop_waiting(struct gate *g, bool idle)
{
    uint32_t duties = 0;

    if (!g->waiting)
        return;
    g->waiting = false;
    lease_wait_end(&g->lease, LEASE_BY_EVENT, idle, &duties);
    do_duties(g, duties);
}

/* Takes the grant if there is one, else waits for it. */
static bool try_to_enter(struct gate *g)
{
    for (;;) {
        uint32_t duties = 0;
        enum lease_verdict verdict = lease_enter(&g->lease, 0, &duties);

        if (verdict == LEASE_CLOSED && !g->waiting) {
            verdict = lease_wait_begin(&g->lease, LEASE_BY_EVENT, &duties);
            g->waiting = verdict != LEASE_LOST;
            do_duties(g, duties);
            if (verdict == LEASE_OPEN)
                continue; /* it came just now */
            return false;
        }
        do_duties(g, duties);
        if (verdict != LEASE_OPEN)
            return false;
        stop_waiting(g, false);
        g->inside = true;
        g->submitted_ns = now_ns();
        lease_note_start(&g->lease, g->submitted_ns);
        return true;
    }
}

void gate_dispatch(struct gate *g)
{
    eventfd_t count;

    (void)eventfd_read(g->wake_fd, &count);
    if (!g->wanted || g->inside || !try_to_enter(g))
        return;
    g->wanted = false;
    if (g->opened)
        g->opened(g->opaque);
}

static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    gate_dispatch(opaque);
    return 0;
}

static int on_retry(sd_event_source *source, void *opaque)
{
    gate_dispatch(opaque);
    return 0;
}

/* ---- bursts --------------------------------------------------------------------------------- */

bool gate_enter(struct gate *g)
{
    /* What is in flight keeps the broker from taking the grant for settled, so a look will do. */
    if (g->inside ? lease_verdict(lease_word(&g->lease)) == LEASE_OPEN : try_to_enter(g))
        return true;
    g->wanted = true;
    return false;
}

bool gate_is_inside(const struct gate *g)
{
    return g->inside;
}

static void account(struct gate *g, bool idle)
{
    uint32_t duties = 0;

    lease_exit(&g->lease, 0, g->submitted_ns, now_ns(), idle, &duties);
    do_duties(g, duties);
}

void gate_end(struct gate *g, bool more)
{
    g->inside = false;
    account(g, !more && !g->wanted);
    if (g->wanted)
        sd_event_source_set_enabled(g->retry, SD_EVENT_ONESHOT);
}

void gate_want(struct gate *g)
{
    g->wanted = true;
}

void gate_progress(struct gate *g)
{
    uint32_t duties = 0;

    if (!g->inside || now_ns() - g->submitted_ns < PROGRESS_NS ||
        lease_enter(&g->lease, 0, &duties) != LEASE_OPEN)
        return;
    account(g, false);
    g->submitted_ns = now_ns();
    lease_note_start(&g->lease, g->submitted_ns);
}

bool gate_is_contended(const struct gate *g)
{
    return lease_should_cut(&g->lease);
}

uint64_t gate_piece_ns(const struct gate *g)
{
    if (__atomic_load_n(&g->grant->max_predicted_us, __ATOMIC_RELAXED) == UINT32_MAX)
        return 0;
    return gate_is_contended(g) ? PIECE_CONTENDED_NS : PIECE_ALONE_NS;
}

void gate_count_cut(struct gate *g)
{
    lease_count_cut(&g->lease);
}

int gate_event_fd(const struct gate *g)
{
    return g->wake_fd;
}

/* ---- life ----------------------------------------------------------------------------------- */

void gate_set_client(struct gate *g, void (*opened)(void *opaque), void *opaque)
{
    g->opened = opened;
    g->opaque = opaque;
    if (opened)
        return;
    g->wanted = false;
    stop_waiting(g, true);
    /* Nobody learns of the end of what is in flight any more. */
    if (g->inside) {
        g->inside = false;
        account(g, true);
    }
}

int gate_create(sd_event *event, const struct gate_fds *fds, struct gate **ret)
{
    struct gate *g = calloc(1, sizeof(*g));

    if (!g)
        return -ENOMEM;
    g->doorbell_fd = fds->doorbell;
    g->wake_fd = fds->wake;
    int r = lease_grant_page_map(fds->grant, &g->grant);
    if (r == 0)
        r = lease_ack_page_map(fds->ack, &g->ack);
    if (r == 0)
        r = lease_attach(&g->lease, g->grant, g->ack, LEASE_SLOT_GL);
    if (r == 0)
        r = sd_event_add_io(event, &g->source, g->wake_fd, EPOLLIN, on_wake, g);
    if (r >= 0)
        r = sd_event_add_defer(event, &g->retry, on_retry, g);
    if (r >= 0)
        r = sd_event_source_set_enabled(g->retry, SD_EVENT_OFF);
    if (r < 0) {
        gate_destroy(g);
        return r;
    }
    *ret = g;
    return 0;
}

void gate_destroy(struct gate *g)
{
    if (!g)
        return;
    sd_event_source_disable_unref(g->source);
    sd_event_source_disable_unref(g->retry);
    if (g->lease.slot) {
        gate_set_client(g, NULL, NULL);
        lease_detach(&g->lease);
    }
    lease_page_unmap(g->grant);
    lease_page_unmap(g->ack);
    free(g);
}
