/* SPDX-License-Identifier: MIT */
#include "mediator/cli/trace.h"

#include "mediator/base/util.h"
#include "mediator/cli/arguments.h"
#include "mediator/cli/client.h"
#include "mediator/cli/timeline.h"
#include "mediator/cli/value.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char trace_help[] =
    "Records for some seconds when each vGPU waits for the GPU, has it, and drains; its fences\n"
    "and its submissions of Vulkan; and its GPU memory. The file is JSON in the trace event\n"
    "format: open it at ui.perfetto.dev or chrome://tracing.\n"
    "^C ends it early.\n"
    "\n"
    "  -o, --output FILE   where to; \"-\" is the standard output\n"
    "  --seconds S         for how long (default: 5)\n"
    "  --socket-dir DIR    where aliquotd's sockets are\n"
    "  --help              print this\n";

#define ANSWERS_AT_ONCE 100 /* the daemon remembers 65536 events, and tells 1024 at a time */
#define SECONDS_MAX 86400.0
/* The daemon keeps seconds' worth of a busy GPU's events. */
#define POLL_NS 200000000L
/* Between messages on progress, on a terminal and elsewhere. */
#define TELL_TTY_NS UINT64_C(500000000)
#define TELL_NS UINT64_C(2000000000)

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"seconds", required_argument, NULL, 0},
    {"socket-dir", required_argument, NULL, 0},
    {"help", no_argument, NULL, 0},
    {0},
};

struct trace_options {
    struct cli_options common;
    const char *output; /* borrowed from argv */
    double seconds;
};

/* A GPU whose events are read. */
struct source {
    char *gpu; /* owned */
    int64_t cursor, work_cursor;
};

