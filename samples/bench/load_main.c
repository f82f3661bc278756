/* SPDX-License-Identifier: MIT */
#include "samples/bench/load_main.h"
#include "samples/bench/load_record.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX 3600

struct options {
    const struct load_driver *driver; /* borrowed */
    struct load_frame frame;
    double frame_ms; /* 0 = frame.work is given */
    double seconds, warmup;
    double rate_hz;   /* 0 = as many as it can */
    int64_t start_ns; /* 0 = at once, -1 = ask */
    const char *log;  /* NULL = none */
};

static void print_usage(const struct load_driver *driver)
{
    printf(
        "Usage: %s (--frame-ms MS | --work N) [OPTION]...\n"
        "Draws frames of a chosen GPU time, and prints one JSON object about them.\n"
        "\n"
        "  --frame-ms MS     work that takes so long, measured first: for a GPU that nobody else "
        "uses\n"
        "  --work N          that work, as an earlier run printed it\n"
        "  --draws N         draws that share the work of a frame (1)\n"
        "  --rate HZ         frames are due at that rate; 0 (default): as many as it can\n"
        "  --seconds S       how long it is measured (1)\n"
        "  --warmup S        it draws so long before (0.2)\n"
        "  --start-at NS     when it begins to draw, on CLOCK_MONOTONIC; \"-\" prints \"ready\" "
        "and\n"
        "                    reads it from standard input, where \"now\" will do\n"
        "  --log FILE        write each frame's start and end, in ns of CLOCK_MONOTONIC\n"
        "%s"
        "  --help\n",
        driver->program, driver->help);
}

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

bool load_parse_count(const char *text, uint32_t max, uint32_t *ret)
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

enum { FRAME_MS = 1, WORK, DRAWS, RATE, SECONDS, WARMUP, START, LOG, HELP };

static const struct option common[] = {
    {"frame-ms", required_argument, NULL, FRAME_MS},
    {"work", required_argument, NULL, WORK},
    {"draws", required_argument, NULL, DRAWS},
    {"rate", required_argument, NULL, RATE},
    {"seconds", required_argument, NULL, SECONDS},
    {"warmup", required_argument, NULL, WARMUP},
    {"start-at", required_argument, NULL, START},
    {"log", required_argument, NULL, LOG},
    {"help", no_argument, NULL, HELP},
};
#define COMMON (sizeof(common) / sizeof(common[0]))

static bool parse_one(struct options *o, int option, const char *arg)
{
    switch (option) {
    case FRAME_MS:
        return parse_number(arg, 0.001, 1e4, &o->frame_ms);
    case WORK:
        return load_parse_count(arg, LOAD_WORK_MAX, &o->frame.work);
    case DRAWS:
        return load_parse_count(arg, LOAD_DRAWS_MAX, &o->frame.draws);
    case RATE:
        return parse_number(arg, 0, 1e5, &o->rate_hz);
    case SECONDS:
        return parse_number(arg, 0.001, SECONDS_MAX, &o->seconds);
    case WARMUP:
        return parse_number(arg, 0, SECONDS_MAX, &o->warmup);
    case START:
        o->start_ns = -1;
        return strcmp(arg, "-") == 0 || parse_start(arg, &o->start_ns);
    case LOG:
        o->log = arg;
        return true;
    default:
        return o->driver->parse(option, arg);
    }
}

/* The common options and the driver's, in one table as getopt wants it. */
static void join(struct option *table, const struct option *more)
{
    size_t count = 0;

    while (more[count].name)
        count++;
    assert(count <= LOAD_MORE_OPTIONS_MAX);
    memcpy(table, common, sizeof(common));
    memcpy(table + COMMON, more, (count + 1) * sizeof(*more));
}

