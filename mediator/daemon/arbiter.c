/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/arbiter_internal.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"

#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <time.h>

/* Doorbells of one wake-up; more come with the next. */
#define EVENTS_MAX 64
/* Above what renders on the same processors, if we may: a slice's end can't wait for a slice. */
#define THREAD_PRIORITY 1

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void free_removed(struct arbiter *a)
{
    while (a->removed) {
        struct arbiter_vgpu *v = a->removed;
        a->removed = v->next;
        free(v);
    }
}

static int wait_for_events(const struct arbiter *a, struct epoll_event *events, uint64_t next_ns)
{
    uint64_t now = clock_ns();
    uint64_t left = next_ns > now ? next_ns - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000),
                                     .tv_nsec = (long)(left % 1000000000)};

    return epoll_pwait2(a->epoll_fd, events, EVENTS_MAX, next_ns == SCHED_NEVER ? NULL : &timeout,
                        NULL);
}

static void *run(void *opaque)
{
    struct arbiter *a = opaque;
    struct epoll_event events[EVENTS_MAX];

    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        uint64_t next_ns = arbiter_schedule(a, clock_ns());
        next_ns = MIN(next_ns, arbiter_next_look_ns(a));
        free_removed(a);
        pthread_mutex_unlock(&a->lock);
        int n = wait_for_events(a, events, next_ns);
        pthread_mutex_lock(&a->lock);
        uint64_t now = clock_ns();
        arbiter_account_all(a, now);
        for (int i = 0; i < n; i++) {
            struct arbiter_vgpu *v = events[i].data.ptr;
            if (v && !v->removed)
                arbiter_doorbell_rung(v, now);
        }
        arbiter_look_at_muted(a, now);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Has the thread think again. */
static void kick(struct arbiter *a)
{
    eventfd_write(a->kick_fd, 1);
}

/* Edge-triggered, as doorbells are. */
static int watch_kicks(struct arbiter *a)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->kick_fd, &event) < 0 ? -errno : 0;
}

static int new_eventfd(int *ret)
{
    *ret = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *ret < 0 ? -errno : 0;
}

static int start_thread(struct arbiter *a)
{
    const struct sched_param param = {.sched_priority = THREAD_PRIORITY};
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&a->thread, NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0 && pthread_setschedparam(a->thread, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) != 0)
        log_debug("GPU %s: slices are ended at ordinary priority: real-time scheduling is not "
                  "permitted",
                  a->gpu);
    return r;
}