struct trace {
    struct trace_options options;
    sd_varlink *link; /* owned */
    char *path;       /* of the control socket, owned */
    FILE *file;
    struct timeline timeline;
    struct source *sources; /* owned array */
    size_t n_sources;
    bool started; /* the GPUs that there were at the start are known */
    uint64_t start_ns, told_ns, n_events, n_lost;
    bool tty;      /* of stderr */
    sigset_t stop; /* signals that end the recording */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool take(void *opaque, const char *name, const char *value)
{
    struct trace_options *o = opaque;

    if (!strcmp(name, "seconds"))
        return value_seconds(value, SECONDS_MAX, &o->seconds) ||
               arguments_wrong("--seconds: allowed are 0.05 to 86400 seconds");
    o->output = value;
    return true;
}

static bool check(void *opaque, int n_words, char **words)
{
    const struct trace_options *o = opaque;

    if (n_words > 0)
        return arguments_wrong("nothing but options is expected");
    return o->output || arguments_wrong("where to? Say it with -o FILE");
}

static const struct arguments arguments = {"trace", long_options, "o:", take, check};

/* ---- reading -------------------------------------------------------------------------------- */

static void take_events(struct trace *t, unsigned gpu, sd_json_variant *answer)
{
    size_t n, n_names;
    sd_json_variant *events = client_array(answer, "events", &n);
    sd_json_variant *names = client_array(answer, "vgpus", &n_names);
    int64_t lost = client_integer(answer, "lost");

    for (size_t i = 0; i < n_names; i++) {
        sd_json_variant *v = sd_json_variant_by_index(names, i);
        const char *name = client_string(v, "name");
        if (name)
            timeline_name_vgpu(&t->timeline, gpu, (uint32_t)client_integer(v, "number"), name);
    }
    for (size_t i = 0; i < n; i++) {
        sd_json_variant *e = sd_json_variant_by_index(events, i);
        const char *kind_name = client_string(e, "kind");
        uint64_t time_ns = (uint64_t)client_integer(e, "timeNsec");
        enum timeline_kind kind;
        if (lost > 0) {
            timeline_gap(&t->timeline, gpu, time_ns, (uint64_t)lost);
            t->n_lost += (uint64_t)lost;
            lost = 0;
        }
        if (kind_name && timeline_kind_from_name(kind_name, &kind))
            timeline_add(&t->timeline, gpu, (uint32_t)client_integer(e, "vgpu"), kind, time_ns,
                         (uint64_t)client_integer(e, "value"));
        t->n_events++;
    }
}

static void take_work(struct trace *t, unsigned gpu, sd_json_variant *answer)
{
    size_t n, n_memory;
    sd_json_variant *work = client_array(answer, "work", &n);
    sd_json_variant *memory = client_array(answer, "memory", &n_memory);
    uint64_t now = (uint64_t)client_integer(answer, "timeNsec");
    uint64_t lost = (uint64_t)client_integer(answer, "lost");

    if (lost > 0)
        timeline_work_gap(&t->timeline, gpu, 0, now, lost);
    for (size_t i = 0; i < n; i++) {
        sd_json_variant *e = sd_json_variant_by_index(work, i);
        const char *kind = client_string(e, "kind");
        uint32_t vgpu = (uint32_t)client_integer(e, "vgpu");
        const struct timeline_work w = {
            .begin_ns = (uint64_t)client_integer(e, "beginNsec"),
            .end_ns = (uint64_t)client_integer(e, "endNsec"),
            .slot = (uint32_t)client_integer(e, "slot"),
            .queue = (uint32_t)client_integer(e, "queue"),
            .count = (uint64_t)client_integer(e, "count"),
        };
        if (kind && !strcmp(kind, "lost")) {
            timeline_work_gap(&t->timeline, gpu, vgpu, w.end_ns, w.count);
            lost += w.count;
        } else {
            timeline_work(&t->timeline, gpu, vgpu, &w);
            t->n_events++;
        }
    }
    t->n_lost += lost;
    for (size_t i = 0; i < n_memory; i++) {
        sd_json_variant *v = sd_json_variant_by_index(memory, i);
        timeline_memory(&t->timeline, gpu, (uint32_t)client_integer(v, "number"), now,
                        (uint64_t)client_integer(v, "resourceBytes"),
                        (uint64_t)client_integer(v, "vulkanBytes"));
    }
    timeline_memory_of_gone(&t->timeline, gpu, now);
}

/* What there is from *cursor on; -1 = nothing but what is to come. Not all, where more comes than
 * is read: who fills the daemon's memory of it in a loop does not keep us from ending. */
static int read_on(struct trace *t, unsigned gpu, const char *method, int64_t *cursor,
                   void (*take_answer)(struct trace *t, unsigned gpu, sd_json_variant *answer))
{
    bool more = true;

    for (unsigned i = 0; more && i < ANSWERS_AT_ONCE; i++) {
        sd_json_variant *parameters = NULL, *answer = NULL;
        int r = sd_json_buildo(
            &parameters, SD_JSON_BUILD_PAIR_STRING("gpu", t->sources[gpu - 1].gpu),
            SD_JSON_BUILD_PAIR_CONDITION(*cursor >= 0, "cursor", SD_JSON_BUILD_INTEGER(*cursor)));
        if (r >= 0)
            r = client_call_on(t->link, t->path, method, parameters, &answer);
        sd_json_variant_unref(parameters);
        if (r < 0)
            return r;
        sd_json_variant *flag = sd_json_variant_by_key(answer, "more");
        more = flag && sd_json_variant_is_boolean(flag) && sd_json_variant_boolean(flag);
        *cursor = client_integer(answer, "cursor");
        take_answer(t, gpu, answer);
        sd_json_variant_unref(answer);
    }
    return 0;
}

static int read_source(struct trace *t, unsigned gpu)
{
    struct source *s = &t->sources[gpu - 1];
    int r = read_on(t, gpu, "ReadEvents", &s->cursor, take_events);

    return r < 0 ? r : read_on(t, gpu, "ReadWork", &s->work_cursor, take_work);
}

/* A GPU that came into use after the start has all of its events in the trace. */
static int add_source(struct trace *t, const char *gpu, const char *preempt)
{
    struct source *sources = reallocarray(t->sources, t->n_sources + 1, sizeof(*sources));

    if (!sources)
        return -ENOMEM;
    t->sources = sources;
    char *copy = strdup(gpu);
    if (!copy)
        return -ENOMEM;
    int64_t cursor = t->started ? 0 : -1;
    sources[t->n_sources++] = (struct source){copy, cursor, cursor};
    timeline_name_gpu(&t->timeline, (unsigned)t->n_sources, gpu,
                      preempt && !strcmp(preempt, "cpu"));
    return 0;
}

static int find_sources(struct trace *t)
{
    sd_json_variant *answer = NULL;
    size_t n;
    int r = client_call_on(t->link, t->path, "ListGPUs", NULL, &answer);

    if (r < 0)
        return r;
    sd_json_variant *gpus = client_array(answer, "gpus", &n);
    for (size_t i = 0; i < n && r >= 0; i++) {
        sd_json_variant *object = sd_json_variant_by_index(gpus, i);
        const char *gpu = client_string(object, "gpu");
        bool known = !gpu;
        for (size_t k = 0; k < t->n_sources && !known; k++)
            known = !strcmp(t->sources[k].gpu, gpu);
        if (!known)
            r = add_source(t, gpu, client_string(object, "preempt"));
    }
    sd_json_variant_unref(answer);
    return r;
}

static int read_all(struct trace *t)
{
    int r = find_sources(t);

    for (unsigned gpu = 1; gpu <= t->n_sources && r >= 0; gpu++)
        r = read_source(t, gpu);
    t->started = true;
    return r;
}

/* ---- recording ------------------------------------------------------------------------------ */

/* What takes longer than two seconds tells how far it is. */
static void tell_progress(struct trace *t)
{
    uint64_t now = now_ns();

    if (t->options.seconds <= 2 || now - t->told_ns < (t->tty ? TELL_TTY_NS : TELL_NS))
        return;
    t->told_ns = now;
    fprintf(stderr, "%saliquot: %.0f of %.0f s, %" PRIu64 " events%s", t->tty ? "\r" : "",
            (double)(now - t->start_ns) / 1e9, t->options.seconds, t->n_events,
            t->tty ? "\033[K" : "\n");
}

static int record(struct trace *t)
{
    const struct timespec poll = {.tv_nsec = POLL_NS};
    int r = read_all(t);

    uint64_t end_ns = t->start_ns + (uint64_t)(t->options.seconds * 1e9);
    bool stopped = false;
    while (r >= 0 && !stopped && now_ns() < end_ns) {
        uint64_t left_ns = end_ns - MIN(now_ns(), end_ns);
        const struct timespec rest = {.tv_nsec = (long)left_ns};
        stopped = sigtimedwait(&t->stop, NULL, left_ns < POLL_NS ? &rest : &poll) > 0;
        r = read_all(t);
        tell_progress(t);
    }
    return r;
}

static int open_file(struct trace *t)
{
    const char *output = t->options.output;

    t->file = strcmp(output, "-") != 0 ? fopen(output, "we") : stdout;
    if (!t->file)
        fprintf(stderr, "aliquot: %s: %s\n", output, strerror(errno));
    return t->file ? 0 : -EIO;
}

static int close_file(struct trace *t)
{
    bool failed = ferror(t->file) != 0;

    failed |= t->file == stdout ? fflush(t->file) != 0 : fclose(t->file) != 0;
    if (failed)
        fprintf(stderr, "aliquot: %s: can't be written\n", t->options.output);
    return failed ? -EIO : 0;
}

static int trace(struct trace *t)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    /* A signal ends the recording, not the program: what is there is to be a whole file. */
    sigemptyset(&t->stop);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaddset(&t->stop, signals[i]);
    sigprocmask(SIG_BLOCK, &t->stop, NULL);

