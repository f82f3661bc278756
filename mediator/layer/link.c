/* SPDX-License-Identifier: MIT */
#include "mediator/layer/link.h"

#include "mediator/base/util.h"
#include "protocol/layer_memory.h"
#include "protocol/lease_wait.h"
#include "protocol/msg_socket.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

/* The renderer answers at once, from a thread that does nothing else. Who waits that long has lost
 * his renderer in a way that left the socket open. */
#define WELCOME_TIMEOUT_MS 10000

static int parse_fd(const char *text)
{
    char *end = NULL;
    long fd = strtol(text, &end, 10);

    return end == text || *end != '\0' || fd < 0 || fd > INT_MAX ? -EINVAL : (int)fd;
}

/* Takes what it keeps of fds, which are -1 then. */
static int welcome(struct link *link, const struct layer_msg *msg, int *fds, size_t n_fds)
{
    const struct lease_grant_page *grant = NULL;
    struct lease_ack_page *ack = NULL;
    bool gated = msg->gated != 0;
    int memory_fd = gated ? fds[LAYER_FD_MEMORY] : fds[0];

    if (n_fds != (gated ? LAYER_FDS : 1) || msg->slot >= LEASE_SLOTS_MAX ||
        msg->slot == LEASE_SLOT_GL)
        return -EPROTO;
    int r = layer_memory_map(memory_fd, &link->memory);
    if (r == 0 && !layer_memory_is_valid(link->memory))
        r = -EPROTO;
    if (r == 0 && gated)
        r = lease_grant_page_map(fds[LAYER_FD_GRANT], &grant);
    if (r == 0 && gated)
        r = lease_ack_page_map(fds[LAYER_FD_ACK], &ack);
    if (r == 0 && gated)
        r = work_rings_map(fds[LAYER_FD_WORK], &link->work);
    if (r == 0 && gated)
        r = eventcount_map(fds[LAYER_FD_COMPLETIONS], &link->completions);
    if (r == 0 && gated)
        r = lease_attach(&link->lease, grant, ack, msg->slot);
    if (r < 0) {
        lease_page_unmap(grant);
        lease_page_unmap(ack);
        layer_memory_unmap(link->memory);
        work_rings_unmap(link->work);
        eventcount_unmap(link->completions);
        link->memory = NULL;
        link->work = NULL;
        link->completions = NULL;
        return r;
    }
    link->gated = gated;
    link->slot = &link->memory->slots[msg->slot];
    link->ring = gated ? &link->work->slots[msg->slot] : NULL;
    link->doorbell_fd = gated ? take_fd(&fds[LAYER_FD_DOORBELL]) : -1;
    return 0;
}

static int receive(int channel, struct link *link)
{
    int fds[LAYER_FDS] = {-1, -1, -1, -1, -1, -1};
    size_t n_fds = 0;
    struct layer_msg msg;
    struct pollfd waiter = {.fd = channel, .events = POLLIN};
    int ready;

    do
        ready = poll(&waiter, 1, WELCOME_TIMEOUT_MS);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return ready == 0 ? -ETIMEDOUT : -errno;
    ssize_t n = msg_recv(channel, &msg, sizeof(msg), fds, LAYER_FDS, &n_fds);
    if (n < 0)
        return (int)n;
    int r = -EPROTO;
    if (n == 0)
        r = -ECONNRESET;
    else if (n == sizeof(msg) && msg.version == LAYER_VERSION && msg.type == LAYER_WELCOME)
        r = welcome(link, &msg, fds, n_fds);
    else if (n == sizeof(msg) && msg.version == LAYER_VERSION && msg.type == LAYER_REFUSED)
        r = -ECONNREFUSED;
    close_fds(fds, n_fds);
    return r;
}

int link_open(const char *fd_number, struct link *ret)
{
    struct layer_msg hello = {
        .version = LAYER_VERSION, .type = LAYER_HELLO, .pid = (uint32_t)getpid()};
    struct iovec iov = {.iov_base = &hello, .iov_len = sizeof(hello)};
    struct link link = {.doorbell_fd = -1};
    int shared = parse_fd(fd_number), pair[2];

    if (shared < 0)
        return shared;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int r = msg_send(shared, &iov, 1, &pair[1], 1, WELCOME_TIMEOUT_MS);
    close(pair[1]);
    if (r == 0)
        r = receive(pair[0], &link);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    link.channel_fd = pair[0];
    *ret = link;
    return 0;
}

void link_close(struct link *link)
{
    if (link->gated) {
        lease_detach(&link->lease);
        lease_page_unmap(link->lease.grant);
        lease_page_unmap(link->lease.ack);
        work_rings_unmap(link->work);
        eventcount_unmap(link->completions);
        close(link->doorbell_fd);
    }
    layer_memory_unmap(link->memory);
    close(link->channel_fd);
}

int link_get(const struct link **ret)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct link the_link;
    static bool open;
    const char *number = getenv(LAYER_ENV);
    int r = 0;

    if (!number) {
        *ret = NULL;
        return 0;
    }
    pthread_mutex_lock(&lock);
    if (!open)
        r = link_open(number, &the_link);
    open = r == 0;
    pthread_mutex_unlock(&lock);
    if (r == 0)
        *ret = &the_link;
    return r;
}