int arbiter_create(const struct arbiter_config *config, struct arbiter **ret)
{
    struct arbiter *a = calloc(1, sizeof(*a));
    pthread_mutexattr_t attributes;

    if (!a)
        return -ENOMEM;
    a->config = *config;
    snprintf(a->gpu, sizeof(a->gpu), "%s", config->gpu);
    a->config.gpu = a->gpu;
    a->start_ns = clock_ns();
    sched_init(&a->sched, config->policy, config->parallelism, a->start_ns);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&a->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);

    a->kick_fd = a->message_fd = -1;
    a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int r = a->epoll_fd < 0 ? -errno : new_eventfd(&a->kick_fd);
    if (r == 0)
        r = new_eventfd(&a->message_fd);
    if (r == 0)
        r = watch_kicks(a);
    if (r == 0)
        r = start_thread(a);
    if (r < 0) {
        close_fd_p(&a->message_fd);
        close_fd_p(&a->kick_fd);
        close_fd_p(&a->epoll_fd);
        pthread_mutex_destroy(&a->lock);
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void arbiter_destroy(struct arbiter *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_mutex_unlock(&a->lock);
    kick(a);
    pthread_join(a->thread, NULL);
    free_removed(a);
    arbiter_write_messages(a);
    close_fd_p(&a->message_fd);
    close_fd_p(&a->kick_fd);
    close_fd_p(&a->epoll_fd);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- vGPUs ---------------------------------------------------------------------------------- */

/* Groups belong to their members: the last one that goes frees it. */
static int join(struct arbiter_vgpu *v, struct arbiter_vgpu *with, uint64_t now_ns)
{
    struct arbiter_group *group = (struct arbiter_group *)with->entity.group;

    if (!group) {
        group = malloc(sizeof(*group));
        if (!group)
            return -ENOMEM;
        group->had = with->processors.had;
        sched_group_init(&group->sched, &with->entity, now_ns);
    }
    return sched_group_add(&group->sched, &v->entity, now_ns);
}

int arbiter_add(struct arbiter *a, const char *name, const struct sched_knobs *knobs,
                struct arbiter_vgpu *with, struct arbiter_vgpu **ret)
{
    struct arbiter_vgpu *v = calloc(1, sizeof(*v));

    assert(!with || with->arbiter == a);
    if (!v)
        return -ENOMEM;
    v->arbiter = a;
    think_time_init(&v->think);
    v->doorbell_fd = v->wake_fd = v->wake_read_fd = v->grant_fd = v->ack_fd = v->pidfd = -1;
    v->cpu_group = CPU_GROUP_NONE;
    snprintf(v->name, sizeof(v->name), "%s", name);
    int r = new_eventfd(&v->doorbell_fd);
    if (r == 0)
        r = arbiter_doorbell_watch(v);
    if (r == 0) {
        pthread_mutex_lock(&a->lock);
        arbiter_account_all(a, clock_ns());
        r = with ? join(v, with, clock_ns()) : sched_add(&a->sched, &v->entity, knobs, clock_ns());
        if (r == 0) {
            v->number = ++a->last_number;
            v->next = a->vgpus;
            a->vgpus = v;
            a->n_vgpus++;
        }
        pthread_mutex_unlock(&a->lock);
    }
    if (r < 0) {
        /* Takes it out of the epoll set, too; it has never rung. */
        close_fd_p(&v->doorbell_fd);
        free(v);
        return r;
    }
    *ret = v;
    return 0;
}

void arbiter_remove(struct arbiter_vgpu *v)
{
    if (!v)
        return;
    struct arbiter *a = v->arbiter;

    arbiter_detach(v);
    pthread_mutex_lock(&a->lock);
    arbiter_account_all(a, clock_ns());
    struct arbiter_group *group = (struct arbiter_group *)v->entity.group;
    sched_remove(&v->entity, clock_ns());
    if (group && group->sched.n_members == 0)
        free(group);
    struct arbiter_vgpu **link = &a->vgpus;
    while (*link != v)
        link = &(*link)->next;
    *link = v->next;
    a->n_vgpus--;
    arbiter_doorbell_unwatch(v);
    close_fd_p(&v->doorbell_fd);
    v->removed = true;
    v->next = a->removed;
    a->removed = v;
    pthread_mutex_unlock(&a->lock);
    kick(a);
}

int arbiter_set_knobs(struct arbiter_vgpu *v, const struct sched_knobs *knobs)
{
    struct arbiter *a = v->arbiter;

    pthread_mutex_lock(&a->lock);
    uint64_t now = clock_ns();
    arbiter_account_all(a, now);
    int r = sched_set_knobs(&v->entity, knobs, now);
    pthread_mutex_unlock(&a->lock);
    kick(a);
    return r;
}

int arbiter_set_policy(struct arbiter *a, enum sched_policy policy)
{
    pthread_mutex_lock(&a->lock);
    uint64_t now = clock_ns();
    arbiter_account_all(a, now);
    int r = sched_set_policy(&a->sched, policy, now);
    pthread_mutex_unlock(&a->lock);
    kick(a);
    return r;
}

uint32_t arbiter_reserved_ppm(struct arbiter *a)
{
    pthread_mutex_lock(&a->lock);
    uint32_t ppm = sched_reserved_ppm(&a->sched);
    pthread_mutex_unlock(&a->lock);
    return ppm;
}

int arbiter_place(struct arbiter *const *arbiters, size_t n, const struct sched_knobs *knobs)
{
    const struct sched *gpus[ARBITER_PLACE_MAX] = {NULL};

    assert(n <= ARBITER_PLACE_MAX);
    /* Nobody else locks more than one. */
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&arbiters[i]->lock);
        gpus[i] = &arbiters[i]->sched;
    }
    int r = sched_place(gpus, n, -1, knobs);
    for (size_t i = n; i > 0; i--)
        pthread_mutex_unlock(&arbiters[i - 1]->lock);
    return r;
}

/* ---- renderers ------------------------------------------------------------------------------ */

static void drop_pages(struct arbiter_vgpu *v)
{
    lease_page_unmap(TAKE_PTR(v->grant_page));
    lease_page_unmap(TAKE_PTR(v->ack_page));
    close_fd_p(&v->grant_fd);
    close_fd_p(&v->ack_fd);
    close_fd_p(&v->pidfd);
    close_fd_p(&v->wake_fd);
    close_fd_p(&v->wake_read_fd);
    v->grant_fd = v->ack_fd = v->pidfd = v->wake_fd = v->wake_read_fd = -1;
    v->pid = 0;
    cpu_process_finish(&v->process);
}

