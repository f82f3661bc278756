/* SPDX-License-Identifier: MIT */
/* What the daemon knows, as Prometheus metrics. Part of metrics.h. */
#include "mediator/daemon/metrics.h"

#include "mediator/base/util.h"
#include "mediator/daemon/arbiter_set.h"
#include "mediator/daemon/exposition.h"
#include "mediator/daemon/mediator.h"

#include <string.h>

/* Of one moment, as far as there is one. */
struct gpu_sample {
    const char *gpu; /* borrowed */
    struct arbiter_totals totals;
};
struct vgpu_sample {
    const struct vgpu *vgpu; /* borrowed */
    struct arbiter_stats stats;
    struct arbiter_histogram latency;
    struct renderer_counters counters;
};

/* ---- families ------------------------------------------------------------------------------- */

enum unit { UNIT_ONE, UNIT_NS, UNIT_PPM, UNIT_HISTOGRAM };

/* One number of a sample, found by its offset: uint64_t, uint32_t with UNIT_PPM. */
struct family {
    const char *name, *help;
    enum exposition_type type;
    enum unit unit;
    size_t offset;
};

#define G(member) offsetof(struct gpu_sample, totals.member)
#define S(member) offsetof(struct vgpu_sample, stats.member)
#define C(member) offsetof(struct vgpu_sample, counters.member)

static const struct family gpu_families[] = {
    {"aliquot_gpu_reserved_ratio", "Sum of the reservations of its vGPUs.", EXPOSITION_GAUGE,
     UNIT_PPM, G(reserved_ppm)},
    {"aliquot_gpu_busy_seconds_total", "Time that vGPUs used of the GPU.", EXPOSITION_COUNTER,
     UNIT_NS, G(busy_ns)},
    {"aliquot_gpu_elapsed_seconds_total", "Time since the first vGPU came to the GPU.",
     EXPOSITION_COUNTER, UNIT_NS, G(elapsed_ns)},
    {"aliquot_gpu_slices_total", "Slices given.", EXPOSITION_COUNTER, UNIT_ONE, G(grants)},
    {"aliquot_gpu_handoff_seconds", "From the end of a slice to the next vGPU's first submission.",
     EXPOSITION_HISTOGRAM, UNIT_HISTOGRAM, G(handoff)},
};

