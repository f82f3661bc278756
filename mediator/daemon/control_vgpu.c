/* SPDX-License-Identifier: MIT */
/* The control interface: which vGPUs and GPUs there are, and changes of a vGPU's knobs. */
#include "mediator/daemon/control_internal.h"

#include "mediator/base/log.h"
#include "mediator/base/util.h"
#include "mediator/daemon/arbiter_set.h"
#include "mediator/daemon/claim.h"
#include "mediator/daemon/error_text.h"
#include "mediator/daemon/knob_text.h"
#include "mediator/daemon/mediator.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const sd_json_dispatch_field control_no_parameters[] = {{0}};

int64_t control_int(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t usec(uint64_t ns)
{
    return control_int(ns / 1000);
}

static int64_t now_usec(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- vGPUs ---------------------------------------------------------------------------------- */

/* What its renderer tells of it, and who is connected. */
static int add_connection(const struct vgpu *v, sd_json_variant **object)
{
    struct renderer_counters n = {0};
    bool active = v->renderer;
    if (active)
        renderer_counters_read(v->renderer, &n);
    return sd_json_variant_merge_objectbo(
        object, SD_JSON_BUILD_PAIR_STRING("name", v->config.name),
        SD_JSON_BUILD_PAIR_STRING("state", vgpu_state_name(vgpu_state(v))),
        SD_JSON_BUILD_PAIR_STRING("kind", vgpu_kind_name(v->kind)),
        SD_JSON_BUILD_PAIR_STRING("socket", v->socket_path),
        SD_JSON_BUILD_PAIR_CONDITION(!active, "peer", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(
            active, "peer",
            SD_JSON_BUILD_OBJECT(SD_JSON_BUILD_PAIR_INTEGER("pid", v->peer.pid),
                                 SD_JSON_BUILD_PAIR_INTEGER("uid", v->peer.uid),
                                 SD_JSON_BUILD_PAIR_INTEGER("gid", v->peer.gid),
                                 SD_JSON_BUILD_PAIR_STRING("comm", v->peer.comm))),
        SD_JSON_BUILD_PAIR_STRING("gpu", v->config.gpu),
        SD_JSON_BUILD_PAIR_STRING("backend", v->config.backend),
        SD_JSON_BUILD_PAIR_CONDITION(!(active && v->ready), "gl", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(active && v->ready, "gl",
                                     SD_JSON_BUILD_STRING(v->description)),
        SD_JSON_BUILD_PAIR_CONDITION(!active, "rendererPid", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(active, "rendererPid",
                                     SD_JSON_BUILD_INTEGER(active ? renderer_pid(v->renderer) : 0)),
        SD_JSON_BUILD_PAIR_INTEGER("resources", control_int(n.resources)),
        SD_JSON_BUILD_PAIR_INTEGER("resourceBytes", control_int(n.resource_bytes)),
        SD_JSON_BUILD_PAIR_INTEGER("contexts", control_int(n.contexts)),
        SD_JSON_BUILD_PAIR_INTEGER("mappedBlobs", control_int(n.mapped_blobs)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanContexts", control_int(n.vulkan_contexts)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanDevices", control_int(n.vulkan_devices)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanBytes", control_int(n.vulkan_bytes)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanSubmits", control_int(n.vulkan_submits)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanRefused", control_int(n.vulkan_refused)),
        SD_JSON_BUILD_PAIR_INTEGER("submits", control_int(n.submits)),
        SD_JSON_BUILD_PAIR_INTEGER("commands", control_int(n.commands)),
        SD_JSON_BUILD_PAIR_INTEGER("fences", control_int(n.fences)),
        SD_JSON_BUILD_PAIR_INTEGER("rejected", control_int(n.rejected)),
        SD_JSON_BUILD_PAIR_INTEGER("flushes", control_int(n.flushes)),
        SD_JSON_BUILD_PAIR_CONDITION(!active, "connectedUsec", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(active, "connectedUsec",
                                     SD_JSON_BUILD_INTEGER(control_int(v->connected_us))));
}

static int histogram_to_json(const struct arbiter_histogram *h, sd_json_variant **ret)
{
    sd_json_variant *bounds = NULL, *counts = NULL;
    int r = 0;

    for (unsigned i = 0; i < ARBITER_BUCKETS && r >= 0; i++) {
        if (i + 1 < ARBITER_BUCKETS)
            r = sd_json_variant_append_arrayb(&bounds, SD_JSON_BUILD_INTEGER(INT64_C(1) << i));
        if (r >= 0)
            r = sd_json_variant_append_arrayb(&counts,
                                              SD_JSON_BUILD_INTEGER(control_int(h->buckets[i])));
    }
    if (r >= 0)
        r = sd_json_buildo(ret, SD_JSON_BUILD_PAIR_VARIANT("boundsUsec", bounds),
                           SD_JSON_BUILD_PAIR_VARIANT("counts", counts),
                           SD_JSON_BUILD_PAIR_INTEGER("count", control_int(h->count)),
                           SD_JSON_BUILD_PAIR_INTEGER("sumUsec", usec(h->sum_ns)),
                           SD_JSON_BUILD_PAIR_INTEGER("maxUsec", usec(h->max_ns)));
    sd_json_variant_unref(bounds);
    sd_json_variant_unref(counts);
    return r;
}

/* Its share of the GPU: knobs and what it had. */
static int add_share(const struct vgpu *v, sd_json_variant **object)
{
    static const char *const lease_names[] = {[LEASE_IDLE] = "idle",
                                              [LEASE_GRANTED] = "granted",
                                              [LEASE_YIELDING] = "yielding",
                                              [LEASE_REVOKED] = "revoked"};
    struct arbiter_stats s;
    struct arbiter_histogram latency;
    char reservation[KNOB_TEXT_MAX], cap[KNOB_TEXT_MAX], slice[KNOB_TEXT_MAX];
    sd_json_variant *waits = NULL, *latencies = NULL;
    bool of_claim = v->claim && !claim_owns_idle(v->claim, v);

    arbiter_read_stats(v->lease, &s);
    knob_text_ppm(s.knobs.reservation_ppm, reservation);
    knob_text_ppm(s.knobs.cap_ppm, cap);
    knob_text_slice(s.knobs.slice_ns, slice);
    vgpu_read_latency(v, &latency);
    int r = histogram_to_json(&s.wait, &waits);
    if (r >= 0)
        r = histogram_to_json(&latency, &latencies);
    if (r < 0) {
        sd_json_variant_unref(waits);
        return r;
    }
    r = sd_json_variant_merge_objectbo(
        object, SD_JSON_BUILD_PAIR_INTEGER("number", arbiter_vgpu_number(v->lease)),
        SD_JSON_BUILD_PAIR_CONDITION(!of_claim, "shareOf", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(of_claim, "shareOf",
                                     SD_JSON_BUILD_STRING(of_claim ? claim_name(v->claim) : "")),
        SD_JSON_BUILD_PAIR_INTEGER("weight", s.knobs.weight),
        SD_JSON_BUILD_PAIR_STRING("reservation", reservation),
        SD_JSON_BUILD_PAIR_STRING("cap", cap), SD_JSON_BUILD_PAIR_STRING("slice", slice),
        SD_JSON_BUILD_PAIR_STRING("lease", lease_names[s.lease]),
        SD_JSON_BUILD_PAIR_INTEGER("gpuUsec", usec(s.sched.gpu_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("busyUsec", usec(s.busy_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanUsec", usec(s.vulkan_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("waitingUsec", usec(s.sched.waiting_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("cappedUsec", usec(s.sched.capped_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("slices", control_int(s.sched.slices)),
        SD_JSON_BUILD_PAIR_INTEGER("debtUsec", usec(s.sched.debt_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("overrunUsec", usec(s.sched.overrun_ns)),
        SD_JSON_BUILD_PAIR_INTEGER("gpuSubmits", control_int(s.submits)),
        SD_JSON_BUILD_PAIR_INTEGER("gpuCompletions", control_int(s.completions)),
        SD_JSON_BUILD_PAIR_INTEGER("inFlight", s.in_flight),
        SD_JSON_BUILD_PAIR_INTEGER("cuts", control_int(s.cuts)),
        SD_JSON_BUILD_PAIR_INTEGER("resets", control_int(s.resets)),
        SD_JSON_BUILD_PAIR_INTEGER("faults", control_int(s.faults)),
        SD_JSON_BUILD_PAIR_INTEGER("floods", control_int(s.floods)),
        SD_JSON_BUILD_PAIR_INTEGER("stops", control_int(s.stops)),
        SD_JSON_BUILD_PAIR_VARIANT("waits", waits),
        SD_JSON_BUILD_PAIR_VARIANT("latencies", latencies));
    sd_json_variant_unref(waits);
    sd_json_variant_unref(latencies);
    return r;
}

int control_on_list(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                    void *opaque)
{
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    int r = control_dispatch(link, parameters, control_no_parameters, NULL);
    if (r != 0)
        return r;

    sd_json_variant *vgpus = NULL;
    int64_t now = now_usec(CLOCK_MONOTONIC);
    r = sd_json_variant_new_array(&vgpus, NULL, 0);
    for (const struct vgpu *v = m->vgpus; v && r >= 0; v = v->next) {
        sd_json_variant *one = NULL;
        r = add_connection(v, &one);
        if (r >= 0)
            r = add_share(v, &one);
        if (r >= 0)
            r = sd_json_variant_append_array(&vgpus, one);
        sd_json_variant_unref(one);
    }
    if (r >= 0)
        r = sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("vgpus", vgpus),
                               SD_JSON_BUILD_PAIR_INTEGER("monotonicUsec", now));
    sd_json_variant_unref(vgpus);
    return r;
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

static int gpu_to_json(const struct arbiter_set_entry *gpu, sd_json_variant **ret)
{
    struct arbiter_totals t;
    char reserved[KNOB_TEXT_MAX];
    sd_json_variant *handoff = NULL;

    arbiter_read_totals(gpu->arbiter, &t);
    knob_text_ppm(t.reserved_ppm, reserved);
    int r = histogram_to_json(&t.handoff, &handoff);
    if (r < 0)
        return r;
    r = sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("gpu", gpu->gpu),
                       SD_JSON_BUILD_PAIR_STRING("policy", sched_policy_name(t.policy)),
                       SD_JSON_BUILD_PAIR_STRING("preempt", arbiter_preempt_name(t.preempt)),
                       SD_JSON_BUILD_PAIR_INTEGER("parallelism", t.parallelism),
                       SD_JSON_BUILD_PAIR_STRING("reserved", reserved),
                       SD_JSON_BUILD_PAIR_INTEGER("vgpus", t.vgpus),
                       SD_JSON_BUILD_PAIR_INTEGER("elapsedUsec", usec(t.elapsed_ns)),
                       SD_JSON_BUILD_PAIR_INTEGER("busyUsec", usec(t.busy_ns)),
                       SD_JSON_BUILD_PAIR_INTEGER("slices", control_int(t.grants)),
                       SD_JSON_BUILD_PAIR_VARIANT("handoffs", handoff));
    sd_json_variant_unref(handoff);
    return r;
}

int control_on_list_gpus(sd_varlink *link, sd_json_variant *parameters,
                         sd_varlink_method_flags_t flags, void *opaque)
{
    const struct client *client = opaque;
    const struct mediator *m = client->control->mediator;
    int r = control_dispatch(link, parameters, control_no_parameters, NULL);
    if (r != 0)
        return r;

    sd_json_variant *gpus = NULL;
    r = sd_json_variant_new_array(&gpus, NULL, 0);
    for (const struct arbiter_set_entry *e = arbiter_set_first(m->arbiters); e && r >= 0;
         e = e->next) {
        sd_json_variant *one = NULL;
        r = gpu_to_json(e, &one);
        if (r >= 0)
            r = sd_json_variant_append_array(&gpus, one);
        sd_json_variant_unref(one);
    }
    if (r >= 0)
        r = sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("gpus", gpus));
    sd_json_variant_unref(gpus);
    return r;
}

/* ---- changes -------------------------------------------------------------------------------- */

int control_read_knobs(const struct control_knobs *k, struct vgpu_config *v, char **ret_error)
{
    char weight[24] = "";

    if (k->weight && sd_json_variant_is_integer(k->weight))
        snprintf(weight, sizeof(weight), "%" PRId64, sd_json_variant_integer(k->weight));
    else if (k->weight && !sd_json_variant_is_null(k->weight))
        return error_text(ret_error, -EINVAL, "weight: not a whole number; allowed: %s",
                          sched_knobs_allowed("weight"));
    const struct {
        const char *key, *value;
    } settings[] = {
        {"weight", *weight ? weight : NULL},
        {"reservation", k->reservation},
        {"cap", k->cap},
        {"slice", k->slice},
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        int r = settings[i].value ? config_vgpu_set(v, settings[i].key, settings[i].value,
                                                    settings[i].key, ret_error)
                                  : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

struct set_parameters {
    const char *name; /* borrowed from the message */
    struct control_knobs knobs;
    bool persist;
};

static int dispatch_bool(const char *name, sd_json_variant *value, sd_json_dispatch_flags_t flags,
                         void *opaque)
{
    bool *ret = opaque;

    if (sd_json_variant_is_null(value))
        return 0;
    if (!sd_json_variant_is_boolean(value))
        return -EINVAL;
    *ret = sd_json_variant_boolean(value);
    return 0;
}

static const sd_json_dispatch_field set_fields[] = {
    {"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
     offsetof(struct set_parameters, name), SD_JSON_MANDATORY},
    CONTROL_KNOB_FIELDS(struct set_parameters, knobs),
    {"persist", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_bool,
     offsetof(struct set_parameters, persist), 0},
    {0},
};

/* Who may connect may not, for that alone, take the GPU from others: a vGPU's share is for root and
 * the daemon's user to change, and for whom it was made for. */
static bool may_set(const struct client *client, const struct vgpu *v)
{
    uid_t uid = client->peer.uid;

    if (uid == 0 || uid == geteuid())
        return true;
    if (v->kind == VGPU_ON_DEMAND)
        return v->renderer && v->peer.uid == uid;
    for (const struct client *c = client->control->clients; c; c = c->next) {
        if (c->claim && c->claim == v->claim)
            return c->peer.uid == uid;
    }
    return false;
}

int control_on_set(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *opaque)
{
    const struct client *client = opaque;
    struct set_parameters p = {0};
    struct vgpu_config change = config_vgpu_unset;
    _cleanup_free_ char *error = NULL;
    int r = control_dispatch(link, parameters, set_fields, &p);
    if (r != 0)
        return r;

    const struct vgpu *v = mediator_find_vgpu(client->control->mediator, p.name);
    if (!v) {
        error_text_set(&error, "there is no vGPU '%.*s'", VGPU_NAME_MAX, p.name);
        return control_error(link, -ENOENT, error ? error : strerror(ENOMEM));
    }
    snprintf(change.name, sizeof(change.name), "%s", p.name);
    if (!may_set(client, v))
        return control_error(link, -EPERM,
                             "its share is for root, the daemon's user and its own to change");
    r = control_read_knobs(&p.knobs, &change, &error);
    if (r == 0)
        r = mediator_set_knobs(client->control->mediator, &change, p.persist, &error);
    if (r < 0)
        return control_error(link, r, error ? error : strerror(-r));

    char reservation[KNOB_TEXT_MAX], cap[KNOB_TEXT_MAX], slice[KNOB_TEXT_MAX];
    knob_text_ppm(v->config.knobs.reservation_ppm, reservation);
    knob_text_ppm(v->config.knobs.cap_ppm, cap);
    knob_text_slice(v->config.knobs.slice_ns, slice);
    if (change.knobs_set)
        log_info("vGPU '%s': weight %u, reservation %s, cap %s, slice %s, by %s (pid %d, uid %d)",
                 change.name, v->config.knobs.weight, reservation, cap, slice, client->peer.comm,
                 client->peer.pid, client->peer.uid);
    return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_STRING("name", v->config.name),
                              SD_JSON_BUILD_PAIR_INTEGER("weight", v->config.knobs.weight),
                              SD_JSON_BUILD_PAIR_STRING("reservation", reservation),
                              SD_JSON_BUILD_PAIR_STRING("cap", cap),
                              SD_JSON_BUILD_PAIR_STRING("slice", slice));
}
