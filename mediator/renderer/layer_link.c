/* SPDX-License-Identifier: MIT */
#include "mediator/renderer/layer_link.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "protocol/broker.h"
#include "protocol/layer_memory.h"
#include "protocol/lease_wait.h"
#include "protocol/msg_socket.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

/* How long a new worker waits for aliquotd to take note of the ends of others. */
#define FREE_TRIES 100
#define FREE_TRY_NS 1000000

/* The thread's. */
struct worker {
    int channel;         /* owned; -1 = the slot is free */
    pid_t pid;           /* as the kernel knows it */
    uint32_t generation; /* of the lease's slot, when it was given away */
    bool was_used;
};

struct layer_link {
    struct layer_link_config config;
    const struct lease_grant_page *grant; /* owned mapping; NULL = there is no lease */
    uint32_t slots;                       /* those that workers can have: 1 … slots - 1 */
    int pair[2];                          /* owned; ours, theirs */
    int stop_fd;                          /* owned */
    pthread_t thread;
    bool started;
    struct worker workers[LEASE_SLOTS_MAX];
};

/* ---- slots ------------------------------------------------------------------------------------
 */

static uint32_t generation(const struct layer_link *link, uint32_t slot)
{
    return link->grant ? __atomic_load_n(&link->grant->generation[slot], __ATOMIC_ACQUIRE) : 0;
}

/* Of the lease, a slot is free again when aliquotd has said so by another generation. */
static bool is_free(const struct layer_link *link, uint32_t slot)
{
    const struct worker *w = &link->workers[slot];

    return w->channel < 0 &&
           (!link->grant || !w->was_used || generation(link, slot) != w->generation);
}

/* 0 = there is none. */
static uint32_t find_slot(const struct layer_link *link)
{
    const struct timespec moment = {.tv_nsec = FREE_TRY_NS};

    for (int i = 0; i < FREE_TRIES; i++) {
        bool ending = false;

        for (uint32_t slot = 1; slot < link->slots; slot++) {
            if (is_free(link, slot))
                return slot;
            ending |= link->workers[slot].channel < 0;
        }
        if (!ending)
            return 0;
        nanosleep(&moment, NULL);
    }
    return 0;
}

static void tell_broker(const struct layer_link *link, enum broker_msg_type type, uint32_t slot,
                        pid_t pid)
{
    struct broker_msg msg = {
        .version = BROKER_VERSION, .type = (uint16_t)type, .slot = slot, .pid = (uint32_t)pid};
    struct iovec iov = {.iov_base = &msg, .iov_len = BROKER_MSG_HEADER};

    if (link->config.broker_fd >= 0 && link->grant)
        (void)msg_send(link->config.broker_fd, &iov, 1, NULL, 0, 0); /* if it is gone, so are we */
}

/* ---- messages ---------------------------------------------------------------------------------
 */

static int answer(int channel, enum layer_msg_type type, uint32_t slot, bool gated, const int *fds,
                  size_t n_fds)
{
    struct layer_msg msg = {
        .version = LAYER_VERSION, .type = (uint16_t)type, .slot = slot, .gated = gated};
    struct iovec iov = {.iov_base = &msg, .iov_len = sizeof(msg)};

    return msg_send(channel, &iov, 1, fds, n_fds, 0);
}

static int welcome(const struct layer_link *link, int channel, uint32_t slot)
{
    const struct layer_link_config *c = &link->config;
    const int fds[LAYER_FDS] = {
        [LAYER_FD_GRANT] = c->grant,       [LAYER_FD_ACK] = c->ack,
        [LAYER_FD_DOORBELL] = c->doorbell, [LAYER_FD_MEMORY] = c->memory_fd,
        [LAYER_FD_WORK] = c->work_fd,      [LAYER_FD_COMPLETIONS] = c->completions_fd,
    };

    if (link->grant)
        return answer(channel, LAYER_WELCOME, slot, true, fds, LAYER_FDS);
    return answer(channel, LAYER_WELCOME, slot, false, &c->memory_fd, 1);
}

