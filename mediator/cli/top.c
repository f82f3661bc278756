/* SPDX-License-Identifier: MIT */
#include "mediator/cli/top.h"

#include "mediator/base/util.h"
#include "mediator/cli/arguments.h"
#include "mediator/cli/client.h"
#include "mediator/cli/sample.h"
#include "mediator/cli/screen.h"
#include "mediator/cli/top_view.h"
#include "mediator/cli/value.h"
#include "mediator/daemon/config_value.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

const char top_help[] =
    "Shows, again and again, what each vGPU had of its GPU since the last time: SHARE, the\n"
    "part of the time that it was charged for; WAIT, the part that it waited for others;\n"
    "P99, what 99% of its waits were shorter than; LAT99, the same for command streams, to\n"
    "their completion; SUB/S, submissions a second; MEMORY of its GPU resources. On a\n"
    "terminal keys sort, and q quits; elsewhere lines are printed.\n"
    "\n"
    "  --interval S        seconds between updates, 0.05 to 3600 (default: 2)\n"
    "  --count N           stop after N updates\n"
    "  --sort KEY          share (default), waiting, p99, latency, submits, memory or name\n"
    "  --json              a line with a JSON object for each update\n"
    "  --socket-dir DIR    where aliquotd's sockets are\n"
    "  --help              print this\n";

#define INTERVAL_MAX 3600.0
#define COUNT_MAX 1000000000u
#define PLAIN_WIDTH 80

static const struct option long_options[] = {
    {"interval", required_argument, NULL, 0},
    {"count", required_argument, NULL, 0},
    {"sort", required_argument, NULL, 0},
    {"json", no_argument, NULL, 0},
    {"socket-dir", required_argument, NULL, 0},
    {"help", no_argument, NULL, 0},
    {0},
};

struct top_options {
    struct cli_options common;
    double interval_s;
    uint64_t count; /* 0 = without end */
    enum top_sort sort;
};

