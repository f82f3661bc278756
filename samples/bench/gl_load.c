/* SPDX-License-Identifier: MIT */
/*
 * gl-load: draws frames of a chosen GPU time, as many as it can or at a rate, and says how long
 * they took. Who runs it: the benchmarks of sharing, several at once; it trusts its command line
 * and ends by itself.
 */
#include "samples/bench/load_record.h"
#include "samples/bench/load_work.h"
#include "samples/gl_platform.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX 3600

struct options {
    struct load_frame frame;
    double frame_ms; /* 0 = frame.work is given */
    double seconds, warmup;
    double rate_hz;   /* 0 = as many as it can */
    int64_t start_ns; /* 0 = at once, -1 = ask */
    const char *log;  /* NULL = none */
    enum gl_platform_kind platform;
};

static const char usage_text[] =
    "Usage: gl-load (--frame-ms MS | --work N) [OPTION]...\n"
    "Draws frames of a chosen GPU time, and prints one JSON object about them.\n"
    "\n"
    "  --frame-ms MS     work that takes so long, measured first: for a GPU that nobody else uses\n"
    "  --work N          that work, as an earlier run printed it\n"
    "  --draws N         draws that share the work of a frame (1)\n"
    "  --rate HZ         frames are due at that rate; 0 (default): as many as it can\n"
    "  --seconds S       how long it is measured (1)\n"
    "  --warmup S        it draws so long before (0.2)\n"
    "  --start-at NS     when it begins to draw, on CLOCK_MONOTONIC; \"-\" prints \"ready\" and\n"
    "                    reads it from standard input\n"
    "  --log FILE        write each frame's start and end, in ns of CLOCK_MONOTONIC\n"
    "  --platform P      surfaceless (default), gbm or device\n"
    "  --help\n";

/* ---- command line --------------------------------------------------------------------------- */

static bool parse_number(const char *text, double min, double max, double *ret)
{
    char *end;
    double value = strtod(text, &end);

    if (*end || end == text || !(value >= min && value <= max))
        return false;
    *ret = value;
    return true;
}