static const struct family vgpu_families[] = {
    {"aliquot_vgpu_reservation_ratio", "Share of the GPU that is guaranteed.", EXPOSITION_GAUGE,
     UNIT_PPM, S(knobs.reservation_ppm)},
    {"aliquot_vgpu_cap_ratio", "Most of the GPU that it may use.", EXPOSITION_GAUGE, UNIT_PPM,
     S(knobs.cap_ppm)},
    {"aliquot_vgpu_slice_seconds", "Length of its slices.", EXPOSITION_GAUGE, UNIT_NS,
     S(knobs.slice_ns)},
    {"aliquot_vgpu_gpu_seconds_total", "GPU time that it was charged.", EXPOSITION_COUNTER, UNIT_NS,
     S(sched.gpu_ns)},
    {"aliquot_vgpu_busy_seconds_total", "GPU time as its renderers measured it.",
     EXPOSITION_COUNTER, UNIT_NS, S(busy_ns)},
    {"aliquot_vgpu_waiting_seconds_total", "Time that it had work and others had the GPU.",
     EXPOSITION_COUNTER, UNIT_NS, S(sched.waiting_ns)},
    {"aliquot_vgpu_capped_seconds_total", "Time that it had work and had used up its cap.",
     EXPOSITION_COUNTER, UNIT_NS, S(sched.capped_ns)},
    {"aliquot_vgpu_overrun_seconds_total", "GPU time charged beyond the ends of slices.",
     EXPOSITION_COUNTER, UNIT_NS, S(sched.overrun_ns)},
    {"aliquot_vgpu_debt_seconds", "How far it is ahead of its fair share.", EXPOSITION_GAUGE,
     UNIT_NS, S(sched.debt_ns)},
    {"aliquot_vgpu_slices_total", "Slices that it got.", EXPOSITION_COUNTER, UNIT_ONE,
     S(sched.slices)},
    {"aliquot_vgpu_submits_total", "Submissions to the GPU.", EXPOSITION_COUNTER, UNIT_ONE,
     S(submits)},
    {"aliquot_vgpu_completions_total", "Submissions that the GPU has completed.",
     EXPOSITION_COUNTER, UNIT_ONE, S(completions)},
    {"aliquot_vgpu_cuts_total", "Command streams cut because others waited.", EXPOSITION_COUNTER,
     UNIT_ONE, S(cuts)},
    {"aliquot_vgpu_resets_total", "Renderers killed for holding the GPU.", EXPOSITION_COUNTER,
     UNIT_ONE, S(resets)},
    {"aliquot_vgpu_faults_total", "Renderers killed for lies about their use of the GPU.",
     EXPOSITION_COUNTER, UNIT_ONE, S(faults)},
    {"aliquot_vgpu_floods_total", "Times that its renderers rang too often to be heard.",
     EXPOSITION_COUNTER, UNIT_ONE, S(floods)},
    {"aliquot_vgpu_stops_total",
     "Times that its renderers were stopped for their use of the processors beyond its cap.",
     EXPOSITION_COUNTER, UNIT_ONE, S(stops)},
    {"aliquot_vgpu_wait_seconds", "From asking for the GPU to getting it.", EXPOSITION_HISTOGRAM,
     UNIT_HISTOGRAM, S(wait)},
    {"aliquot_vgpu_latency_seconds",
     "From taking up a command stream, or what was submitted to a Vulkan queue, to its completion.",
     EXPOSITION_HISTOGRAM, UNIT_HISTOGRAM, offsetof(struct vgpu_sample, latency)},
    {"aliquot_vgpu_memory_bytes",
     "Host memory of its GPU resources, without device memory of Vulkan.", EXPOSITION_GAUGE,
     UNIT_ONE, C(resource_bytes)},
    {"aliquot_vgpu_resources", "GPU resources.", EXPOSITION_GAUGE, UNIT_ONE, C(resources)},
    {"aliquot_vgpu_contexts", "Rendering contexts.", EXPOSITION_GAUGE, UNIT_ONE, C(contexts)},
    {"aliquot_vgpu_vulkan_contexts", "Rendering contexts of Vulkan.", EXPOSITION_GAUGE, UNIT_ONE,
     C(vulkan_contexts)},
    {"aliquot_vgpu_vulkan_devices", "Vulkan devices.", EXPOSITION_GAUGE, UNIT_ONE,
     C(vulkan_devices)},
    {"aliquot_vgpu_vulkan_memory_bytes", "Device memory of Vulkan.", EXPOSITION_GAUGE, UNIT_ONE,
     C(vulkan_bytes)},
    {"aliquot_vgpu_vulkan_busy_seconds_total", "GPU time of Vulkan, as its layer measured it.",
     EXPOSITION_COUNTER, UNIT_NS, S(vulkan_ns)},
    {"aliquot_vgpu_vulkan_submits_total", "Submissions to Vulkan queues on this connection.",
     EXPOSITION_COUNTER, UNIT_ONE, C(vulkan_submits)},
    {"aliquot_vgpu_vulkan_refused_total",
     "Allocations of Vulkan refused for the memory limit on this connection.", EXPOSITION_COUNTER,
     UNIT_ONE, C(vulkan_refused)},
    {"aliquot_vgpu_mapped_blobs", "Blobs in the host-visible region.", EXPOSITION_GAUGE, UNIT_ONE,
     C(mapped_blobs)},
    {"aliquot_vgpu_commands_total", "Commands answered on this connection.", EXPOSITION_COUNTER,
     UNIT_ONE, C(commands)},
    {"aliquot_vgpu_fences_total", "Fences completed on this connection.", EXPOSITION_COUNTER,
     UNIT_ONE, C(fences)},
    {"aliquot_vgpu_rejected_total", "Bad commands refused on this connection.", EXPOSITION_COUNTER,
     UNIT_ONE, C(rejected)},
};