/* 0, or -1 with the exit status. */
static int parse(struct options *o, int argc, char **argv, int *ret_exit)
{
    struct option known[COMMON + LOAD_MORE_OPTIONS_MAX + 1];
    const char *program = o->driver->program;
    int option, which = 0;

    join(known, o->driver->known);
    *ret_exit = 2;
    while ((option = getopt_long(argc, argv, "", known, &which)) >= 0) {
        if (option == HELP) {
            print_usage(o->driver);
            *ret_exit = 0;
            return -1;
        }
        if (option == '?')
            return -1;
        if (!parse_one(o, option, optarg)) {
            fprintf(stderr, "%s: --%s: '%s' will not do\n", program, known[which].name, optarg);
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is '%s'?\n", program, argv[optind]);
        return -1;
    }
    if ((o->frame_ms > 0) == (o->frame.work > 0)) {
        fprintf(stderr, "%s: one of --frame-ms and --work, please\n", program);
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

/* Whoever has another clock, such as the host of a guest, says "now". */
static bool read_start(int64_t *ret)
{
    char line[32];

    if (!fgets(line, sizeof(line), stdin))
        return false;
    if (strcmp(line, "now\n") != 0)
        return parse_start(line, ret);
    *ret = load_now_ns();
    return true;
}

/* When to begin; -1 after a message. */
static int64_t wait_for_start(const struct options *o)
{
    int64_t now_ns, start_ns = o->start_ns;

    if (start_ns < 0) {
        printf("ready\n");
        if (fflush(stdout) != 0 || !read_start(&start_ns)) {
            fprintf(stderr, "%s: nobody said when to begin\n", o->driver->program);
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

/* What draw() does not say itself. */
static int explain(const struct options *o, int result)
{
    if (result < 0)
        fprintf(stderr, "%s: %s\n", o->driver->program, strerror(-result));
    return result;
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
        int result = o->driver->draw(&o->frame);
        if (result < 0)
            return result;
        now_ns = load_now_ns();
        uint64_t gpu_ns = o->driver->gpu_ns ? o->driver->gpu_ns() : 0;
        result = explain(o, load_record_add(record, due_ns, now_ns, gpu_ns));
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
           "\"max_ms\": %.3f, \"gpu_ms\": %.3f, \"missed\": %zu, \"work\": %u, \"draws\": %u, "
           "\"from_ns\": %" PRId64 ", \"to_ns\": %" PRId64
           ", \"late_ms\": %.3f, \"renderer\": \"%s\"}\n",
           sum.frames, (double)sum.frames / o->seconds, sum.p50_ms, sum.p99_ms, sum.max_ms,
           sum.gpu_ms, sum.missed, o->frame.work, o->frame.draws, from_ns, to_ns, late_ms,
           o->driver->renderer());
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static int run(struct options *o)
{
    const struct load_driver *driver = o->driver;
    struct load_record record = {0};

    /* Without calibration one frame gets the shader compiled. */
    int result = o->frame_ms > 0
                     ? load_calibrate(&o->frame, driver->draw, (int64_t)(o->frame_ms * 1e6))
                     : driver->draw(&o->frame);
    if (result < 0)
        return result;
    int64_t start_ns = wait_for_start(o);
    if (start_ns < 0)
        return -1;
    double late_ms = (double)(load_now_ns() - start_ns) / 1e6;
    int64_t from_ns = start_ns + (int64_t)(o->warmup * 1e9);
    int64_t to_ns = from_ns + (int64_t)(o->seconds * 1e9);
    result = draw_until(o, start_ns, to_ns, &record);
    if (result == 0)
        result = explain(o, report(o, from_ns, to_ns, late_ms, &record));
    if (result == 0 && o->log)
        result = explain(o, load_record_write(&record, o->log));
    load_record_finish(&record);
    return result < 0 ? result : driver->check();
}

int load_main(const struct load_driver *driver, int argc, char **argv)
{
    struct options options = {.driver = driver, .frame.draws = 1, .seconds = 1, .warmup = 0.2};
    int status;

    if (parse(&options, argc, argv, &status) < 0)
        return status;
    if (driver->open() < 0)
        return 1;
    status = run(&options) < 0;
    driver->close();
    return status;
}
