/* SPDX-License-Identifier: MIT */
/*
 * The control interface: the trace. The arbiter keeps the last events whether or not anybody reads
 * them, and renderers note what the GPU did; a reply holds a bounded part of them, and the caller
 * says where he has come to. So a reader costs what he asks for, and one who does not read nothing.
 */
#include "mediator/daemon/control_internal.h"

#include "mediator/base/util.h"
#include "mediator/daemon/arbiter_set.h"
#include "mediator/daemon/mediator.h"

#include <string.h>
#include <time.h>

/* Of one reply: some hundred kilobytes of JSON, and milliseconds of the daemon's time. */
#define EVENTS_MAX 1024

/* ---- what both kinds are read by ------------------------------------------------------------- */

struct events_parameters {
    const char *gpu; /* borrowed from the message */
    uint64_t cursor; /* UINT64_MAX = not given */
};

static int dispatch_cursor(const char *name, sd_json_variant *value, sd_json_dispatch_flags_t flags,
                           void *opaque)
{
    return sd_json_variant_is_null(value) ? 0 : sd_json_dispatch_uint64(name, value, flags, opaque);
}

static const sd_json_dispatch_field events_fields[] = {
    {"gpu", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
     offsetof(struct events_parameters, gpu), SD_JSON_MANDATORY},
    {"cursor", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_cursor,
     offsetof(struct events_parameters, cursor), 0},
    {0},
};

/* Fills in p and the GPU that it names. *ret_gpu is NULL if there is none, or another parameter is
 * bad; then it is answered, and the handler is to return what this does. */
static int read_parameters(sd_varlink *link, sd_json_variant *parameters, const struct mediator *m,
                           struct events_parameters *p, const struct arbiter_set_entry **ret_gpu)
{
    *ret_gpu = NULL;
    *p = (struct events_parameters){.cursor = UINT64_MAX};
    int r = control_dispatch(link, parameters, events_fields, p);
    if (r != 0)
        return r;
    *ret_gpu = arbiter_set_find(m->arbiters, p->gpu);
    return *ret_gpu ? 0 : sd_varlink_error(link, "io.aliquot.Mediator.NoSuchGPU", NULL);
}

/* Of n variants, which it takes, if r, the result of making them, is no error. At once, because
 * appending one by one would copy the array each time. */
static int take_array(int r, sd_json_variant **array, size_t n, sd_json_variant **ret)
{
    if (r >= 0)
        r = sd_json_variant_new_array(ret, array, n);
    for (size_t i = 0; i < n; i++)
        sd_json_variant_unref(array[i]);
    return r;
}

/* An element of each vGPU that is on the GPU, by append(). */
static int vgpus_to_json(const struct mediator *m, const char *gpu,
                         int (*append)(sd_json_variant **array, const struct vgpu *v),
                         sd_json_variant **ret)
{
    sd_json_variant *array = NULL;
    int r = sd_json_variant_new_array(&array, NULL, 0);

    for (const struct vgpu *v = m->vgpus; v && r >= 0; v = v->next) {
        if (!strcmp(v->config.gpu, gpu))
            r = append(&array, v);
    }
    if (r >= 0)
        *ret = TAKE_PTR(array);
    sd_json_variant_unref(array);
    return r;
}

/* ---- events --------------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [ARBITER_EVENT_WAIT] = "wait",   [ARBITER_EVENT_GRANT] = "grant",
        [ARBITER_EVENT_YIELD] = "yield", [ARBITER_EVENT_RELEASE] = "release",
        [ARBITER_EVENT_RESET] = "reset",
    };
    _Static_assert(ARRAY_SIZE(names) == ARBITER_N_EVENT_KINDS, "each kind has a name");
    return names[kind];
}

static int events_to_json(const struct arbiter_event *events, size_t n, sd_json_variant **ret)
{
    sd_json_variant *array[EVENTS_MAX];
    size_t done = 0;
    int r = 0;

    for (; done < n && r >= 0; done++) {
        const struct arbiter_event *e = &events[done];
        array[done] = NULL;
        r = sd_json_buildo(&array[done],
                           SD_JSON_BUILD_PAIR_INTEGER("timeNsec", control_int(e->time_ns)),
                           SD_JSON_BUILD_PAIR_INTEGER("vgpu", e->vgpu),
                           SD_JSON_BUILD_PAIR_STRING("kind", kind_name(e->kind)),
                           SD_JSON_BUILD_PAIR_INTEGER("value", control_int(e->value)));
    }
    return take_array(r, array, done, ret);
}

static int append_name(sd_json_variant **array, const struct vgpu *v)
{
    return sd_json_variant_append_arraybo(
        array, SD_JSON_BUILD_PAIR_INTEGER("number", arbiter_vgpu_number(v->lease)),
        SD_JSON_BUILD_PAIR_STRING("name", v->config.name));
}

int control_on_events(sd_varlink *link, sd_json_variant *parameters,
                      sd_varlink_method_flags_t flags, void *opaque)
{
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    const struct arbiter_set_entry *gpu;
    struct events_parameters p;
    struct arbiter_event events[EVENTS_MAX];
    int r = read_parameters(link, parameters, m, &p, &gpu);
    if (!gpu)
        return r;

    uint64_t lost;
    size_t n = arbiter_read_events(gpu->arbiter, &p.cursor, events, EVENTS_MAX, &lost);

    sd_json_variant *array = NULL, *names = NULL;
    r = events_to_json(events, n, &array);
    if (r >= 0)
        r = vgpus_to_json(m, p.gpu, append_name, &names);
    if (r >= 0)
        r = sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("events", array),
                               SD_JSON_BUILD_PAIR_INTEGER("cursor", control_int(p.cursor)),
                               SD_JSON_BUILD_PAIR_INTEGER("lost", control_int(lost)),
                               SD_JSON_BUILD_PAIR_BOOLEAN("more", n == EVENTS_MAX),
                               SD_JSON_BUILD_PAIR_VARIANT("vgpus", names));
    sd_json_variant_unref(array);
    sd_json_variant_unref(names);
    return r;
}

/* ---- work ----------------------------------------------------------------------------------- */

