/* SPDX-License-Identifier: MIT */
#include "mediator/cli/sample.h"

#include "mediator/base/util.h"
#include "mediator/cli/client.h"

#include <stdio.h>
#include <string.h>

/* ---- reading -------------------------------------------------------------------------------- */

static void copy_text(sd_json_variant *object, const char *key, char buf[static SAMPLE_TEXT_MAX])
{
    const char *text = client_string(object, key);
    snprintf(buf, SAMPLE_TEXT_MAX, "%s", text ? text : "-");
}

static int64_t element(sd_json_variant *array, size_t i)
{
    sd_json_variant *v = sd_json_variant_by_index(array, i);
    return v && sd_json_variant_is_integer(v) ? sd_json_variant_integer(v) : 0;
}

static void read_histogram(sd_json_variant *object, struct sample_histogram *h)
{
    size_t n_counts, n_bounds;
    sd_json_variant *counts = client_array(object, "counts", &n_counts);
    sd_json_variant *bounds = client_array(object, "boundsUsec", &n_bounds);

    h->n_buckets = MIN(n_counts, (size_t)SAMPLE_BUCKETS_MAX);
    for (size_t i = 0; i < h->n_buckets; i++) {
        h->counts[i] = element(counts, i);
        h->bounds_usec[i] = i < n_bounds ? element(bounds, i) : INT64_MAX;
    }
}

static void read_vgpu(sd_json_variant *object, struct sample_vgpu *v)
{
    copy_text(object, "name", v->name);
    copy_text(object, "state", v->state);
    copy_text(object, "gpu", v->gpu);
    v->number = client_integer(object, "number");
    v->weight = client_integer(object, "weight");
    v->memory_bytes = client_memory_bytes(object);
    v->contexts = client_integer(object, "contexts");
    v->vulkan_contexts = client_integer(object, "vulkanContexts");
    v->vulkan_usec = client_integer(object, "vulkanUsec");
    v->gpu_usec = client_integer(object, "gpuUsec");
    v->waiting_usec = client_integer(object, "waitingUsec");
    v->submits = client_integer(object, "gpuSubmits");
    read_histogram(sd_json_variant_by_key(object, "waits"), &v->waits);
    read_histogram(sd_json_variant_by_key(object, "latencies"), &v->latencies);
}

static void read_gpu(sd_json_variant *object, struct sample_gpu *g)
{
    copy_text(object, "gpu", g->gpu);
    copy_text(object, "policy", g->policy);
    copy_text(object, "reserved", g->reserved);
    g->vgpus = client_integer(object, "vgpus");
    g->busy_usec = client_integer(object, "busyUsec");
}

static int take_answers(sd_json_variant *vgpus_answer, sd_json_variant *gpus_answer,
                        struct sample *s)
{
    sd_json_variant *vgpus = client_array(vgpus_answer, "vgpus", &s->n_vgpus);
    sd_json_variant *gpus = client_array(gpus_answer, "gpus", &s->n_gpus);

    s->monotonic_usec = client_integer(vgpus_answer, "monotonicUsec");
    s->vgpus = calloc(s->n_vgpus + 1, sizeof(*s->vgpus));
    s->gpus = calloc(s->n_gpus + 1, sizeof(*s->gpus));
    if (!s->vgpus || !s->gpus)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_vgpus; i++)
        read_vgpu(sd_json_variant_by_index(vgpus, i), &s->vgpus[i]);
    for (size_t i = 0; i < s->n_gpus; i++)
        read_gpu(sd_json_variant_by_index(gpus, i), &s->gpus[i]);
    return 0;
}

int sample_read(sd_varlink *link, const char *path, struct sample *ret)
{
    struct sample s = {0};
    sd_json_variant *vgpus = NULL, *gpus = NULL;
    int r = client_call_on(link, path, "ListVGPUs", NULL, &vgpus);

    if (r >= 0)
        r = client_call_on(link, path, "ListGPUs", NULL, &gpus);
    if (r >= 0 && (r = take_answers(vgpus, gpus, &s)) < 0)
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    sd_json_variant_unref(vgpus);
    sd_json_variant_unref(gpus);
    if (r < 0)
        sample_finish(&s);
    else
        *ret = s;
    return r;
}

void sample_finish(struct sample *s)
{
    free(s->vgpus);
    free(s->gpus);
    *s = (struct sample){0};
}

/* ---- between two ---------------------------------------------------------------------------- */

static double interval_usec(const struct sample *before, const struct sample *now)
{
    return before ? (double)(now->monotonic_usec - before->monotonic_usec) : 0;
}

/* A counter that went back began anew. */
static double grown(int64_t before, int64_t now)
{
    return (double)(now >= before ? now - before : now);
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static int64_t p99(const struct sample_histogram *before, const struct sample_histogram *now)
{
    double total = 0, below = 0;

    for (size_t i = 0; i < now->n_buckets; i++)
        total += grown(before->counts[i], now->counts[i]);
    if (total <= 0)
        return -1;
    for (size_t i = 0; i < now->n_buckets; i++) {
        below += grown(before->counts[i], now->counts[i]);
        if (below >= 0.99 * total)
            return now->bounds_usec[i] == INT64_MAX ? -1 : now->bounds_usec[i];
    }
    return -1;
}

void sample_vgpu_rates(const struct sample *before, const struct sample *now, size_t vgpu,
                       struct sample_rates *ret)
{
    static const struct sample_vgpu nothing = {0};
    const struct sample_vgpu *v = &now->vgpus[vgpu], *old = &nothing;
    double usec = interval_usec(before, now);

    for (size_t i = 0; before && i < before->n_vgpus; i++) {
        if (before->vgpus[i].number == v->number && !strcmp(before->vgpus[i].gpu, v->gpu))
            old = &before->vgpus[i];
    }
    *ret = (struct sample_rates){
        .share = percent(grown(old->gpu_usec, v->gpu_usec), usec),
        .waiting = percent(grown(old->waiting_usec, v->waiting_usec), usec),
        .vulkan = percent(grown(old->vulkan_usec, v->vulkan_usec), usec),
        .submits = usec > 0 ? 1e6 * grown(old->submits, v->submits) / usec : 0,
        .p99_usec = usec > 0 ? p99(&old->waits, &v->waits) : -1,
        .latency_p99_usec = usec > 0 ? p99(&old->latencies, &v->latencies) : -1,
    };
}

double sample_gpu_busy(const struct sample *before, const struct sample *now, size_t gpu)
{
    const struct sample_gpu *g = &now->gpus[gpu];
    int64_t busy_usec = 0;

    for (size_t i = 0; before && i < before->n_gpus; i++) {
        if (!strcmp(before->gpus[i].gpu, g->gpu))
            busy_usec = before->gpus[i].busy_usec;
    }
    return percent(grown(busy_usec, g->busy_usec), interval_usec(before, now));
}
