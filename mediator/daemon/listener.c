/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/listener.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Connections taken in one turn of the event loop, so that a flood on one socket does not starve
 * the others. */
#define ACCEPT_BURST 8
/* Pause after running out of descriptors or memory. */
#define RETRY_US UINT64_C(1000000)

struct listener {
    char *path;                  /* owned */
    int fd;                      /* owned */
    sd_event_source *io, *retry; /* owned */
    listener_accepted accepted;
    void *opaque; /* borrowed */
};

static int on_retry(sd_event_source *source, uint64_t usec, void *opaque)
{
    struct listener *l = opaque;
    return sd_event_source_set_enabled(l->io, SD_EVENT_ON);
}

static void pause_listening(struct listener *l)
{
    if (sd_event_source_set_time_relative(l->retry, RETRY_US) >= 0 &&
        sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT) >= 0)
        sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    struct listener *l = opaque;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection >= 0) {
            l->accepted(l->opaque, connection);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_error("%s: can't accept a connection, pausing for a second: %s", l->path,
                      strerror(errno));
            pause_listening(l);
        }
        /* EAGAIN: all taken; else the one connection failed (ECONNABORTED), which is its matter. */
        break;
    }
    return 0;
}

int listener_create(sd_event *event, int fd, const char *path, listener_accepted accepted,
                    void *opaque, struct listener **ret)
{
    struct listener *l = malloc(sizeof(*l));
    if (!l)
        return -ENOMEM;
    *l = (struct listener){.path = strdup(path), .fd = -1, .accepted = accepted, .opaque = opaque};
    int r = l->path ? 0 : -ENOMEM;
    if (r >= 0)
        r = sd_event_add_io(event, &l->io, fd, EPOLLIN, on_readable, l);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &l->retry, CLOCK_MONOTONIC, RETRY_US, 0, on_retry, l);
    if (r >= 0)
        r = sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
    if (r < 0) {
        listener_destroy(l);
        return r;
    }
    l->fd = fd;
    *ret = l;
    return 0;
}

void listener_destroy(struct listener *l)
{
    if (!l)
        return;
    sd_event_source_disable_unref(l->io);
    sd_event_source_disable_unref(l->retry);
    if (l->fd >= 0)
        close(l->fd);
    free(l->path);
    free(l);
}

const char *listener_path(const struct listener *l)
{
    return l->path;
}
