/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/listener.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Those who wait while one is served. */
#define BACKLOG 64

struct listener {
    int fd; /* owned */
    struct sockaddr_un address;
    dev_t dev; /* of the socket's name, to know it again */
    ino_t ino;
    sd_event_source *source;
    void (*accepted)(void *opaque, int fd);
    void *opaque;
};

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
    struct listener *listener = opaque;

    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return 0;
        log_error("accept: %m");
        return -errno;
    }
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    listener->accepted(listener->opaque, conn);
    return 0;
}

/* True if path is a socket that refuses connections: left behind by a process that is gone. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
           errno == ECONNREFUSED;
}

/* The caller's to close; negative errno on failure. */
static int open_socket(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        if (errno != EADDRINUSE)
            return -errno;
        if (!is_stale(address))
            return -EADDRINUSE;
        if (unlink(address->sun_path) < 0 ||
            bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
            return -errno;
    }
    if (listen(fd, BACKLOG) < 0) {
        int r = -errno;
        unlink(address->sun_path);
        return r;
    }
    return take_fd(&fd);
}

int listener_create(sd_event *event, const char *path, void (*accepted)(void *opaque, int fd),
                    void *opaque, struct listener **ret)
{
    struct stat st;

    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return -ENOMEM;
    listener->accepted = accepted;
    listener->opaque = opaque;
    listener->address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(listener->address.sun_path)) {
        log_error("--listen: the path is too long for a socket");
        free(listener);
        return -ENAMETOOLONG;
    }
    memcpy(listener->address.sun_path, path, strlen(path) + 1);

    int r = listener->fd = open_socket(&listener->address);
    if (r < 0) {
        log_error("--listen: %s: %s", path, strerror(-r));
        free(listener);
        return r;
    }
    if (stat(path, &st) == 0) {
        listener->dev = st.st_dev;
        listener->ino = st.st_ino;
    }
    r = sd_event_add_io(event, &listener->source, listener->fd, EPOLLIN, on_connection, listener);
    if (r < 0) {
        log_error("event loop: %s", strerror(-r));
        listener_destroy(listener);
        return r;
    }
    *ret = listener;
    return 0;
}

void listener_destroy(struct listener *listener)
{
    struct stat st;

    if (listener == NULL)
        return;
    sd_event_source_disable_unref(listener->source);
    const char *path = listener->address.sun_path;
    if (lstat(path, &st) == 0 && st.st_dev == listener->dev && st.st_ino == listener->ino)
        unlink(path);
    close(listener->fd);
    free(listener);
}

int listener_resume(struct listener *listener)
{
    return sd_event_source_set_enabled(listener->source, SD_EVENT_ON);
}