struct top {
    struct top_options options;
    sd_varlink *link; /* owned */
    char *path;       /* of the control socket, owned */
    int signals;      /* signalfd, owned */
    bool interactive;
    struct screen screen;
    struct sample before, now; /* before: none at first */
    bool has_before;
    bool quit, redraw;
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool take(void *opaque, const char *name, const char *value)
{
    struct top_options *o = opaque;

    if (!strcmp(name, "interval"))
        return value_seconds(value, INTERVAL_MAX, &o->interval_s) ||
               arguments_wrong("--interval: allowed are 0.05 to 3600 seconds");
    if (!strcmp(name, "count"))
        return value_unsigned(value, 1, COUNT_MAX, &o->count) == 0 ||
               arguments_wrong("--count: allowed are 1 to 1000000000");
    return top_sort_from_name(value, &o->sort) ||
           arguments_wrong("--sort: allowed are share, waiting, p99, latency, submits, memory and "
                           "name");
}

static bool check(void *opaque, int n_words, char **words)
{
    return n_words == 0 || arguments_wrong("nothing but options is expected");
}

static const struct arguments arguments = {"top", long_options, "", take, check};

/* ---- output --------------------------------------------------------------------------------- */

static int draw(struct top *t)
{
    struct top_view view = {.width = PLAIN_WIDTH, .sort = t->options.sort};
    struct top_text text;

    if (t->interactive)
        screen_size(&view.width, &view.height);
    int r = top_view_format(&view, t->has_before ? &t->before : NULL, &t->now, &text);
    if (r < 0)
        return r;
    if (t->interactive) {
        const char **lines = calloc(text.n_lines, sizeof(*lines));
        for (size_t i = 0; lines && i < text.n_lines; i++)
            lines[i] = text.lines[i];
        if (lines)
            screen_draw(lines, text.n_lines, text.title);
        free(lines);
    } else {
        for (size_t i = 0; i < text.n_lines; i++)
            puts(text.lines[i]);
        puts("");
    }
    top_text_finish(&text);
    return 0;
}

static int vgpu_to_json(const struct top *t, size_t i, sd_json_variant **array)
{
    const struct sample_vgpu *v = &t->now.vgpus[i];
    struct sample_rates r;

    sample_vgpu_rates(&t->before, &t->now, i, &r);
    return sd_json_variant_append_arraybo(
        array, SD_JSON_BUILD_PAIR_STRING("name", v->name),
        SD_JSON_BUILD_PAIR_STRING("state", v->state), SD_JSON_BUILD_PAIR_STRING("gpu", v->gpu),
        SD_JSON_BUILD_PAIR_INTEGER("weight", v->weight),
        SD_JSON_BUILD_PAIR_REAL("sharePercent", r.share),
        SD_JSON_BUILD_PAIR_REAL("waitingPercent", r.waiting),
        SD_JSON_BUILD_PAIR_CONDITION(r.p99_usec < 0, "waitP99Usec", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(r.p99_usec >= 0, "waitP99Usec",
                                     SD_JSON_BUILD_INTEGER(r.p99_usec)),
        SD_JSON_BUILD_PAIR_CONDITION(r.latency_p99_usec < 0, "latencyP99Usec", SD_JSON_BUILD_NULL),
        SD_JSON_BUILD_PAIR_CONDITION(r.latency_p99_usec >= 0, "latencyP99Usec",
                                     SD_JSON_BUILD_INTEGER(r.latency_p99_usec)),
        SD_JSON_BUILD_PAIR_REAL("submitsPerSecond", r.submits),
        SD_JSON_BUILD_PAIR_INTEGER("memoryBytes", v->memory_bytes),
        SD_JSON_BUILD_PAIR_INTEGER("contexts", v->contexts),
        SD_JSON_BUILD_PAIR_INTEGER("vulkanContexts", v->vulkan_contexts),
        SD_JSON_BUILD_PAIR_REAL("vulkanPercent", r.vulkan));
}

static int gpu_to_json(const struct top *t, size_t i, sd_json_variant **array)
{
    const struct sample_gpu *g = &t->now.gpus[i];

    return sd_json_variant_append_arraybo(
        array, SD_JSON_BUILD_PAIR_STRING("gpu", g->gpu),
        SD_JSON_BUILD_PAIR_STRING("policy", g->policy),
        SD_JSON_BUILD_PAIR_STRING("reserved", g->reserved),
        SD_JSON_BUILD_PAIR_INTEGER("vgpus", g->vgpus),
        SD_JSON_BUILD_PAIR_REAL("busyPercent", sample_gpu_busy(&t->before, &t->now, i)));
}

static int print_json(const struct top *t)
{
    sd_json_variant *vgpus = NULL, *gpus = NULL, *all = NULL;
    struct timespec time;
    _cleanup_free_ size_t *order = top_view_order(t->options.sort, &t->before, &t->now);

    clock_gettime(CLOCK_REALTIME, &time);
    int r = order ? sd_json_variant_new_array(&vgpus, NULL, 0) : -ENOMEM;
    for (size_t i = 0; i < t->now.n_vgpus && r >= 0; i++)
        r = vgpu_to_json(t, order[i], &vgpus);
    if (r >= 0)
        r = sd_json_variant_new_array(&gpus, NULL, 0);
    for (size_t i = 0; i < t->now.n_gpus && r >= 0; i++)
        r = gpu_to_json(t, i, &gpus);
    if (r >= 0)
        r = sd_json_buildo(&all,
                           SD_JSON_BUILD_PAIR_INTEGER("timeUsec", (int64_t)time.tv_sec * 1000000 +
                                                                      time.tv_nsec / 1000),
                           SD_JSON_BUILD_PAIR_INTEGER("intervalUsec", t->now.monotonic_usec -
                                                                          t->before.monotonic_usec),
                           SD_JSON_BUILD_PAIR_VARIANT("gpus", gpus),
                           SD_JSON_BUILD_PAIR_VARIANT("vgpus", vgpus));
    if (r >= 0)
        r = sd_json_variant_dump(all, SD_JSON_FORMAT_NEWLINE, stdout, NULL);
    sd_json_variant_unref(all);
    sd_json_variant_unref(vgpus);
    sd_json_variant_unref(gpus);
    return r;
}

static int show(struct top *t)
{
    int r = t->options.common.json ? print_json(t) : draw(t);

    if (r < 0) {
        fprintf(stderr, "aliquot: %s\n", strerror(-r));
    } else if (fflush(stdout) != 0) {
        r = errno == EPIPE ? 0 : -errno; /* who reads may have enough */
        t->quit = true;
        if (r < 0)
            fprintf(stderr, "aliquot: can't write: %s\n", strerror(-r));
    }
    return r;
}

/* ---- events --------------------------------------------------------------------------------- */

static void stop_and_continue(struct top *t)
{
    screen_close(&t->screen);
    kill(getpid(), SIGSTOP);
    if (t->interactive)
        screen_open(&t->screen);
    t->redraw = true;
}

static void on_signal(struct top *t)
{
    struct signalfd_siginfo info;

    if (read(t->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGWINCH)
        t->redraw = true;
    else if (info.ssi_signo == SIGTSTP)
        stop_and_continue(t);
    else
        t->quit = true;
}

static void on_key(struct top *t)
{
    char key = screen_key();

    if (key == 0 || key == 'q' || key == 'Q') /* 0: the terminal is gone */
        t->quit = true;
    else if (top_sort_from_key(key, &t->options.sort))
        t->redraw = true;
}

/* Until the time has come, or the user has had enough. */
static int wait_until(struct top *t, uint64_t deadline_ns)
{
    while (!t->quit) {
        uint64_t now = clock_ns();
        struct pollfd fds[] = {{.fd = t->signals, .events = POLLIN},
                               {.fd = t->interactive ? STDIN_FILENO : -1, .events = POLLIN}};
        uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
        const struct timespec timeout = {.tv_sec = (time_t)(left_ns / 1000000000),
                                         .tv_nsec = (long)(left_ns % 1000000000)};
        int n = ppoll(fds, ARRAY_SIZE(fds), &timeout, NULL);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0 && fds[0].revents)
            on_signal(t);
        if (n > 0 && fds[1].revents)
            on_key(t);
        if (t->redraw && t->interactive && !t->quit) {
            int r = draw(t);
            if (r < 0)
                return r;
        }
        t->redraw = false;
    }
    return 0;
}

static int watch_signals(struct top *t)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        sigaddset(&set, wanted[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (t->signals >= 0)
        return 0;
    fprintf(stderr, "aliquot: %s\n", strerror(errno));
    return -errno;
}

static int update(struct top *t)
{
    struct sample next;
    int r = sample_read(t->link, t->path, &next);

    if (r < 0)
        return r;
    sample_finish(&t->before);
    t->before = t->now;
    t->now = next;
    return 0;
}

static int watch(struct top *t)
{
    uint64_t interval_ns = (uint64_t)(t->options.interval_s * 1e9);
    uint64_t next_ns = clock_ns();
    uint64_t shown = 0;
    int r = sample_read(t->link, t->path, &t->now);

    if (r >= 0 && t->interactive) {
        screen_open(&t->screen);
        r = show(t); /* without rates, but at once */
    }
    while (r >= 0) {
        /* An update that came late does not have others follow it in a row. */
        next_ns = MAX(next_ns + interval_ns, clock_ns());
        r = wait_until(t, next_ns);
        if (r < 0 || t->quit)
            break;
        r = update(t);
        t->has_before = true;
        if (r >= 0)
            r = show(t);
        if (t->quit || (t->options.count > 0 && ++shown == t->options.count))
            break;
    }
    return r;
}

int top_run(const struct cli_options *options, int argc, char **argv)
{
    struct top t = {.options = {.common = *options, .interval_s = 2}, .signals = -1};
    int status = arguments_parse(&arguments, argc, argv, &t.options.common, &t.options);

    if (status >= 0)
        return status;
    t.interactive = !t.options.common.json && screen_possible();
    int r = client_connect(&t.options.common, false, &t.link, &t.path);
    if (r >= 0)
        r = watch_signals(&t);
    if (r >= 0)
        r = watch(&t);
    if (r < 0 && t.screen.open) { /* the message is on the screen that goes */
        screen_close(&t.screen);
        fprintf(stderr, "aliquot: aliquotd at %s does not answer any more\n", t.path);
    }
    screen_close(&t.screen);
    sd_varlink_unref(t.link);
    sample_finish(&t.before);
    sample_finish(&t.now);
    close_fd_p(&t.signals);
    free(t.path);
    return r < 0 ? EXIT_FAILED : EXIT_FINE;
}
