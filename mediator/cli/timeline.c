/* SPDX-License-Identifier: MIT */
#include "mediator/cli/timeline.h"

#include "mediator/base/util.h"

#include <inttypes.h>
#include <string.h>

#define TIMELINE_NAME_MAX 64

/* What does not overlap: an id of asynchronous events. */
struct timeline_lane {
    uint32_t slot, number; /* among the slot's, from 1 on */
    uint64_t end_ns;       /* of the last */
};

struct timeline_track {
    unsigned gpu;
    uint32_t vgpu;
    char name[TIMELINE_NAME_MAX]; /* "" = not known yet */
    struct timeline_lane *lanes;  /* owned array */
    size_t n_lanes;
    uint64_t memory_ns; /* when its memory was last told; 0 = never */
    uint64_t resource_bytes, vulkan_bytes;
    /* When what is open began; 0 = it is not open. A drain is inside a slice. */
    uint64_t wait_ns, slice_ns, drain_ns, preempted_ns;
};

bool timeline_kind_from_name(const char *name, enum timeline_kind *ret)
{
    static const char *const names[] = {
        [TIMELINE_WAIT] = "wait",       [TIMELINE_GRANT] = "grant", [TIMELINE_YIELD] = "yield",
        [TIMELINE_RELEASE] = "release", [TIMELINE_RESET] = "reset",
    };

    for (unsigned i = 0; i < TIMELINE_N_KINDS; i++) {
        if (!strcmp(names[i], name)) {
            *ret = (enum timeline_kind)i;
            return true;
        }
    }
    return false;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void begin_object(struct timeline *t)
{
    fputs(t->comma ? ",\n{" : "\n{", t->out);
    t->comma = true;
}

/* Names are the daemon's and printable; what is not is left out. */
static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        if ((unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7f)
            fputc(*text, out);
    }
    fputc('"', out);
}

/* The format's unit is the microsecond. */
static void print_us(FILE *out, const char *key, uint64_t ns)
{
    fprintf(out, "\"%s\":%" PRIu64 ".%03" PRIu64, key, ns / 1000, ns % 1000);
}

/* What lasted from begin to end; opens its arguments if it has some. */
static void span(struct timeline *t, const struct timeline_track *k, const char *name,
                 uint64_t begin_ns, uint64_t end_ns)
{
    begin_object(t);
    fprintf(t->out, "\"name\":\"%s\",\"ph\":\"X\",\"pid\":%u,\"tid\":%" PRIu32 ",", name, k->gpu,
            k->vgpu);
    print_us(t->out, "ts", begin_ns);
    fputc(',', t->out);
    print_us(t->out, "dur", end_ns - begin_ns);
}

static void end_wait(struct timeline *t, struct timeline_track *k, uint64_t now_ns)
{
    if (k->wait_ns == 0)
        return;
    span(t, k, "wait", k->wait_ns, now_ns);
    fputc('}', t->out);
    k->wait_ns = 0;
}

/* Also what comes after a slice. charged_ns: UINT64_MAX = unknown. */
static void end_slice(struct timeline *t, struct timeline_track *k, uint64_t now_ns,
                      uint64_t charged_ns)
{
    if (k->preempted_ns != 0) {
        span(t, k, "preempted", k->preempted_ns, now_ns);
        fputc('}', t->out);
        k->preempted_ns = 0;
    }
    if (k->slice_ns == 0)
        return;
    span(t, k, "slice", k->slice_ns, now_ns);
    if (charged_ns != UINT64_MAX) {
        fputs(",\"args\":{", t->out);
        print_us(t->out, "charged_us", charged_ns);
        fputc('}', t->out);
    }
    fputc('}', t->out);
    if (k->drain_ns != 0) {
        span(t, k, "drain", k->drain_ns, now_ns);
        fputc('}', t->out);
    }
    k->slice_ns = k->drain_ns = 0;
}

static void mark(struct timeline *t, const char *name, const char *scope, unsigned gpu,
                 uint32_t vgpu, uint64_t now_ns)
{
    begin_object(t);
    fprintf(t->out, "\"name\":\"%s\",\"ph\":\"i\",\"s\":\"%s\",\"pid\":%u,\"tid\":%" PRIu32 ",",
            name, scope, gpu, vgpu);
    print_us(t->out, "ts", now_ns);
}

static void print_name(struct timeline *t, const char *what, unsigned gpu, uint32_t vgpu,
                       const char *prefix, const char *name)
{
    begin_object(t);
    fprintf(t->out, "\"name\":\"%s\",\"ph\":\"M\",\"pid\":%u,\"tid\":%" PRIu32 ",\"args\":", what,
            gpu, vgpu);
    char text[96];
    snprintf(text, sizeof(text), "%s%s", prefix, name);
    fputs("{\"name\":", t->out);
    print_string(t->out, text);
    fputs("}}", t->out);
}