static bool parse_count(const char *text, uint32_t max, uint32_t *ret)
{
    double value;

    if (!parse_number(text, 1, max, &value) || value != (uint32_t)value)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool parse_start(const char *text, int64_t *ret)
{
    char *end;
    long long ns = strtoll(text, &end, 10);

    if (end == text || (*end && *end != '\n') || ns <= 0)
        return false;
    *ret = ns;
    return true;
}

/* 0, or -1 with the exit status. */
static int parse(struct options *o, int argc, char **argv, int *ret_exit)
{
    enum { FRAME_MS = 1, WORK, DRAWS, RATE, SECONDS, WARMUP, START, LOG, PLATFORM, HELP };
    static const struct option known[] = {
        {"frame-ms", required_argument, NULL, FRAME_MS},
        {"work", required_argument, NULL, WORK},
        {"draws", required_argument, NULL, DRAWS},
        {"rate", required_argument, NULL, RATE},
        {"seconds", required_argument, NULL, SECONDS},
        {"warmup", required_argument, NULL, WARMUP},
        {"start-at", required_argument, NULL, START},
        {"log", required_argument, NULL, LOG},
        {"platform", required_argument, NULL, PLATFORM},
        {"help", no_argument, NULL, HELP},
        {0},
    };
    int option, which = 0;
    bool good = true;

    *o = (struct options){
        .frame.draws = 1, .seconds = 1, .warmup = 0.2, .platform = GL_PLATFORM_SURFACELESS};
    *ret_exit = 2;
    while (good && (option = getopt_long(argc, argv, "", known, &which)) >= 0) {
        switch (option) {
        case FRAME_MS:
            good = parse_number(optarg, 0.001, 1e4, &o->frame_ms);
            break;
        case WORK:
            good = parse_count(optarg, LOAD_WORK_MAX, &o->frame.work);
            break;
        case DRAWS:
            good = parse_count(optarg, LOAD_DRAWS_MAX, &o->frame.draws);
            break;
        case RATE:
            good = parse_number(optarg, 0, 1e5, &o->rate_hz);
            break;
        case SECONDS:
            good = parse_number(optarg, 0.001, SECONDS_MAX, &o->seconds);
            break;
        case WARMUP:
            good = parse_number(optarg, 0, SECONDS_MAX, &o->warmup);
            break;
        case START:
            o->start_ns = -1;
            good = strcmp(optarg, "-") == 0 || parse_start(optarg, &o->start_ns);
            break;
        case LOG:
            o->log = optarg;
            break;
        case PLATFORM:
            good = gl_platform_kind_parse(optarg, &o->platform);
            break;
        case HELP:
            fputs(usage_text, stdout);
            *ret_exit = 0;
            return -1;
        default:
            return -1;
        }
    }
    if (!good) {
        fprintf(stderr, "gl-load: --%s: '%s' will not do\n", known[which].name, optarg);
        return -1;
    }
    if (optind < argc) {
        fprintf(stderr, "gl-load: what is '%s'?\n", argv[optind]);
        return -1;
    }
    if ((o->frame_ms > 0) == (o->frame.work > 0)) {
        fprintf(stderr, "gl-load: one of --frame-ms and --work, please\n");
        return -1;
    }
    return 0;
}

/* ---- drawing -------------------------------------------------------------------------------- */

static void sleep_until(int64_t ns)
{
    const struct timespec until = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* When to begin; -1 after a message. */
static int64_t wait_for_start(const struct options *o)
{
    int64_t now_ns, start_ns = o->start_ns;

    if (start_ns < 0) {
        char line[32];
        printf("ready\n");
        if (fflush(stdout) != 0 || !fgets(line, sizeof(line), stdin) ||
            !parse_start(line, &start_ns)) {
            fprintf(stderr, "gl-load: nobody said when to begin\n");
            return -1;
        }
    }
    now_ns = load_now_ns();
    if (start_ns <= now_ns)
        return start_ns ? start_ns : now_ns;
    sleep_until(start_ns);
    return start_ns;
}

/* Frames due before the last one ended are left out, as a display would. */
static int64_t next_due(int64_t start_ns, int64_t period_ns, int64_t now_ns)
{
    int64_t periods = (now_ns - start_ns + period_ns - 1) / period_ns;

    return start_ns + periods * period_ns;
}

static int draw_until(const struct options *o, int64_t start_ns, int64_t end_ns,
                      struct load_record *record)
{
    int64_t period_ns = o->rate_hz > 0 ? (int64_t)(1e9 / o->rate_hz) : 0;
    int64_t now_ns = load_now_ns();

    while (now_ns < end_ns) {
        int64_t due_ns = now_ns;
        if (period_ns) {
            due_ns = next_due(start_ns, period_ns, now_ns);
            if (due_ns >= end_ns)
                break;
            sleep_until(due_ns);
        }
        load_work_draw(&o->frame);
        now_ns = load_now_ns();
        int result = load_record_add(record, due_ns, now_ns);
        if (result < 0)
            return result;
    }
    return 0;
}

static int report(const struct options *o, int64_t from_ns, int64_t to_ns, double late_ms,
                  const struct load_record *record)
{
    int64_t period_ns = o->rate_hz > 0 ? (int64_t)(1e9 / o->rate_hz) : 0;
    struct load_summary sum = {0};

    int result = load_record_summarize(record, from_ns, to_ns, period_ns, &sum);
    if (result < 0 && result != -ENODATA)
        return result;
    printf("{\"frames\": %zu, \"fps\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"max_ms\": %.3f, \"missed\": %zu, \"work\": %u, \"draws\": %u, \"from_ns\": %" PRId64
           ", \"to_ns\": %" PRId64 ", \"late_ms\": %.3f, \"renderer\": \"%s\"}\n",
           sum.frames, (double)sum.frames / o->seconds, sum.p50_ms, sum.p99_ms, sum.max_ms,
           sum.missed, o->frame.work, o->frame.draws, from_ns, to_ns, late_ms,
           (const char *)glGetString(GL_RENDERER));
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static int run(struct options *o)
{
    struct load_record record = {0};

    if (load_work_set_up() < 0)
        return -1;
    if (o->frame_ms > 0)
        load_work_calibrate(&o->frame, (int64_t)(o->frame_ms * 1e6));
    else
        load_work_draw(&o->frame); /* the shader gets compiled */
    int64_t start_ns = wait_for_start(o);
    if (start_ns < 0)
        return -1;
    double late_ms = (double)(load_now_ns() - start_ns) / 1e6;
    int64_t from_ns = start_ns + (int64_t)(o->warmup * 1e9);
    int64_t to_ns = from_ns + (int64_t)(o->seconds * 1e9);
    int result = draw_until(o, start_ns, to_ns, &record);
    if (result == 0)
        result = report(o, from_ns, to_ns, late_ms, &record);
    if (result == 0 && o->log)
        result = load_record_write(&record, o->log);
    load_record_finish(&record);
    if (result < 0)
        fprintf(stderr, "gl-load: %s\n", strerror(-result));
    GLenum error = glGetError();
    if (error == GL_NO_ERROR)
        return result;
    fprintf(stderr, "gl-load: GL error 0x%x\n", error);
    return -1;
}

int main(int argc, char **argv)
{
    struct gl_platform platform;
    struct options options;
    int status;

    if (parse(&options, argc, argv, &status) < 0)
        return status;
    if (gl_platform_open(&platform, options.platform, NULL) < 0)
        return 1;
    status = run(&options) < 0;
    gl_platform_close(&platform);
    return status;
}
