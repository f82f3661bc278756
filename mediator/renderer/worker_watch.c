/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/worker_watch.h"

#include "mediator/base/util.h"

#include <dirent.h>
#include <sys/epoll.h>

int worker_watch_create(void)
{
    int watch = epoll_create1(EPOLL_CLOEXEC);

    return watch < 0 ? -errno : watch;
}

int worker_watch_add(int watch, pid_t server)
{
    /* A hang-up is reported without being asked for; once, since to close the socket is up to
     * virglrenderer. */
    struct epoll_event event = {.events = EPOLLONESHOT};
    int added = 0;
    DIR *dir;

    if (server <= 0)
        return -ESRCH;
    dir = opendir("/proc/self/fd");
    if (!dir)
        return -errno;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || peer_pid(fd) != server)
            continue;
        if (epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event) == 0)
            added++;
    }
    closedir(dir);
    return added;
}

bool worker_watch_take(int watch)
{
    struct epoll_event event;

    return epoll_wait(watch, &event, 1, 0) > 0;
}