/* "desk fences" */
static void print_title(struct timeline *t, const struct timeline_track *k, const char *what)
{
    char title[TIMELINE_NAME_MAX + 32];

    if (k->name[0])
        snprintf(title, sizeof(title), "%s %s", k->name, what);
    else
        snprintf(title, sizeof(title), "vGPU %" PRIu32 " %s", k->vgpu, what);
    fputs("\"name\":", t->out);
    print_string(t->out, title);
}

static void print_memory(struct timeline *t, const struct timeline_track *k, uint64_t time_ns)
{
    begin_object(t);
    print_title(t, k, "memory");
    fprintf(t->out, ",\"ph\":\"C\",\"pid\":%u,\"tid\":%" PRIu32 ",", k->gpu, k->vgpu);
    print_us(t->out, "ts", time_ns);
    fprintf(t->out, ",\"args\":{\"resources\":%" PRIu64 ",\"Vulkan\":%" PRIu64 "}}",
            k->resource_bytes, k->vulkan_bytes);
}

/* ---- tracks --------------------------------------------------------------------------------- */

/* NULL: there are too many. Few at a time are in use, the last ones of the array. */
static struct timeline_track *track(struct timeline *t, unsigned gpu, uint32_t vgpu)
{
    for (size_t i = t->n_tracks; i-- > 0;) {
        if (t->tracks[i].gpu == gpu && t->tracks[i].vgpu == vgpu)
            return &t->tracks[i];
    }
    if (t->n_tracks == TIMELINE_TRACKS_MAX)
        return NULL;
    struct timeline_track *tracks = reallocarray(t->tracks, t->n_tracks + 1, sizeof(*tracks));
    if (!tracks)
        return NULL;
    t->tracks = tracks;
    tracks[t->n_tracks] = (struct timeline_track){.gpu = gpu, .vgpu = vgpu};
    return &tracks[t->n_tracks++];
}

void timeline_init(struct timeline *t, FILE *out, uint64_t begin_ns)
{
    *t = (struct timeline){.out = out, .begin_ns = begin_ns};
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", out);
}

void timeline_finish(struct timeline *t, uint64_t time_ns)
{
    for (size_t i = 0; i < t->n_tracks; i++) {
        struct timeline_track *k = &t->tracks[i];
        /* An event may be younger than the caller's look at the clock. */
        if (k->wait_ns <= time_ns)
            end_wait(t, k, time_ns);
        if (MAX(MAX(k->slice_ns, k->drain_ns), k->preempted_ns) <= time_ns)
            end_slice(t, k, time_ns, UINT64_MAX);
        if (k->memory_ns != 0)
            print_memory(t, k, time_ns);
        free(k->lanes);
    }
    fputs("\n]}\n", t->out);
    free(t->tracks);
    t->tracks = NULL;
}

void timeline_name_gpu(struct timeline *t, unsigned gpu, const char *name, bool preempts)
{
    if (preempts && gpu <= TIMELINE_GPUS_MAX)
        t->preempting |= UINT64_C(1) << gpu;
    print_name(t, "process_name", gpu, 0, "GPU ", name);
}

void timeline_name_vgpu(struct timeline *t, unsigned gpu, uint32_t vgpu, const char *name)
{
    struct timeline_track *k = track(t, gpu, vgpu);

    if (!k || k->name[0])
        return;
    snprintf(k->name, sizeof(k->name), "%s", *name ? name : "?");
    print_name(t, "thread_name", gpu, vgpu, "", name);
}

void timeline_add(struct timeline *t, unsigned gpu, uint32_t vgpu, enum timeline_kind kind,
                  uint64_t time_ns, uint64_t value)
{
    struct timeline_track *k = track(t, gpu, vgpu);

    if (!k)
        return;
    switch (kind) {
    case TIMELINE_WAIT:
        end_wait(t, k, time_ns);
        k->wait_ns = time_ns;
        break;
    case TIMELINE_GRANT: /* perhaps one slice after the other, with no release between */
        end_wait(t, k, time_ns);
        end_slice(t, k, time_ns, UINT64_MAX);
        k->slice_ns = time_ns;
        break;
    case TIMELINE_YIELD:
        if (k->slice_ns == 0)
            break;
        if (gpu <= TIMELINE_GPUS_MAX && (t->preempting >> gpu & 1)) {
            end_slice(t, k, time_ns, UINT64_MAX);
            k->preempted_ns = time_ns;
        } else {
            k->drain_ns = time_ns;
        }
        break;
    case TIMELINE_RELEASE: /* also of one that waited, when its renderer is gone */
        end_wait(t, k, time_ns);
        end_slice(t, k, time_ns, value);
        break;
    case TIMELINE_RESET:
        mark(t, "reset", "t", gpu, vgpu, time_ns);
        fputc('}', t->out);
        break;
    case TIMELINE_N_KINDS:
        break;
    }
}