/* Consumes channel. */
static void admit(struct layer_link *link, int channel)
{
    _cleanup_close_ int fd = channel;
    uint32_t slot = find_slot(link);
    struct worker *w = &link->workers[slot];

    if (slot == 0) {
        log_warning("a Vulkan context is refused: %u are all that share one lease",
                    link->slots - 1);
        (void)answer(fd, LAYER_REFUSED, 0, false, NULL, 0);
        return;
    }
    /* The worker is who made the channel. */
    *w = (struct worker){
        .channel = -1, .pid = peer_pid(fd), .generation = generation(link, slot), .was_used = true};
    /* Before it can have anything on the GPU. */
    tell_broker(link, BROKER_SLOT_TAKEN, slot, w->pid);
    if (welcome(link, fd, slot) < 0) {
        tell_broker(link, BROKER_SLOT_GONE, slot, w->pid);
        return;
    }
    w->channel = take_fd(&fd);
}

static void receive(struct layer_link *link)
{
    struct layer_msg msg;
    int channel = -1;
    size_t n_fds = 0;
    ssize_t size = msg_recv(link->pair[0], &msg, sizeof(msg), &channel, 1, &n_fds);

    if (size < 0)
        return;
    if (size != sizeof(msg) || msg.version != LAYER_VERSION || msg.type != LAYER_HELLO ||
        n_fds != 1) {
        log_warning("a message of a Vulkan worker that makes no sense");
        close_fds(&channel, n_fds);
        return;
    }
    admit(link, channel);
}

static void take_back(struct layer_link *link, uint32_t slot)
{
    struct worker *w = &link->workers[slot];

    close(take_fd(&w->channel));
    layer_memory_reclaim(link->config.memory, slot);
    tell_broker(link, BROKER_SLOT_GONE, slot, w->pid);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static void *run(void *opaque)
{
    struct layer_link *link = opaque;
    struct pollfd p[2 + LEASE_SLOTS_MAX] = {{.fd = link->stop_fd, .events = POLLIN},
                                            {.fd = link->pair[0], .events = POLLIN}};
    struct pollfd *channels = p + 2;

    for (;;) {
        /* A hang-up is reported without being asked for. */
        for (uint32_t slot = 0; slot < LEASE_SLOTS_MAX; slot++)
            channels[slot] = (struct pollfd){.fd = link->workers[slot].channel};
        if (poll(p, ARRAY_SIZE(p), -1) < 0)
            continue; /* EINTR alone: all signals are blocked here, but a debugger stops threads */
        if (p[0].revents)
            return NULL;
        for (uint32_t slot = 0; slot < LEASE_SLOTS_MAX; slot++)
            if (channels[slot].revents)
                take_back(link, slot);
        if (p[1].revents & POLLIN)
            receive(link);
    }
}

int layer_link_start(struct layer_link *link)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&link->thread, NULL, run, link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    link->started = r == 0;
    return r;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void finish(struct layer_link *link)
{
    for (uint32_t slot = 0; slot < LEASE_SLOTS_MAX; slot++)
        close_fd_p(&link->workers[slot].channel);
    close_fd_p(&link->pair[0]);
    close_fd_p(&link->pair[1]);
    close_fd_p(&link->stop_fd);
    lease_page_unmap(link->grant);
    free(link);
}

static int prepare(struct layer_link *link)
{
    int r = 0;

    link->slots = LEASE_SLOTS_MAX;
    if (link->config.grant >= 0) {
        r = lease_grant_page_map(link->config.grant, &link->grant);
        if (r < 0)
            return r;
        link->slots =
            MIN(__atomic_load_n(&link->grant->slots, __ATOMIC_ACQUIRE), (uint32_t)LEASE_SLOTS_MAX);
    }
    link->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (link->stop_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link->pair) < 0)
        return -errno;
    return 0;
}

int layer_link_create(const struct layer_link_config *config, struct layer_link **ret)
{
    struct layer_link *link = calloc(1, sizeof(*link));

    if (!link)
        return -ENOMEM;
    link->config = *config;
    link->pair[0] = link->pair[1] = link->stop_fd = -1;
    for (uint32_t slot = 0; slot < LEASE_SLOTS_MAX; slot++)
        link->workers[slot].channel = -1;
    int r = prepare(link);
    if (r < 0) {
        finish(link);
        return r;
    }
    *ret = link;
    return 0;
}

void layer_link_destroy(struct layer_link *link)
{
    if (!link)
        return;
    eventfd_write(link->stop_fd, 1);
    if (link->started)
        pthread_join(link->thread, NULL);
    finish(link);
}

int layer_link_fd(const struct layer_link *link)
{
    return link->pair[1];
}
