/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/activation.h"

#include "mediator/base/util.h"
#include "mediator/daemon/error_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

static int check_socket(struct activation_socket *s, char **ret_error)
{
    if (sd_is_socket(s->fd, AF_UNIX, SOCK_STREAM, 1) <= 0)
        return error_text(ret_error, -EINVAL,
                          "socket '%s' of the service manager is no listening stream socket of "
                          "the file system",
                          s->name);
    struct sockaddr_un addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(s->fd, (struct sockaddr *)&addr, &len) < 0 ||
        fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(s->fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_text(ret_error, -errno, "socket '%s' of the service manager: %s", s->name,
                          strerror(errno));
    s->path = strndup(addr.sun_path, sizeof(addr.sun_path));
    return s->path ? 0 : error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
}

int activation_init(struct activation *a, char **ret_error)
{
    *a = (struct activation){0};
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    if (count < 0)
        return error_text(ret_error, count, "can't take the service manager's sockets: %s",
                          strerror(-count));
    if (count == 0)
        return 0;
    a->sockets = calloc((size_t)count, sizeof(*a->sockets));
    int r = a->sockets ? 0 : error_text(ret_error, -ENOMEM, "%s", strerror(ENOMEM));
    for (int i = 0; i < count; i++) {
        if (!a->sockets) {
            free(names[i]);
            continue;
        }
        struct activation_socket *s = &a->sockets[a->count++];
        *s = (struct activation_socket){.name = names[i], .fd = SD_LISTEN_FDS_START + i};
        if (r == 0)
            r = check_socket(s, ret_error);
    }
    free(names);
    return r;
}

void activation_finish(struct activation *a)
{
    for (size_t i = 0; i < a->count; i++) {
        free(a->sockets[i].name);
        free(a->sockets[i].path);
        if (a->sockets[i].fd >= 0)
            close(a->sockets[i].fd);
    }
    free(a->sockets);
    *a = (struct activation){0};
}

struct activation_socket *activation_find(struct activation *a, const char *name)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->sockets[i].fd >= 0 && !strcmp(a->sockets[i].name, name))
            return &a->sockets[i];
    }
    return NULL;
}