void timeline_gap(struct timeline *t, unsigned gpu, uint64_t time_ns, uint64_t lost)
{
    for (size_t i = 0; i < t->n_tracks; i++) {
        struct timeline_track *k = &t->tracks[i];
        if (k->gpu == gpu)
            k->wait_ns = k->slice_ns = k->drain_ns = k->preempted_ns = 0;
    }
    mark(t, "events lost", "p", gpu, 0, time_ns);
    fprintf(t->out, ",\"args\":{\"lost\":%" PRIu64 "}}", lost);
}

/* ---- work ----------------------------------------------------------------------------------- */

/* One of the slot's that is free from that time on; NULL: there are too many. */
static struct timeline_lane *free_lane(struct timeline_track *k, uint32_t slot, uint64_t begin_ns)
{
    uint32_t number = 1;

    for (size_t i = 0; i < k->n_lanes; i++) {
        struct timeline_lane *lane = &k->lanes[i];
        if (lane->slot != slot)
            continue;
        if (lane->end_ns <= begin_ns)
            return lane;
        number++;
    }
    if (k->n_lanes == TIMELINE_LANES_MAX)
        return NULL;
    struct timeline_lane *lanes = reallocarray(k->lanes, k->n_lanes + 1, sizeof(*lanes));
    if (!lanes)
        return NULL;
    k->lanes = lanes;
    lanes[k->n_lanes] = (struct timeline_lane){.slot = slot, .number = number};
    return &lanes[k->n_lanes++];
}

/* One end of it: 'b' or 'e'. */
static void print_end(struct timeline *t, const struct timeline_track *k,
                      const struct timeline_lane *lane, char phase, uint64_t time_ns)
{
    char what[32] = "fences";

    if (lane->slot > 0)
        snprintf(what, sizeof(what), "Vulkan %" PRIu32, lane->slot);
    begin_object(t);
    print_title(t, k, what);
    fprintf(t->out,
            ",\"cat\":\"%s\",\"ph\":\"%c\",\"id\":\"0x%x%08" PRIx32 "%02" PRIx32 "%04" PRIx32
            "\",\"pid\":%u,\"tid\":%" PRIu32 ",",
            lane->slot > 0 ? "vulkan" : "fence", phase, k->gpu, k->vgpu, lane->slot & 0xff,
            lane->number, k->gpu, k->vgpu);
    print_us(t->out, "ts", time_ns);
}

void timeline_work(struct timeline *t, unsigned gpu, uint32_t vgpu, const struct timeline_work *w)
{
    struct timeline_track *k = track(t, gpu, vgpu);

    if (!k || w->begin_ns < t->begin_ns || w->end_ns < w->begin_ns)
        return;
    struct timeline_lane *lane = free_lane(k, w->slot, w->begin_ns);
    if (!lane) {
        timeline_work_gap(t, gpu, vgpu, w->end_ns, 1);
        return;
    }
    lane->end_ns = w->end_ns;
    print_end(t, k, lane, 'b', w->begin_ns);
    fprintf(t->out, ",\"args\":{\"%s\":%" PRIu64, w->slot > 0 ? "submissions" : "streams",
            w->count);
    if (w->slot > 0)
        fprintf(t->out, ",\"queue\":%" PRIu32, w->queue);
    fputs("}}", t->out);
    print_end(t, k, lane, 'e', w->end_ns);
    fputc('}', t->out);
}

void timeline_work_gap(struct timeline *t, unsigned gpu, uint32_t vgpu, uint64_t time_ns,
                       uint64_t lost)
{
    mark(t, "work lost", vgpu > 0 ? "t" : "p", gpu, vgpu, time_ns);
    fprintf(t->out, ",\"args\":{\"lost\":%" PRIu64 "}}", lost);
}

void timeline_memory(struct timeline *t, unsigned gpu, uint32_t vgpu, uint64_t time_ns,
                     uint64_t resource_bytes, uint64_t vulkan_bytes)
{
    struct timeline_track *k = track(t, gpu, vgpu);

    if (!k)
        return;
    bool news =
        k->memory_ns == 0 || k->resource_bytes != resource_bytes || k->vulkan_bytes != vulkan_bytes;
    k->memory_ns = time_ns;
    k->resource_bytes = resource_bytes;
    k->vulkan_bytes = vulkan_bytes;
    if (news)
        print_memory(t, k, time_ns);
}

void timeline_memory_of_gone(struct timeline *t, unsigned gpu, uint64_t time_ns)
{
    for (size_t i = 0; i < t->n_tracks; i++) {
        const struct timeline_track *k = &t->tracks[i];
        if (k->gpu == gpu && k->memory_ns != 0 && k->memory_ns != time_ns)
            timeline_memory(t, gpu, k->vgpu, time_ns, 0, 0);
    }
}