    int r = client_connect(&t->options.common, false, &t->link, &t->path);

    if (r < 0 || (r = open_file(t)) < 0)
        return r;
    t->tty = isatty(STDERR_FILENO);
    t->start_ns = t->told_ns = now_ns();
    timeline_init(&t->timeline, t->file, t->start_ns);
    r = record(t);
    timeline_finish(&t->timeline, now_ns());
    int closed = close_file(t);
    if (t->tty && t->told_ns != t->start_ns)
        fputs("\r\033[K", stderr);
    char lost[96] = "";
    if (t->n_lost > 0)
        snprintf(lost, sizeof(lost), "; %" PRIu64 " more came faster than they could be read",
                 t->n_lost);
    fprintf(stderr, "aliquot: %" PRIu64 " events in %.1f s%s%s\n", t->n_events,
            (double)(now_ns() - t->start_ns) / 1e9, r < 0 ? ", up to the end of the daemon" : "",
            lost);
    return r < 0 ? r : closed;
}

int trace_run(const struct cli_options *options, int argc, char **argv)
{
    struct trace t = {.options = {.common = *options, .seconds = 5}};
    int status = arguments_parse(&arguments, argc, argv, &t.options.common, &t.options);

    if (status >= 0)
        return status;
    int r = trace(&t);
    sd_varlink_unref(t.link);
    for (size_t i = 0; i < t.n_sources; i++)
        free(t.sources[i].gpu);
    free(t.sources);
    free(t.path);
    return r < 0 ? EXIT_FAILED : EXIT_FINE;
}
