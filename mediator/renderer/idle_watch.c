/* SPDX-License-Identifier: MIT */
/*
 * A post source runs after each handled event, so it must be cheap: it counts, and arms the timer
 * if that is off. The timer looks whether the count stood still, and goes off if it did.
 */
#include "mediator/renderer/idle_watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct idle_watch {
    sd_event_source *post, *timer; /* owned */
    uint64_t quiet_us;
    uint64_t events; /* handled since the start */
    uint64_t seen;   /* of them, when the timer was armed */
    bool armed;
    bool own; /* the event just handled is the timer's */
    void (*fn)(void *opaque);
    void *opaque;
};

static int arm(struct idle_watch *w)
{
    w->armed = true;
    w->seen = w->events;
    int r = sd_event_source_set_time_relative(w->timer, w->quiet_us);
    return r < 0 ? r : sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static int on_post(sd_event_source *source, void *opaque)
{
    struct idle_watch *w = opaque;

    if (w->own) {
        w->own = false;
        return 0;
    }
    w->events++;
    return w->armed ? 0 : arm(w);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *opaque)
{
    struct idle_watch *w = opaque;

    w->own = true;
    if (w->events != w->seen)
        return arm(w);
    w->armed = false;
    w->fn(w->opaque);
    return 0;
}

int idle_watch_create(sd_event *event, uint64_t quiet_us, void (*fn)(void *opaque), void *opaque,
                      struct idle_watch **ret)
{
    struct idle_watch *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->quiet_us = quiet_us;
    w->fn = fn;
    w->opaque = opaque;
    /* As inaccurate as sd-event has it by default: nobody waits for it. */
    int r = sd_event_add_time_relative(event, &w->timer, CLOCK_MONOTONIC, quiet_us, 0, on_timer, w);
    if (r >= 0)
        r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_post(event, &w->post, on_post, w);
    if (r < 0) {
        idle_watch_destroy(w);
        return r;
    }
    *ret = w;
    return 0;
}

void idle_watch_destroy(struct idle_watch *w)
{
    if (!w)
        return;
    sd_event_source_disable_unref(w->post);
    sd_event_source_disable_unref(w->timer);
    free(w);
}
