/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/vtest_sniff.h"

#include "mediator/base/util.h"
#include "protocol/vtest.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define TIMER_ACCURACY_US 50000

struct vtest_sniff {
    int fd; /* borrowed */
    sd_event_source *io_source, *timer;
    void (*done)(void *opaque, enum vtest_sniff_result result);
    void *opaque;
};

static int finish(struct vtest_sniff *sniff, enum vtest_sniff_result result)
{
    sd_event_source_set_enabled(sniff->io_source, SD_EVENT_OFF);
    sd_event_source_set_enabled(sniff->timer, SD_EVENT_OFF);
    sniff->done(sniff->opaque, result);
    return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct vtest_sniff *sniff = opaque;
    struct vtest_header hdr;
    ssize_t n = recv(fd, &hdr, sizeof(hdr), MSG_PEEK | MSG_DONTWAIT);

    if (n == sizeof(hdr) && hdr.command == VTEST_CREATE_RENDERER)
        return finish(sniff, VTEST_SNIFF_VTEST);
    if (n == sizeof(hdr) || n == 0 || revents & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
        return finish(sniff, VTEST_SNIFF_OTHER);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : finish(sniff, VTEST_SNIFF_OTHER);
    sd_event_source_set_enabled(sniff->timer, SD_EVENT_ONESHOT);
    return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *opaque)
{
    return finish(opaque, VTEST_SNIFF_STALLED);
}

int vtest_sniff_create(sd_event *event, int fd, uint64_t timeout_us,
                       void (*done)(void *opaque, enum vtest_sniff_result result), void *opaque,
                       struct vtest_sniff **ret)
{
    struct vtest_sniff *sniff = calloc(1, sizeof(*sniff));

    if (!sniff)
        return -ENOMEM;
    sniff->fd = fd;
    sniff->done = done;
    sniff->opaque = opaque;
    /* Edges: what is peeked at stays readable, and would wake us without end. */
    int r = sd_event_add_io(event, &sniff->io_source, fd, EPOLLIN | EPOLLRDHUP | EPOLLET,
                            on_readable, sniff);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &sniff->timer, CLOCK_MONOTONIC, timeout_us,
                                       TIMER_ACCURACY_US, on_time, sniff);
    if (r >= 0)
        r = sd_event_source_set_enabled(sniff->timer, SD_EVENT_OFF);
    if (r < 0) {
        vtest_sniff_destroy(sniff);
        return r;
    }
    *ret = sniff;
    return 0;
}

void vtest_sniff_destroy(struct vtest_sniff *sniff)
{
    if (!sniff)
        return;
    sd_event_source_disable_unref(sniff->io_source);
    sd_event_source_disable_unref(sniff->timer);
    free(sniff);
}