static void forget_acks(struct arbiter_vgpu *v)
{
    memset(v->acks, 0, sizeof(v->acks));
    arbiter_forget_workers(v);
    v->ack = (struct lease_ack){0};
}

int arbiter_attach(struct arbiter_vgpu *v, uint32_t slots, struct arbiter_fds *ret)
{
    struct arbiter *a = v->arbiter;
    int wake[2];

    arbiter_detach(v);
    /* Of the renderer before, which may have filled it up, so that nobody can ring any more. */
    (void)arbiter_doorbell_take(v);
    int r = pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0) {
        v->wake_read_fd = wake[0];
        v->wake_fd = wake[1];
        r = lease_grant_page_create(&v->grant_fd, &v->grant_page);
    }
    if (r == 0)
        r = lease_ack_page_create(&v->ack_fd, &v->ack_page);
    if (r < 0) {
        drop_pages(v);
        return r;
    }
    pthread_mutex_lock(&a->lock);
    lease_broker_init(&v->lease, v->grant_page, v->ack_page, slots, clock_ns());
    forget_acks(v);
    v->killed = false;
    v->processors.looked_ns = 0;
    v->processors.told = false;
    v->attached = true;
    pthread_mutex_unlock(&a->lock);
    *ret = (struct arbiter_fds){.grant = v->grant_fd,
                                .ack = v->ack_fd,
                                .doorbell = v->doorbell_fd,
                                .wake = v->wake_read_fd};
    return 0;
}

int arbiter_set_process(struct arbiter_vgpu *v, int pidfd, pid_t pid)
{
    struct arbiter *a = v->arbiter;
    int copy = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
    struct cpu_group group = CPU_GROUP_NONE;

    if (copy < 0)
        return -errno;
    if (a->config.cpu_groups) {
        int r = cpu_group_create(a->config.cpu_groups, pid, &group);
        if (r < 0)
            log_debug("vGPU '%s': renderer %d has no control group of its own: %s", v->name, pid,
                      strerror(-r));
    }
    pthread_mutex_lock(&a->lock);
    v->cpu_group = group;
    v->pidfd = copy;
    v->pid = pid;
    (void)cpu_process_init(&v->process, copy, pid); /* else it has just ended */
    v->process.grouped = group.idle_fd >= 0;
    v->class = CPU_CLASS_NORMAL;
    if (v->killed) /* its page lied before we knew whom to kill */
        pidfd_send_signal(copy, SIGKILL, NULL, 0);
    pthread_mutex_unlock(&a->lock);
    kick(a); /* it may never ring, and is to be looked at */
    return 0;
}

void arbiter_slot_taken(struct arbiter_vgpu *v, uint32_t slot, pid_t pid)
{
    pthread_mutex_lock(&v->arbiter->lock);
    if (v->attached && slot != LEASE_SLOT_GL && slot < v->lease.slots)
        arbiter_worker_begins(v, slot, pid);
    pthread_mutex_unlock(&v->arbiter->lock);
}

void arbiter_slot_gone(struct arbiter_vgpu *v, uint32_t slot)
{
    struct arbiter *a = v->arbiter;

    pthread_mutex_lock(&a->lock);
    if (v->attached && slot != LEASE_SLOT_GL && slot < v->lease.slots) {
        uint64_t now = clock_ns();
        arbiter_account_all(a, now);
        arbiter_worker_ends(v, slot);
        /* It counts as a ring of the renderer's: it may say so as often as it likes. */
        v->bell.pending = v->bell.muted;
        if (!v->bell.muted) {
            arbiter_doorbell_rung(v, now);
            kick(a);
        }
    }
    pthread_mutex_unlock(&a->lock);
}

void arbiter_detach(struct arbiter_vgpu *v)
{
    struct arbiter *a = v->arbiter;
    struct cpu_group group = CPU_GROUP_NONE;

    pthread_mutex_lock(&a->lock);
    if (v->attached) {
        uint64_t now = clock_ns();
        arbiter_account_all(a, now);
        arbiter_account(v, now);
        arbiter_evict(v, now);
        v->attached = false;
        v->before.submits += v->ack.submits;
        v->before.completions += v->ack.completions;
        v->before.cuts += v->ack.cuts;
        v->before.vulkan_ns += v->ack.busy_ns - v->acks[LEASE_SLOT_GL].busy_ns;
        forget_acks(v);
        drop_pages(v);
        group = v->cpu_group;
        v->cpu_group = CPU_GROUP_NONE;
    }
    pthread_mutex_unlock(&a->lock);
    cpu_group_remove(a->config.cpu_groups, &group);
    kick(a);
}
