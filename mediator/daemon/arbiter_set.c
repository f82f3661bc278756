/* SPDX-License-Identifier: MIT */
#include "mediator/daemon/arbiter_set.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/error_text.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sysinfo.h>

_Static_assert(GPU_LIST_MAX <= ARBITER_PLACE_MAX, "a vGPU may go to any GPU there is");

/* Hardware does not preempt: who stays longer than that keeps all others off. On the CPU it does
 * not, and a long frame may just be slow. */
#define RESET_AFTER_DRAIN_NS UINT64_C(2000000000)
#define RESET_AFTER_CPU_NS UINT64_C(30000000000)

struct arbiter_set {
    const struct config *config; /* borrowed */
    sd_event *event;             /* borrowed */
    struct arbiter_set_entry *first;
    struct cpu_group_parent cpu_groups; /* owned; of all software GPUs */
    bool cpu_groups_tried;
};

int arbiter_set_create(const struct config *config, sd_event *event, struct arbiter_set **ret)
{
    struct arbiter_set *set = calloc(1, sizeof(*set));

    if (!set)
        return -ENOMEM;
    set->config = config;
    set->cpu_groups.dir_fd = -1;
    set->event = event;
    *ret = set;
    return 0;
}

void arbiter_set_destroy(struct arbiter_set *set)
{
    if (!set)
        return;
    for (struct arbiter_set_entry *e = set->first, *next; e; e = next) {
        next = (struct arbiter_set_entry *)e->next;
        sd_event_source_disable_unref(e->messages);
        arbiter_destroy(e->arbiter);
        work_log_destroy(e->work);
        free(e->gpu);
        free(e);
    }
    cpu_group_parent_close(&set->cpu_groups);
    free(set);
}

/* How many do the work of that GPU, of those that renderers may have; 0 = it is hardware. */
static unsigned processors_of(const char *gpu)
{
    cpu_set_t set;

    if (strcmp(gpu, "software") != 0)
        return 0;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    return (unsigned)get_nprocs(); /* more than fit into a set */
}

/* "none": a backend that draws nothing, on the CPU as well. */
static enum arbiter_preempt preempt_of(const struct config *c, const char *gpu)
{
    if (c->preempt >= 0)
        return (enum arbiter_preempt)c->preempt;
    bool cpu = !strcmp(gpu, "software") || !strcmp(gpu, "none");
    return cpu ? ARBITER_PREEMPT_CPU : ARBITER_PREEMPT_DRAIN;
}

/* NULL: the threads of renderers are made idle one by one. */
static struct cpu_group_parent *cpu_groups(struct arbiter_set *set)
{
    if (!set->cpu_groups_tried) {
        int r = cpu_group_parent_open(&set->cpu_groups);
        if (r < 0)
            log_info("no control groups for renderers (%s): their threads are demoted one by one",
                     strerror(-r));
        set->cpu_groups_tried = true;
    }
    return set->cpu_groups.dir_fd >= 0 ? &set->cpu_groups : NULL;
}

static int on_messages(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    arbiter_write_messages(opaque);
    return 0;
}

static int watch(sd_event *event, struct arbiter_set_entry *e)
{
    int r = sd_event_add_io(event, &e->messages, arbiter_message_fd(e->arbiter), EPOLLIN,
                            on_messages, e->arbiter);

    /* Why a renderer was killed comes before that it has ended. */
    return r < 0 ? r : sd_event_source_set_priority(e->messages, SD_EVENT_PRIORITY_IMPORTANT);
}

static int new_entry(struct arbiter_set *set, const char *gpu, struct arbiter_set_entry **ret)
{
    const struct config *c = set->config;
    struct arbiter_set_entry *e = calloc(1, sizeof(*e));
    enum arbiter_preempt preempt = preempt_of(c, gpu);
    uint64_t reset_ns =
        preempt == ARBITER_PREEMPT_DRAIN ? RESET_AFTER_DRAIN_NS : RESET_AFTER_CPU_NS;
    const struct arbiter_config config = {
        .gpu = gpu,
        .policy = c->policy,
        .preempt = preempt,
        .parallelism = c->parallelism,
        .processors = processors_of(gpu),
        .cpu_groups = preempt == ARBITER_PREEMPT_CPU ? cpu_groups(set) : NULL,
        .early = c->early_handover,
        .reset_after_ns = c->reset_after_ns == UINT64_MAX ? reset_ns : c->reset_after_ns,
    };

    if (!e)
        return -ENOMEM;
    e->gpu = strdup(gpu);
    e->work = work_log_create();
    int r = e->gpu && e->work ? arbiter_create(&config, &e->arbiter) : -ENOMEM;
    if (r == 0)
        r = watch(set->event, e);
    if (r < 0) {
        sd_event_source_disable_unref(e->messages);
        arbiter_destroy(e->arbiter);
        work_log_destroy(e->work);
        free(e->gpu);
        free(e);
        return r;
    }
    log_info("GPU %s: shared by policy %s, slices end by %s", gpu, sched_policy_name(c->policy),
             preempt == ARBITER_PREEMPT_CPU ? "taking the CPU away" : "draining");
    *ret = e;
    return 0;
}