static int work_to_json(const struct work_record *records, size_t n, sd_json_variant **ret)
{
    sd_json_variant *array[EVENTS_MAX];
    size_t done = 0;
    int r = 0;

    for (; done < n && r >= 0; done++) {
        const struct work_record *w = &records[done];
        const char *kind = w->slot == LEASE_SLOT_GL ? "fence" : "vulkan";
        bool lost = w->lost > 0;
        array[done] = NULL;
        r = sd_json_buildo(
            &array[done], SD_JSON_BUILD_PAIR_INTEGER("vgpu", w->vgpu),
            SD_JSON_BUILD_PAIR_STRING("kind", lost ? "lost" : kind),
            SD_JSON_BUILD_PAIR_INTEGER("beginNsec",
                                       control_int(lost ? w->work.end_ns : w->work.begin_ns)),
            SD_JSON_BUILD_PAIR_INTEGER("endNsec", control_int(w->work.end_ns)),
            SD_JSON_BUILD_PAIR_INTEGER("count", control_int(lost ? w->lost : w->work.submits)),
            SD_JSON_BUILD_PAIR_INTEGER("slot", w->slot),
            SD_JSON_BUILD_PAIR_INTEGER("queue", w->work.queue));
    }
    return take_array(r, array, done, ret);
}

static int append_memory(sd_json_variant **array, const struct vgpu *v)
{
    struct renderer_counters n = {0};

    if (v->renderer)
        renderer_counters_read(v->renderer, &n);
    return sd_json_variant_append_arraybo(
        array, SD_JSON_BUILD_PAIR_INTEGER("number", arbiter_vgpu_number(v->lease)),
        SD_JSON_BUILD_PAIR_INTEGER("resourceBytes", control_int(n.resource_bytes)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanBytes", control_int(n.vulkan_bytes)));
}

static void take_work(const struct mediator *m, const char *gpu)
{
    for (struct vgpu *v = m->vgpus; v; v = v->next) {
        if (!strcmp(v->config.gpu, gpu))
            vgpu_take_work(v);
    }
}

int control_on_work(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                    void *opaque)
{
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    const struct arbiter_set_entry *gpu;
    struct events_parameters p;
    struct work_record records[EVENTS_MAX];
    struct timespec now;
    int r = read_parameters(link, parameters, m, &p, &gpu);
    if (!gpu)
        return r;

    take_work(m, p.gpu);
    uint64_t lost;
    size_t n = work_log_read(gpu->work, &p.cursor, records, EVENTS_MAX, &lost);

    sd_json_variant *array = NULL, *memory = NULL;
    clock_gettime(CLOCK_MONOTONIC, &now);
    r = work_to_json(records, n, &array);
    if (r >= 0)
        r = vgpus_to_json(m, p.gpu, append_memory, &memory);
    if (r >= 0)
        r = sd_varlink_replybo(
            link, SD_JSON_BUILD_PAIR_VARIANT("work", array),
            SD_JSON_BUILD_PAIR_INTEGER("cursor", control_int(p.cursor)),
            SD_JSON_BUILD_PAIR_INTEGER("lost", control_int(lost)),
            SD_JSON_BUILD_PAIR_BOOLEAN("more", n == EVENTS_MAX),
            SD_JSON_BUILD_PAIR_VARIANT("memory", memory),
            SD_JSON_BUILD_PAIR_INTEGER("timeNsec", (int64_t)now.tv_sec * 1000000000 + now.tv_nsec));
    sd_json_variant_unref(array);
    sd_json_variant_unref(memory);
    return r;
}