static void write_sample(FILE *out, const struct family *f, const struct exposition_label *labels,
                         const void *sample)
{
    const void *value = (const char *)sample + f->offset;

    switch (f->unit) {
    case UNIT_ONE:
        exposition_integer(out, f->name, labels, *(const uint64_t *)value);
        break;
    case UNIT_NS:
        exposition_ns(out, f->name, labels, *(const uint64_t *)value);
        break;
    case UNIT_PPM:
        exposition_ppm(out, f->name, labels, *(const uint32_t *)value);
        break;
    case UNIT_HISTOGRAM:
        exposition_histogram(out, f->name, labels, value);
        break;
    }
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

static void write_gpus(FILE *out, const struct gpu_sample *gpus, size_t n)
{
    exposition_family(out, "aliquot_gpu_info", EXPOSITION_GAUGE, "How the GPU is shared.");
    for (size_t i = 0; i < n; i++) {
        const struct arbiter_totals *t = &gpus[i].totals;
        const struct exposition_label labels[] = {{"gpu", gpus[i].gpu},
                                                  {"policy", sched_policy_name(t->policy)},
                                                  {"preempt", arbiter_preempt_name(t->preempt)},
                                                  {0}};
        exposition_integer(out, "aliquot_gpu_info", labels, 1);
    }
    exposition_family(out, "aliquot_gpu_vgpus", EXPOSITION_GAUGE, "vGPUs on the GPU.");
    for (size_t i = 0; i < n; i++) {
        const struct exposition_label labels[] = {{"gpu", gpus[i].gpu}, {0}};
        exposition_integer(out, "aliquot_gpu_vgpus", labels, gpus[i].totals.vgpus);
    }
    for (size_t f = 0; f < ARRAY_SIZE(gpu_families); f++) {
        const struct family *family = &gpu_families[f];
        exposition_family(out, family->name, family->type, family->help);
        for (size_t i = 0; i < n; i++) {
            const struct exposition_label labels[] = {{"gpu", gpus[i].gpu}, {0}};
            write_sample(out, family, labels, &gpus[i]);
        }
    }
}

/* ---- vGPUs ---------------------------------------------------------------------------------- */

#define VGPU_LABELS(s) {{"vgpu", (s)->vgpu->config.name}, {"gpu", (s)->vgpu->config.gpu}, {0}}

static void write_vgpus(FILE *out, const struct vgpu_sample *vgpus, size_t n)
{
    exposition_family(out, "aliquot_vgpu_info", EXPOSITION_GAUGE, "What the vGPU is.");
    for (size_t i = 0; i < n; i++) {
        const struct vgpu *v = vgpus[i].vgpu;
        const struct exposition_label labels[] = {{"vgpu", v->config.name},
                                                  {"gpu", v->config.gpu},
                                                  {"kind", vgpu_kind_name(v->kind)},
                                                  {"backend", v->config.backend},
                                                  {0}};
        exposition_integer(out, "aliquot_vgpu_info", labels, 1);
    }
    exposition_family(out, "aliquot_vgpu_connected", EXPOSITION_GAUGE,
                      "1 if a front-end is connected, else 0.");
    for (size_t i = 0; i < n; i++) {
        const struct exposition_label labels[] = VGPU_LABELS(&vgpus[i]);
        exposition_integer(out, "aliquot_vgpu_connected", labels, vgpus[i].vgpu->renderer != NULL);
    }
    exposition_family(out, "aliquot_vgpu_weight", EXPOSITION_GAUGE,
                      "Its part of what reservations leave, relative to others'.");
    for (size_t i = 0; i < n; i++) {
        const struct exposition_label labels[] = VGPU_LABELS(&vgpus[i]);
        exposition_integer(out, "aliquot_vgpu_weight", labels, vgpus[i].stats.knobs.weight);
    }
    for (size_t f = 0; f < ARRAY_SIZE(vgpu_families); f++) {
        const struct family *family = &vgpu_families[f];
        exposition_family(out, family->name, family->type, family->help);
        for (size_t i = 0; i < n; i++) {
            const struct exposition_label labels[] = VGPU_LABELS(&vgpus[i]);
            write_sample(out, family, labels, &vgpus[i]);
        }
    }
}

/* ---- all ------------------------------------------------------------------------------------ */

static void read_gpus(const struct mediator *m, struct gpu_sample *gpus, size_t n)
{
    const struct arbiter_set_entry *e = arbiter_set_first(m->arbiters);

    for (size_t i = 0; i < n; i++, e = e->next) {
        gpus[i].gpu = e->gpu;
        arbiter_read_totals(e->arbiter, &gpus[i].totals);
    }
}

static void read_vgpus(const struct mediator *m, struct vgpu_sample *vgpus, size_t n)
{
    const struct vgpu *v = m->vgpus;

    for (size_t i = 0; i < n; i++, v = v->next) {
        vgpus[i].vgpu = v;
        arbiter_read_stats(v->lease, &vgpus[i].stats);
        vgpu_read_latency(v, &vgpus[i].latency);
        if (v->renderer)
            renderer_counters_read(v->renderer, &vgpus[i].counters);
    }
}

int metrics_write(const struct mediator *m, FILE *out)
{
    static const struct exposition_label build[] = {{"version", ALIQUOT_VERSION}, {0}};
    size_t n_gpus = 0, n_vgpus = 0;

    for (const struct arbiter_set_entry *e = arbiter_set_first(m->arbiters); e; e = e->next)
        n_gpus++;
    for (const struct vgpu *v = m->vgpus; v; v = v->next)
        n_vgpus++;
    struct gpu_sample *gpus = calloc(n_gpus + 1, sizeof(*gpus));
    struct vgpu_sample *vgpus = calloc(n_vgpus + 1, sizeof(*vgpus));
    if (gpus && vgpus) {
        read_gpus(m, gpus, n_gpus);
        read_vgpus(m, vgpus, n_vgpus);
        exposition_family(out, "aliquot_build_info", EXPOSITION_GAUGE,
                          "The daemon that tells this.");
        exposition_integer(out, "aliquot_build_info", build, 1);
        write_gpus(out, gpus, n_gpus);
        write_vgpus(out, vgpus, n_vgpus);
    }
    int r = gpus && vgpus ? 0 : -ENOMEM;
    free(gpus);
    free(vgpus);
    return r;
}