static int find(struct arbiter_set *set, const char *gpu, struct arbiter **ret)
{
    struct arbiter_set_entry **link = &set->first;

    while (*link && strcmp((*link)->gpu, gpu) != 0)
        link = (struct arbiter_set_entry **)&(*link)->next;
    int r = *link ? 0 : new_entry(set, gpu, link);
    if (r == 0)
        *ret = (*link)->arbiter;
    return r;
}

int arbiter_set_explain(struct arbiter *a, int r, const struct sched_knobs *knobs, const char *name,
                        char **ret_error)
{
    switch (r) {
    case -ENOSPC:
        return error_text(ret_error, r,
                          "vGPU '%s': a reservation of %g%% is more than its GPU has left: "
                          "%g%% are reserved, and at most %g%% can be; lower it or another one's",
                          name, knobs->reservation_ppm / (double)SCHED_PERCENT,
                          arbiter_reserved_ppm(a) / (double)SCHED_PERCENT,
                          SCHED_RESERVATION_MAX_PPM / (double)SCHED_PERCENT);
    case -EBUSY:
        return error_text(ret_error, r,
                          "vGPU '%s': its GPU has policy exclusive and belongs to another vGPU",
                          name);
    case -EINVAL:
        return error_text(ret_error, r, "vGPU '%s': its cap is below its reservation", name);
    default:
        return error_text(ret_error, r, "vGPU '%s': %s", name, strerror(-r));
    }
}

/* "/dev/dri/renderD128 40%, …": what can still be reserved. */
static void describe_left(const struct gpu_ids *gpus, struct arbiter *const *arbiters, char *text,
                          size_t size)
{
    *text = '\0';
    for (size_t i = 0; i < gpus->count; i++) {
        uint32_t left_ppm = SCHED_RESERVATION_MAX_PPM - arbiter_reserved_ppm(arbiters[i]);
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%s %g%%", i > 0 ? ", " : "", gpus->ids[i],
                 left_ppm / (double)SCHED_PERCENT);
    }
}

int arbiter_set_place(struct arbiter_set *set, const struct gpu_ids *gpus, const char *name,
                      const struct sched_knobs *knobs, const char **ret_gpu, char **ret_error)
{
    struct arbiter *arbiters[GPU_LIST_MAX];
    int r = 0;

    if (gpus->count == 1) { /* no choice: whether it is admitted is seen when it is added */
        *ret_gpu = gpus->ids[0];
        return 0;
    }
    for (size_t i = 0; i < gpus->count; i++) {
        r = find(set, gpus->ids[i], &arbiters[i]);
        if (r < 0)
            return error_text(ret_error, r, "GPU %s can't be shared: %s", gpus->ids[i],
                              strerror(-r));
    }
    r = arbiter_place(arbiters, gpus->count, knobs);
    if (r >= 0) {
        *ret_gpu = gpus->ids[r];
        return 0;
    }
    char left[1024];
    describe_left(gpus, arbiters, left, sizeof(left));
    if (r == -ENOSPC)
        return error_text(ret_error, r,
                          "vGPU '%s': a reservation of %g%% is more than any GPU has left: %s; "
                          "lower it or another one's",
                          name, knobs->reservation_ppm / (double)SCHED_PERCENT, left);
    if (r == -EBUSY)
        return error_text(ret_error, r,
                          "vGPU '%s': all %zu GPUs have policy exclusive and belong to others",
                          name, gpus->count);
    return arbiter_set_explain(arbiters[0], r, knobs, name, ret_error);
}

int arbiter_set_add(struct arbiter_set *set, const char *gpu, const char *name,
                    const struct sched_knobs *knobs, struct arbiter_vgpu *with,
                    struct arbiter_vgpu **ret, char **ret_error)
{
    struct arbiter *arbiter;
    int r = find(set, gpu, &arbiter);

    if (r < 0)
        return error_text(ret_error, r, "GPU %s can't be shared: %s", gpu, strerror(-r));
    r = arbiter_add(arbiter, name, knobs, with, ret);
    return r < 0 ? arbiter_set_explain(arbiter, r, knobs, name, ret_error) : 0;
}

const struct arbiter_set_entry *arbiter_set_first(const struct arbiter_set *set)
{
    return set->first;
}

const struct arbiter_set_entry *arbiter_set_find(const struct arbiter_set *set, const char *gpu)
{
    const struct arbiter_set_entry *e = set->first;

    while (e && strcmp(e->gpu, gpu) != 0)
        e = e->next;
    return e;
}
